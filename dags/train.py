"""Train and compare the models of every risk question; the gate decides who becomes champion.

By its schedule all questions are trained; asked by the monitor DAG, those that its announcement names. The champion's
family and setting are refitted; all candidates are compared where there is no champion, and where the monitor asked:
what suited the world before a change need not suit the one after it.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import (
    Asset,
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    Param,
    dag,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowSkipException

import common


def schedule() -> Asset | AssetOrTimeSchedule:
    """When asked for; and every Sunday, unless schedules are off."""
    weekly = common.cron("0 3 * * 0")
    if weekly is None:
        return common.RETRAIN
    return AssetOrTimeSchedule(timetable=CronTriggerTimetable(weekly, timezone="UTC"), assets=common.RETRAIN)


def asked_for() -> list[str]:
    """The questions that the announcements name that set the run off; none by the schedule or by hand."""
    events = get_current_context()["triggering_asset_events"].values()
    return sorted({name for of in events for event in of for name in event.extra.get("questions", [])})


@dag(
    schedule=schedule(),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=common.DEFAULT_ARGS,
    params={
        "as_of": common.AS_OF,
        "questions": Param(
            [], type="array", description="which risk questions; none: those asked for, else all"
        ),
        "candidates": Param(["logistic", "lightgbm"], type="array", description="model families to compare"),
    },
    tags=["models"],
    doc_md=__doc__,
)
def train() -> None:
    @task
    def build_features() -> dict[str, object]:
        from ml import risk

        return risk.build_features(common.as_of())

    @task
    def questions() -> list[str]:
        from ml import risk

        return get_current_context()["params"]["questions"] or asked_for() or risk.names()

    @task(map_index_template="{{ task.op_kwargs['question'] }}", max_active_tis_per_dagrun=1)
    def fit(question: str) -> dict[str, object]:
        from ml import risk

        candidates = tuple(get_current_context()["params"]["candidates"])
        return risk.train(question, common.as_of(), candidates, is_anew=question in asked_for())

    @task(outlets=[common.CHAMPION], trigger_rule="all_done")
    def announce(trained: list[dict[str, object]]) -> None:
        """A question whose training failed keeps the others' new champions from nobody."""
        if not any(one["is_champion"] for one in trained):
            raise AirflowSkipException("the champions stay as they are")
        common.announce(common.CHAMPION)

    @task
    def complete(trained: list[dict[str, object]]) -> int:
        """Fails with the training of any question, so that the run does."""
        return len(trained)

    asked = questions()
    build_features() >> asked
    trained = fit.expand(question=asked)
    announce(trained)
    complete(trained)


train()
