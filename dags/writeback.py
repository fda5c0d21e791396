"""Take scores and forecasts to the people who act on them: the serving database, and each hospital's own FHIR server.

None waits for another. What has not been published yet is skipped. What a hospital refuses is tried again by the next
run, and told to the webhook.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import AssetAny, dag, task
from airflow.sdk.exceptions import AirflowSkipException

import common


@dag(
    schedule=AssetAny(common.SCORES, common.FORECASTS),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=common.DEFAULT_ARGS,
    params={"as_of": common.AS_OF},
    tags=["write back"],
    doc_md=__doc__,
)
def writeback() -> None:
    @task
    def to_serving() -> dict[str, object]:
        from jobs.writeback import tasks

        if not tasks.are_published(tasks.SCORES):
            raise AirflowSkipException("nobody has been scored yet")
        return tasks.to_serving(common.as_of())

    @task
    def forecasts_to_serving() -> dict[str, object]:
        from jobs.writeback import tasks

        if not tasks.are_published(tasks.FORECASTS):
            raise AirflowSkipException("nothing has been forecast yet")
        return tasks.forecasts_to_serving()

    @task(
        on_success_callback=common.report_refused,
        on_failure_callback=[common.report_failure, common.report_refused],
    )
    def to_hospitals() -> dict[str, object]:
        from jobs.writeback import tasks

        if not tasks.are_published(tasks.SCORES):
            raise AirflowSkipException("nobody has been scored yet")
        return tasks.to_hospitals(common.as_of())

    @task(
        on_success_callback=common.report_refused_forecasts,
        on_failure_callback=[common.report_failure, common.report_refused_forecasts],
    )
    def forecasts_to_hospitals() -> dict[str, object]:
        from jobs.writeback import tasks

        if not tasks.are_published(tasks.FORECASTS):
            raise AirflowSkipException("nothing has been forecast yet")
        return tasks.forecasts_to_hospitals(common.as_of())

    to_serving()
    forecasts_to_serving()
    to_hospitals()
    forecasts_to_hospitals()


writeback()
