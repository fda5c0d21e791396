"""One DAG for each source definition: extract and load its endpoints side by side, then announce its silver tables.

An endpoint that is down and a bad batch stop their own endpoint; the others go on, and the announcement is made when
at least one was loaded. The run then fails, so that it is seen.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, Param, dag, get_current_context, task, task_group
from jobs.sources import Source, load_all

import common


def ingest(source: Source) -> DAG:
    scheduled = [name for name, endpoint in source.endpoints.items() if not endpoint.on_demand]

    @dag(
        dag_id=f"ingest_{source.name}",
        description=source.description,
        schedule=common.cron(source.schedule),
        start_date=datetime(2026, 1, 1),
        catchup=False,
        max_active_runs=1,
        default_args=common.DEFAULT_ARGS,
        params={
            "as_of": common.AS_OF,
            "endpoints": Param(
                scheduled, type="array", description="which of the source's endpoints to ingest"
            ),
            "full": Param(False, type="boolean", description="ask for everything, not for what came since"),
        },
        tags=["ingest", source.name],
        doc_md=__doc__,
    )
    def build() -> None:
        @task
        def endpoints() -> list[str]:
            return list(get_current_context()["params"]["endpoints"])

        @task(map_index_template=common.ENDPOINT)
        def extract(endpoint: str) -> dict[str, object]:
            from jobs import ingest

            return ingest.extract(endpoint, common.as_of(), full=get_current_context()["params"]["full"])

        @task(map_index_template=common.ENDPOINT)
        def load(endpoint: str, landed: dict[str, object]) -> dict[str, object]:
            from jobs import ingest

            return ingest.load(str(landed["batch_id"]))

        @task(outlets=[common.silver(source.name)], trigger_rule="all_done_min_one_success")
        def announce(loaded: list[dict[str, object]]) -> int:
            common.announce(common.silver(source.name))
            return len(list(loaded))

        @task
        def complete(loaded: list[dict[str, object]]) -> int:
            """Fails with any endpoint, so that the run does."""
            return len(list(loaded))

        @task_group
        def each(endpoint: str) -> object:
            return load(endpoint=endpoint, landed=extract(endpoint=endpoint))

        loaded = each.expand(endpoint=endpoints())
        announce(loaded)
        complete(loaded)

    return build()


for definition in load_all().values():
    globals()[f"ingest_{definition.name}"] = ingest(definition)
