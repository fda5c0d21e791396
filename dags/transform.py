"""Silver to gold: people are linked, then dbt builds and tests the marts; they become visible only when every test has
passed."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import AssetAny, dag, task
from jobs.sources import load_all

import common


@dag(
    schedule=AssetAny(common.CITY, *(common.silver(name) for name in load_all())),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=common.DEFAULT_ARGS,
    params={"as_of": common.AS_OF},
    tags=["gold"],
    doc_md=__doc__,
)
def transform() -> None:
    @task
    def link_people() -> dict[str, object]:
        from jobs.identity.linkage import task

        return task.run(common.as_of())

    @task(outlets=[common.GOLD])
    def build_gold() -> dict[str, object]:
        from jobs import transform

        common.announce(common.GOLD)
        return transform.run(common.as_of())

    link_people() >> build_gold()


transform()
