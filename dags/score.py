"""Score the people discharged lately with the champion; without a champion there is nothing to do yet."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import AssetAny, dag, task
from airflow.sdk.exceptions import AirflowSkipException

import common


@dag(
    schedule=AssetAny(common.GOLD, common.CHAMPION),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=common.DEFAULT_ARGS,
    params={"as_of": common.AS_OF},
    tags=["models"],
    doc_md=__doc__,
)
def score() -> None:
    @task
    def score_people() -> dict[str, object]:
        from ml import readmission

        return readmission.score(common.as_of())

    @task(outlets=[common.SCORES])
    def announce(scored: dict[str, object]) -> None:
        if scored["outcome"] != "scored":
            raise AirflowSkipException("there is no champion yet")
        common.announce(common.SCORES)

    announce(score_people())


score()
