"""Keep the lake small: compact its tables, drop what no version in use needs, expire landed files."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import dag, task

import common


@dag(
    schedule=common.cron("0 1 * * *"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=common.DEFAULT_ARGS,
    tags=["care"],
    doc_md=__doc__,
)
def maintain() -> None:
    @task
    def compact_and_expire() -> dict[str, object]:
        from jobs import maintenance

        return maintenance.run(datetime.now(UTC))

    compact_and_expire()


maintain()
