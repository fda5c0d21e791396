"""A server that goes down in the middle of a load: the load fails clean, and the next run ends alike."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from infra.engine import sail
from infra.engine.launch import Engine
from infra.stack.postgres import SUPERUSER, Cluster, free_port, throwaway
from jobs import ingest
from jobs.errors import CitywellError
from jobs.extract.mllp import sealed
from jobs.lake.load import load, steps
from jobs.settings import settings
from tests.faults.conftest import NORTH
from tests.support.disk import fill
from tests.support.exports import random_histories
from tests.support.hl7 import arrival, journalled
from tests.support.lake import Export, TestLake, instant, use_home
from tests.support.promises import assert_promises, contents

POINTS = ["stage:patient", "judged", "merge:patient", "before publish"]


@pytest.fixture
def export() -> Export:
    return random_histories(7, instant("2026-01-01"), exports=1, people=20)[0]


@pytest.fixture
def lake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Cluster, sail_engine: Engine
) -> Iterator[TestLake]:
    yield use_home(monkeypatch, tmp_path / "home", postgres, sail_engine.remote)
    settings.cache_clear()


def fails_at(point: str, harm: Callable[[], None], batch_id: str, said: str) -> None:
    """A load during which ``harm`` is done at ``point`` ends with an error for people that says ``said``."""

    def at(name: str) -> None:
        if name == point:
            harm()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "crash_here", at)
        with pytest.raises(CitywellError, match=said):
            load(batch_id)


@contextmanager
def closed(postgres: Cluster, database: str) -> Iterator[Callable[[], None]]:
    """What shuts everybody out of ``database``; it is open again after the block."""
    name = sql.Identifier(database)
    with psycopg.connect(postgres.dsn("postgres", SUPERUSER), autocommit=True) as conn:

        def close() -> None:
            conn.execute(sql.SQL("alter database {} allow_connections false").format(name))
            conn.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (database,)
            )

        try:
            yield close
        finally:
            conn.execute(sql.SQL("alter database {} allow_connections true").format(name))


@pytest.mark.parametrize("point", POINTS)
def test_the_control_database_goes_down(
    point: str, lake: TestLake, export: Export, postgres: Cluster
) -> None:
    batch_id = lake.land(NORTH, export)
    with closed(postgres, "control") as close:
        fails_at(point, close, batch_id, "A statement of the database failed|cannot be reached")
        with pytest.raises(CitywellError, match="control database cannot be reached"):
            load(batch_id)
    assert contents() == {}
    load(batch_id)
    assert_promises()


@pytest.mark.parametrize("point", ["stage:patient", "judged", "record:quality.quarantine"])
def test_the_engine_is_killed(
    point: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    postgres: Cluster,
    sail_engine: Engine,
    export: Export,
) -> None:
    with sail.running_sail(tmp_path) as doomed:
        lake = use_home(monkeypatch, tmp_path / "home", postgres, doomed.remote)
        batch_id = lake.land(NORTH, export)
        fails_at(point, doomed.process.kill, batch_id, "engine")
    monkeypatch.setenv("CITYWELL_ENGINE_PORT", sail_engine.remote.rpartition(":")[2])
    settings.cache_clear()
    assert contents() == {}
    load(batch_id)
    assert_promises()
    settings.cache_clear()


def test_a_message_of_an_hour_without_an_engine_is_published_with_those_of_the_next(
    lake: TestLake, monkeypatch: pytest.MonkeyPatch, sail_engine: Engine
) -> None:
    (settings().city_dir / "drops" / "hl7" / "north").mkdir(parents=True)
    first, second, third = (f"2026-01-10T0{hour}:05:00Z" for hour in (4, 5, 6))
    journalled("events_north", arrival(1))
    monkeypatch.setenv("CITYWELL_ENGINE_PORT", str(free_port()))
    settings.cache_clear()
    for _ in range(2):
        with pytest.raises(CitywellError, match="no engine answers"):
            ingest.ingest("events_north", first)
    monkeypatch.setenv("CITYWELL_ENGINE_PORT", sail_engine.remote.rpartition(":")[2])
    settings.cache_clear()
    journal = journalled("events_north", arrival(2))
    assert ingest.ingest("events_north", second)["published"] == 2
    assert ingest.ingest("events_north", third)["received"] == 0
    assert sealed(journal) == []
    assert ingest.ingest("events_north", first)["duplicate"] == 1
    assert len(lake.rows("select 1 from silver.hospital_events__admission")) == 2
    assert_promises()


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A disk that every user of the machine may write to; PostgreSQL is another one where tests run as root."""
    with tempfile.TemporaryDirectory(prefix="citywell-disk-") as place:
        Path(place).chmod(0o755)
        options = ["-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", place]
        mounted = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"a small disk needs the right to mount one: {mounted.stderr.strip()}")
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


def test_the_disk_of_the_databases_is_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sail_engine: Engine
) -> None:
    [export] = random_histories(7, instant("2026-01-01"), exports=1, people=4000)
    with small_disk("300m") as place, monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(place))
        with throwaway() as databases:
            lake = use_home(monkeypatch, tmp_path / "home", databases, sail_engine.remote)
            batch_id = lake.land(NORTH, export)
            fillers: list[Path] = []
            fails_at(
                "stage:patient", lambda: fillers.append(fill(place)), batch_id, "disk is full|DiskFull|failed"
            )
            fillers[0].unlink()
            assert contents() == {}
            load(batch_id)
            assert_promises()
    settings.cache_clear()
