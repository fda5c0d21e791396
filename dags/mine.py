"""Mine gold: statistics, correlations, rules, clusters and anomalies, as tables ``gold.mining_…``."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import dag, task

import common


@dag(
    schedule=common.cron("30 4 * * 1"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=common.DEFAULT_ARGS,
    params={"as_of": common.AS_OF},
    tags=["models"],
    doc_md=__doc__,
)
def mine() -> None:
    @task
    def mine_gold() -> dict[str, object]:
        from ml import mining

        return mining.mine(common.as_of())

    mine_gold()


mine()
