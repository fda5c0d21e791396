"""Forecast arrivals, admissions, occupancy, staff, drugs, blood and syndromes; train what has no fresh model first."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

import common


@dag(
    schedule=common.GOLD,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=common.DEFAULT_ARGS,
    params={
        "as_of": common.AS_OF,
        "max_age_days": Param(7, type="integer", minimum=0, description="train again what is as old"),
    },
    tags=["models"],
    doc_md=__doc__,
)
def forecast() -> None:
    @task
    def train_models() -> dict[str, dict[str, object]]:
        from ml import forecast

        days = get_current_context()["params"]["max_age_days"]
        return forecast.train(common.as_of(), max_age_days=days)

    @task
    def issue_forecasts(trained: dict[str, dict[str, object]]) -> dict[str, object]:
        from ml import forecast

        return forecast.issue(common.as_of())

    @task(outlets=[common.FORECASTS])
    def announce(issued: dict[str, object]) -> None:
        if not issued["rows"]:
            raise AirflowSkipException("no model has passed the gate yet")
        common.announce(common.FORECASTS)

    announce(issue_forecasts(train_models()))


forecast()
