"""Two writers at once, and writers that are killed in the middle."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from infra.engine import sail
from infra.engine import spark as apache_spark
from infra.engine.launch import Engine, free_port
from jobs.errors import CitywellError
from jobs.lake import tables
from jobs.lake.engine import session
from jobs.settings import settings
from tests.contract.workers import PATIENCE_S, held_back

LETTERS = "bronze.letters"


def letters(spark: SparkSession, *values: str) -> DataFrame:
    return spark.createDataFrame([(value,) for value in values], "letter string")


def held(spark: SparkSession, lake: Path) -> list[tuple[str, str]]:
    return sorted(tuple(row) for row in tables.read(spark, LETTERS, lake=lake).collect())


def wait_for(gate: Path) -> None:
    """Until a writer has read its snapshot and begun to read its rows."""
    deadline = time.monotonic() + PATIENCE_S
    while not Path(f"{gate}.reached").exists():
        assert time.monotonic() < deadline, "the writer never began"
        time.sleep(0.02)


@contextmanager
def in_background(step: Callable[[], int]) -> Iterator[Future[int]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(step)


def slow_writer(engine: Engine, write: Callable[[SparkSession], int]) -> Callable[[], int]:
    def run() -> int:
        with session(engine.remote) as own:
            return write(own)

    return run


def test_of_two_writers_of_a_slice_one_loses(
    engine: Engine, spark: SparkSession, lake: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    tables.append_batch(spark, LETTERS, letters(spark, "a"), "1", lake=lake)
    where = {"batch_id": "1"}
    late = slow_writer(
        engine,
        lambda own: tables.replace_slice(
            own, LETTERS, held_back(letters(own, "late"), gate), where, lake=lake
        ),
    )
    with in_background(late) as outcome:
        wait_for(gate)
        tables.replace_slice(spark, LETTERS, letters(spark, "early"), where, lake=lake)
        gate.touch()
        with pytest.raises(tables.LostRace):
            outcome.result(PATIENCE_S)
    assert held(spark, lake) == [("early", "1")]
    tables.retrying(late)
    assert held(spark, lake) == [("late", "1")]


def test_merges_at_once_lose_no_row(engine: Engine, spark: SparkSession, lake: Path) -> None:
    start = threading.Barrier(2)

    def merge(own: SparkSession, keys: str) -> int:
        rows = own.createDataFrame([(key, 1, "2026-01") for key in keys], "key string, v int, month string")
        start.wait(PATIENCE_S)
        return tables.retrying(
            lambda: tables.merge_newest(
                own, "silver.keys", rows, key=["key"], order=["v"], partition="month", lake=lake
            )
        )

    with ThreadPoolExecutor(2) as pool:
        writers = [
            pool.submit(slow_writer(engine, lambda own, keys=keys: merge(own, keys)))
            for keys in ("abc", "bcd")
        ]
        for writer in writers:
            writer.result(PATIENCE_S)
    rows = tables.read(spark, "silver.keys", lake=lake).collect()
    assert sorted(row.key for row in rows) == ["a", "b", "c", "d"]


def test_batches_are_appended_side_by_side_and_none_twice(
    engine: Engine, spark: SparkSession, lake: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    tables.append_batch(spark, LETTERS, letters(spark, "a"), "1", lake=lake)
    late = slow_writer(
        engine,
        lambda own: tables.append_batch(own, LETTERS, held_back(letters(own, "c"), gate), "3", lake=lake),
    )
    with in_background(late) as outcome:
        wait_for(gate)
        tables.append_batch(spark, LETTERS, letters(spark, "b"), "2", lake=lake)
        tables.append_batch(spark, LETTERS, letters(spark, "c"), "3", lake=lake)
        gate.touch()
        outcome.result(PATIENCE_S)
    assert held(spark, lake) == [("a", "1"), ("b", "2"), ("c", "3")]


CLIENT = """
    import sys
    from pathlib import Path
    from pyspark.sql import functions as F
    from jobs.lake import tables
    from jobs.lake.engine import session
    from tests.contract.workers import slowly

    remote, lake, gate = sys.argv[1:]
    with session(remote, name="contract") as spark:
        rows = spark.range(1500, numPartitions=1).select(F.lit("a").alias("letter"))
        tables.append_batch(spark, "bronze.letters", slowly(rows, Path(gate)), "2", lake=Path(lake))
"""


def start_client(engine: Engine, lake: Path, gate: Path) -> subprocess.Popen[bytes]:
    """A process in the middle of appending batch 2, which takes it half a minute."""
    client = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CLIENT), engine.remote, str(lake), str(gate)],
        stderr=subprocess.PIPE,
    )
    wait_for(gate)
    return client


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CITYWELL_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


@pytest.mark.usefixtures("home")
def test_a_killed_client_leaves_nothing_that_a_new_run_does_not_mend(
    engine: Engine, spark: SparkSession, lake: Path, tmp_path: Path
) -> None:
    tables.append_batch(spark, LETTERS, letters(spark, "z"), "1", lake=lake)
    client = start_client(engine, lake, tmp_path / "gate")
    client.kill()
    client.communicate()
    assert held(spark, lake) == [("z", "1")]
    started = time.monotonic()
    with session(engine.remote, name="contract") as again:
        assert time.monotonic() - started < 20, "the killed client's work was waited for, not ended"
        tables.append_batch(again, LETTERS, letters(again, "a", "b"), "2", lake=lake)
    assert held(spark, lake) == [("a", "2"), ("b", "2"), ("z", "1")]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "start",
    [
        sail.running_sail,
        pytest.param(apache_spark.running_spark, marks=[pytest.mark.spark, pytest.mark.slow]),
    ],
)
def test_a_killed_engine_leaves_the_old_version(
    start: Callable[[Path], contextmanager[Engine]],
    sail_engine: Engine,
    lake: Path,
    tmp_path: Path,
) -> None:
    with session(sail_engine.remote) as other:
        tables.append_batch(other, LETTERS, letters(other, "z"), "1", lake=lake)
        with start(tmp_path) as doomed:
            client = start_client(doomed, lake, tmp_path / "gate")
            doomed.process.kill()
            _, told = client.communicate(timeout=PATIENCE_S)
            assert b"CitywellError: the engine stopped answering" in told
        assert held(other, lake) == [("z", "1")]
        tables.append_batch(other, LETTERS, letters(other, "a", "b"), "2", lake=lake)
        assert held(other, lake) == [("a", "2"), ("b", "2"), ("z", "1")]


def test_an_engine_that_is_down_is_named_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(CitywellError, match="no engine answers"), session(f"sc://127.0.0.1:{free_port()}"):
        raise AssertionError
    assert time.monotonic() - started < 5
