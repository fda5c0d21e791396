"""A whole day of the city in one run: every endpoint that is not on demand, then one announcement.

Hospitals are extracted and loaded one by one, as their own DAG does. The other systems are many and small: each lane
takes its share of them one after another, so that what takes long to import is imported once. What fails stops itself
alone; what was loaded, be it in a lane that failed, is announced. The run then fails, so that it is seen, and a try
again passes over what has been loaded.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import Param, dag, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowSkipException
from jobs.sources import load_all

import common

LANES = 2


def _scheduled() -> list[str]:
    return [name for s in load_all().values() for name, e in s.endpoints.items() if not e.on_demand]


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=common.DEFAULT_ARGS,
    params={
        "as_of": common.AS_OF,
        "endpoints": Param(_scheduled(), type="array", description="which endpoints to ingest"),
        "full": Param(False, type="boolean", description="ask for everything, not for what came since"),
    },
    tags=["ingest"],
    doc_md=__doc__,
)
def ingest_city() -> None:
    @task
    def hospitals() -> list[str]:
        from jobs import ingest

        return ingest.fhir_servers(get_current_context()["params"]["endpoints"])

    @task
    def lanes() -> list[list[str]]:
        from jobs import ingest

        return ingest.lanes(get_current_context()["params"]["endpoints"], LANES)

    @task(map_index_template=common.ENDPOINT)
    def extract(endpoint: str) -> dict[str, object]:
        from jobs import ingest

        return ingest.extract(endpoint, common.as_of(), full=get_current_context()["params"]["full"])

    @task(map_index_template=common.ENDPOINT)
    def load(endpoint: str, landed: dict[str, object]) -> dict[str, object]:
        from jobs import ingest

        return ingest.load(str(landed["batch_id"]))

    @task
    def other_systems(endpoints: list[str]) -> list[dict[str, object]]:
        from jobs import ingest

        return ingest.ingest_each(endpoints, common.as_of(), full=get_current_context()["params"]["full"])

    @task(outlets=[common.CITY], trigger_rule="all_done")
    def announce() -> list[str]:
        """A lane that failed may have loaded something all the same."""
        from jobs import ingest

        loaded = ingest.loaded(get_current_context()["params"]["endpoints"], common.as_of())
        if not loaded:
            raise AirflowSkipException("nothing was loaded")
        common.announce(common.CITY)
        return loaded

    @task
    def complete(loaded: list[dict[str, object]], others: list[object]) -> int:
        """Fails with any endpoint, so that the run does."""
        return len(list(loaded)) + len(list(others))

    @task_group
    def each(endpoint: str) -> object:
        return load(endpoint=endpoint, landed=extract(endpoint=endpoint))

    loaded = each.expand(endpoint=hospitals())
    others = other_systems.expand(endpoints=lanes())
    [loaded, others] >> announce()
    complete(loaded, others)


ingest_city()
