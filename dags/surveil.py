"""Watch for outbreaks, district by district: is it more than the past explains? New alarms are told to the webhook."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import dag, task

import common


@dag(
    schedule=common.GOLD,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=common.DEFAULT_ARGS,
    params={"as_of": common.AS_OF},
    tags=["models"],
    doc_md=__doc__,
)
def surveil() -> None:
    @task
    def watch_for_outbreaks() -> dict[str, object]:
        from ml import mining

        return mining.surveil(common.as_of())

    @task
    def tell(found: dict[str, object]) -> int:
        from ml import mining

        return mining.tell(found)

    tell(watch_for_outbreaks())


surveil()
