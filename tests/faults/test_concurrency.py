"""Two that work on the same thing at once: one waits, is refused or comes again; nothing is lost and nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from pyspark.sql import SparkSession

from infra.engine.launch import Engine
from infra.stack.postgres import SUPERUSER, Cluster
from jobs import maintenance
from jobs.errors import CitywellError
from jobs.lake import control, engine, tables
from jobs.lake.load import load
from jobs.settings import settings
from tests.conftest import APACHE_SPARK
from tests.contract.workers import PATIENCE_S, held_back
from tests.faults.conftest import NORTH, Hospital
from tests.faults.test_killed_ingests import AS_OF, offer
from tests.support.exports import random_histories
from tests.support.kills import Killer
from tests.support.lake import TestLake, instant, use_home
from tests.support.promises import assert_promises, contents

TABLE = "silver.letters"
LOAD = "jobs.lake.load.load"


@pytest.fixture
def lake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Cluster, sail_engine: Engine
) -> Iterator[TestLake]:
    yield use_home(monkeypatch, tmp_path / "home", postgres, sail_engine.remote)
    settings.cache_clear()


def end_sessions_of(postgres: Cluster, database: str) -> None:
    with psycopg.connect(postgres.dsn("postgres", SUPERUSER), autocommit=True) as conn:
        conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (database,))


@pytest.mark.parametrize("point", ["staged", "judged", "before publish"])
def test_a_zombie_whose_lock_is_gone_publishes_nothing(
    point: str, lake: TestLake, postgres: Cluster, killer: Killer, tmp_path: Path
) -> None:
    [export] = random_histories(1, instant("2026-01-01"), exports=1, people=20)
    batch_id = lake.land(NORTH, export)
    with killer.held(LOAD, batch_id, at=point, gate=tmp_path / "gate") as let_go:
        end_sessions_of(postgres, "control")
        receipts = load(batch_id).receipts
        found = contents()
        code, said = let_go()
    assert code == 1
    assert "CitywellError" in said, (
        "its connection or its engine's session is gone, or its source is another's"
    )
    assert load(batch_id).receipts == receipts
    assert assert_promises() == found


def test_a_double_trigger_loads_once(lake: TestLake, killer: Killer, tmp_path: Path) -> None:
    [export] = random_histories(2, instant("2026-01-01"), exports=1, people=20)
    batch_id = lake.land(NORTH, export)
    with killer.held(LOAD, batch_id, at="merged", gate=tmp_path / "gate") as let_go:
        with pytest.raises(CitywellError, match="Another run is at work"):
            load(batch_id)
        assert let_go()[0] == 0
    assert len(assert_promises()["quality.receipts"]) == len(load(batch_id).receipts) == 2


def test_a_backfill_beside_the_daily_run(
    lake: TestLake,
    killer: Killer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    postgres: Cluster,
    sail_engine: Engine,
) -> None:
    early, late = random_histories(3, instant("2026-01-01"), exports=2, people=20)
    backfill, daily = (lake.land(NORTH, export) for export in (early, late))
    with killer.held(LOAD, daily, at="staged", gate=tmp_path / "gate") as let_go:
        with pytest.raises(CitywellError, match="Another run is at work"):
            load(backfill)
        assert let_go()[0] == 0
    load(backfill)
    assert_promises()
    beside = contents(timeless=True)
    in_order = use_home(monkeypatch, tmp_path / "in_order", postgres, sail_engine.remote)
    for export in (early, late):
        in_order.ingest(NORTH, export)
    assert contents(timeless=True) == beside


def test_maintenance_beside_a_load_waits_for_its_merge(
    lake: TestLake, killer: Killer, tmp_path: Path
) -> None:
    first, second = random_histories(4, instant("2026-01-01"), exports=2, people=20)
    lake.ingest(NORTH, first)
    batch_id = lake.land(NORTH, second)
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    with (
        ThreadPoolExecutor(1) as pool,
        killer.held(LOAD, batch_id, at="merge:patient", gate=tmp_path / "gate") as let_go,
    ):
        kept = pool.submit(maintenance.run, datetime.now(UTC))
        with control.connect() as conn:
            while not control.database.scalar(conn, waiting):
                assert not kept.done()
        assert let_go()[0] == 0
        assert kept.result(PATIENCE_S)["tables"]
    assert_promises()


def test_two_schedulers_start_one_export(hospital: Hospital, killer: Killer, tmp_path: Path) -> None:
    offer(hospital.server)
    with killer.held("jobs.ingest.ingest", NORTH, AS_OF, at="staged", gate=tmp_path / "gate") as let_go:
        with pytest.raises(CitywellError, match="Another run is at work"):
            hospital.ingest(AS_OF)
        assert let_go()[0] == 0
    assert hospital.ingest(AS_OF)["published"] == 2
    assert hospital.server.count("kickoff") == 1
    assert_promises()


def merge(spark: SparkSession, lake: Path, keys: str, gate: Path | None = None) -> int:
    rows = spark.createDataFrame([(key, 1, "2026-01") for key in keys], "key string, v int, month string")
    rows = held_back(rows, gate) if gate else rows
    return tables.merge_newest(spark, TABLE, rows, key=["key"], order=["v"], partition="month", lake=lake)


@pytest.fixture(params=["sail", APACHE_SPARK])
def running(request: pytest.FixtureRequest) -> Engine:
    return request.getfixturevalue(f"{request.param}_engine")


def test_a_merge_against_a_compaction(running: Engine, tmp_path: Path) -> None:
    """The merge has read its snapshot when the table is compacted below it: it comes second, and again."""
    lake, gate = tmp_path / "lake", tmp_path / "gate"
    with engine.session(running.remote) as spark, ThreadPoolExecutor(1) as pool:
        for keys in ("ab", "cd", "ef"):
            merge(spark, lake, keys)

        def late() -> int:
            with engine.session(running.remote) as own:
                return tables.retrying(lambda: merge(own, lake, "fgh", gate))

        outcome = pool.submit(late)
        while not Path(f"{gate}.reached").exists():
            assert not outcome.done(), outcome.exception()
        tables.maintain(TABLE, lake=lake)
        gate.touch()
        outcome.result(PATIENCE_S)
        rows = tables.read(spark, TABLE, lake=lake).collect()
    assert sorted(row.key for row in rows) == list("abcdefgh")
    assert tables.check(TABLE, lake=lake) == []


def test_a_vacuum_against_a_reader(running: Engine, tmp_path: Path) -> None:
    """A reader of the published version keeps its rows, although newer versions no longer need their files."""
    lake = tmp_path / "lake"
    with engine.session(running.remote) as spark, engine.session(running.remote) as reader:
        for keys in ("ab", "cd"):
            published = merge(spark, lake, keys)
        tables.create_views(reader, {TABLE: published}, lake=lake)
        seen = reader.table(TABLE)
        for keys in ("ef", "gh"):
            merge(spark, lake, keys)
        tables.maintain(TABLE, keep_versions=[published], retention_hours=0, lake=lake)
        assert sorted(row.key for row in seen.collect()) == list("abcd")
        assert sorted(row.key for row in reader.table(TABLE).collect()) == list("abcd")
    assert tables.check(TABLE, [published], lake=lake) == []
