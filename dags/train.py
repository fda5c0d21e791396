"""Train and compare models of 30-day unplanned readmission; the gate decides who becomes champion."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

import common


@dag(
    schedule=common.cron("0 3 * * 0"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=common.DEFAULT_ARGS,
    params={
        "as_of": common.AS_OF,
        "candidates": Param(
            ["logistic", "hist_gradient_boosting"], type="array", description="model families to compare"
        ),
    },
    tags=["models"],
    doc_md=__doc__,
)
def train() -> None:
    @task
    def build_features() -> dict[str, object]:
        from ml import readmission

        return readmission.build_features(common.as_of())

    @task
    def fit(features: dict[str, object]) -> dict[str, object]:
        from ml import readmission

        candidates = tuple(get_current_context()["params"]["candidates"])
        return readmission.train(common.as_of(), candidates=candidates)

    @task(outlets=[common.CHAMPION])
    def announce(trained: dict[str, object]) -> None:
        if not trained["is_champion"]:
            raise AirflowSkipException("the champion stays as it is")
        common.announce(common.CHAMPION)

    announce(fit(build_features()))


train()
