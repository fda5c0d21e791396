"""Look every hour whether each source delivers in time and about as much as usual; tell what does not."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import dag, task

import common


@dag(
    schedule=common.cron("40 * * * *"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=common.DEFAULT_ARGS,
    params={"as_of": common.AS_OF},
    tags=["care"],
    doc_md=__doc__,
)
def watch() -> None:
    @task
    def deliveries() -> dict[str, str]:
        from jobs import watch

        return {each.source: each.verdict for each in watch.run(datetime.fromisoformat(common.as_of()))}

    deliveries()


watch()
