"""A small city with all its planted dirt gives equal tables, row for row, on Sail and on Apache Spark.

The exports are taken once, over HTTP, on Sail; Spark loads the same landing files. Compared are all silver, history,
quality and gold tables. Doubles are compared after rounding; the instants at which a check or a load ran are left out.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs import ingest, transform
from jobs.lake import control, landing
from jobs.lake.load import load
from jobs.settings import settings
from tests.support.city import advance, clock, running_city
from tests.support.lake import TestLake, use_home

ROUNDS = ((0, ("hospital_north", "hospital_harbour")), (1, ("hospital_north",)))
"""Days to live, then whom to read: inline and referenced medications, then what changed."""
RUN_TIMES = {"checked_at", "linked_at"}
ESTIMATES = {"distinct_count"}
"""Each engine estimates in its own way."""
DIGITS = 9


@pytest.mark.slow
@pytest.mark.spark
def test_both_engines_give_the_same_tables(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    postgres: Cluster,
    sail_engine: Engine,
    spark_engine: Engine,
) -> None:
    first_home, second_home = tmp_path / "first", tmp_path / "second"
    lake = use_home(monkeypatch, first_home, postgres, sail_engine.remote)
    with running_city(first_home, "--population", "40", "--years", "0.5", "--dirt", "4") as url:
        monkeypatch.setenv("CITYWELL_CITY_PORT", url.rpartition(":")[2])
        settings.cache_clear()
        for days, sources in ROUNDS:
            advance(url, days)
            for source in sources:
                ingest.ingest(source, clock(url))
    on_sail = _all_tables(lake)
    with control.connect() as conn:
        batches = [batch.batch_id for batch in control.batches(conn)][::-1]

    shutil.copytree(first_home / "landing", second_home / "landing")
    shutil.copytree(first_home / "keys", second_home / "keys")
    lake = use_home(monkeypatch, second_home, postgres, spark_engine.remote)
    for batch_id in batches:
        _land_again(batch_id)
        load(batch_id)
    on_spark = _all_tables(lake)
    settings.cache_clear()

    assert on_sail.keys() == on_spark.keys()
    assert len(on_sail["quality.quarantine"]) > 0
    assert len(on_sail["gold.fct_encounter"]) > 0
    for table in on_sail:
        assert on_sail[table] == on_spark[table], table


def _land_again(batch_id: str) -> None:
    source = batch_id.partition(".")[0]
    manifest = landing.read_manifest(landing.batch_dir(settings().landing_dir, source, batch_id))
    assert manifest is not None
    with control.connect() as conn:
        control.open_batch(conn, source, manifest.as_of)
        control.set_landed(conn, batch_id, manifest.transaction_time, is_complete=manifest.complete)


def _all_tables(lake: TestLake) -> dict[str, list[str]]:
    transform.run("2026-01-03T00:00:00+00:00")
    with control.connect() as conn:
        names = sorted(name for name in control.current_versions(conn) if not name.startswith("bronze."))
    names += [f"{name}_history" for name in names if name.startswith("silver.hospital__")]
    return {name: sorted(_comparable(row) for row in lake.rows(f"select * from {name}")) for name in names}


def _comparable(row: dict[str, Any]) -> str:
    return str(
        {name: _rounded(value) for name, value in sorted(row.items()) if name not in RUN_TIMES | ESTIMATES}
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list) else value
