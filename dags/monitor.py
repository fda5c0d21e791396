"""Look at models after they were put to use: what they are asked, how they answer, what became of it.

What crosses its line is told to the webhook, at least once: it may be told again where one instant is looked at twice,
as for its scores and for its forecasts. A question that moved or decayed on data that its newest training has not
seen is trained again: the train DAG waits for the asset ``citywell://models/retrain``, which names the questions. That
comes to an end, as the training that follows has seen the data (``ml.monitoring.asking``).
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import AssetAny, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

import common


@dag(
    schedule=AssetAny(common.SCORES, common.FORECASTS),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=common.DEFAULT_ARGS,
    params={"as_of": common.AS_OF},
    tags=["models"],
    doc_md=__doc__,
)
def monitor() -> None:
    @task
    def measure() -> dict[str, dict[str, object]]:
        from ml import monitoring

        return monitoring.monitor(common.as_of())

    @task
    def tell(found: dict[str, dict[str, object]]) -> int:
        from ml import monitoring

        return monitoring.tell(found)

    @task(outlets=[common.RETRAIN])
    def ask_for_training(found: dict[str, dict[str, object]]) -> list[str]:
        asked = sorted(name for name, one in found.items() if one.get("is_asked"))
        if not asked:
            raise AirflowSkipException("no question is to be trained again")
        common.announce(common.RETRAIN)
        get_current_context()["outlet_events"][common.RETRAIN].extra["questions"] = asked
        return asked

    @task
    def write_pages(found: dict[str, dict[str, object]]) -> list[str]:
        from ml import monitoring

        return monitoring.write_pages(common.as_of())

    found = measure()
    tell(found)
    ask_for_training(found)
    write_pages(found)


monitor()
