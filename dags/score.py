"""Answer the risk questions that have a champion, for everybody they ask about; without one there is nothing to do.

A champion in trouble stops its own question; what was published of the others, and what was withdrawn, is announced.
The run then fails, so that it is seen.
"""

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

    @task(outlets=[common.SCORES], trigger_rule="all_done")
    def announce() -> None:
        """A scoring that failed may have published something all the same."""
        from ml import risk

        if not risk.published(common.as_of()):
            raise AirflowSkipException("nothing was published")
        common.announce(common.SCORES)

    @task
    def complete(scored: dict[str, dict[str, object]]) -> int:
        """Fails with the scoring, so that the run does."""
        return len(scored)

    scored = score_people()
    scored >> announce()
    complete(scored)


score()
