"""Answer the risk questions that have a champion, for everybody they ask about; without one there is nothing to do."""

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
    def score_people() -> dict[str, dict[str, object]]:
        from ml import risk

        return risk.score(common.as_of())

    @task(outlets=[common.SCORES])
    def announce(scored: dict[str, dict[str, object]]) -> None:
        if not any(one["outcome"] == "scored" for one in scored.values()):
            raise AirflowSkipException("there is no champion yet")
        common.announce(common.SCORES)

    announce(score_people())


score()
