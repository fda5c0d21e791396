"""What jobs may rely on in a session, whichever engine answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from time import sleep
from typing import Any

import pyspark.sql.connect.proto as pb2
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from infra.engine import sail
from infra.engine.launch import Engine
from jobs.errors import CitywellError
from jobs.lake.engine import CALL_SITES, describe, engine_kind, kept, session, told
from tests.contract.workers import blurt, shout, who_works


def test_the_kind_of_engine_is_known(request: pytest.FixtureRequest, spark: SparkSession) -> None:
    assert engine_kind(spark) == ("spark" if "[spark]" in request.node.name else "sail")


def test_instants_are_utc_and_casts_can_be_tried(spark: SparkSession) -> None:
    row = spark.sql(
        "select date_format(timestamp'2026-07-01T12:00:00+02:00', 'HH:mm') as at, try_cast('x' as int) as nothing, "
        "xxhash64('hospital_a', '0123456789abcdef0123456789abcdef') as hash"
    ).first()
    assert row is not None
    assert (row["at"], row["nothing"], row["hash"]) == ("10:00", None, -8651574234163980179)


@pytest.mark.parametrize(
    "fail",
    [
        lambda words: words.select(F.col("word").cast("int")),
        lambda words: words.mapInArrow(blurt, "word string"),
        lambda words: words.select(F.raise_error(F.col("word"))),
    ],
    ids=["cast", "worker", "raise_error"],
)
def test_a_failed_query_leaves_no_value_behind(
    engine: Engine,
    spark: SparkSession,
    fail: Callable[[DataFrame], DataFrame],
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = spark.createDataFrame([("Miller",)], "word string")
    with pytest.raises(PySparkException) as refused:
        fail(words).collect()
    assert "Miller" in str(refused.value), "or the next line would show nothing"
    assert "Miller" not in describe(refused.value)
    assert "Miller" not in "".join(capfd.readouterr())
    assert "Miller" not in engine.log.read_text()


def test_the_first_and_last_date_of_a_table_are_known(spark: SparkSession, lake: Path) -> None:
    days = spark.sql("select explode(sequence(date'2026-02-27', date'2026-03-01', interval 1 day)) as day")
    days.write.format("delta").save(str(lake / "days"))
    told = spark.read.format("delta").load(str(lake / "days")).agg(F.min("day"), F.max("day")).first()
    assert told is not None
    assert tuple(told) == (date(2026, 2, 27), date(2026, 3, 1))


def test_workers_import_functions_by_name(spark: SparkSession) -> None:
    words = spark.createDataFrame([("a",), ("b",)], "word string")
    assert sorted(row.word for row in words.mapInArrow(shout, "word string").collect()) == [
        "A",
        "B",
        "a",
        "b",
    ]


def test_parts_of_a_list_are_worked_on_at_the_same_time(spark: SparkSession) -> None:
    files = spark.createDataFrame([(f"file{n}", n) for n in range(8)], "file string, part int")
    parts = files.repartitionByRange(2, F.col("part")).mapInArrow(
        who_works, "rows long, thread long, started double, ended double"
    )
    first, second = [row for row in parts.collect() if row["rows"]]
    assert first["rows"] == second["rows"] == 4
    assert max(first["started"], second["started"]) < min(first["ended"], second["ended"])


@pytest.mark.usefixtures("spark")
def test_rows_are_kept_in_their_own_session(engine: Engine) -> None:
    """Computed once, although an older session is open, and from a thread that has none of its own."""
    with session(engine.remote) as newer, ThreadPoolExecutor(1) as pool:
        rows = newer.range(3).select(
            "id", F.current_timestamp().alias("at"), F.array(F.lit("a")).alias("letters")
        )
        once = pool.submit(kept, rows).result()
        assert set(map(str, once.collect())) == set(map(str, once.collect()))
        assert once.schema.simpleString() == rows.schema.simpleString()
        assert pool.submit(kept, rows.limit(0)).result().count() == 0


def test_too_little_memory_is_told_as_such(sail_engine: Engine) -> None:
    three_gib = "select size(collect_list(lpad(cast(id as string), 1000, '0'))) from range(3000000)"
    with session(sail_engine.remote) as spark, pytest.raises(CitywellError) as error, told("here"):
        spark.sql(three_gib).collect()
    assert "has not the memory" in error.value.what
    assert "CITYWELL_ENGINE_MEMORY_GIB" in error.value.do


def test_sail_waits_for_a_session_as_long_as_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sail, "IDLE_SESSION_S", 1)
    with sail.running_sail(tmp_path) as engine, session(engine.remote) as spark:
        spark.range(1).collect()
        sleep(3)
        with pytest.raises(PySparkException, match="is not running"):
            spark.range(1).collect()


def test_a_large_answer_in_one_piece_is_taken(spark: SparkSession) -> None:
    cases = spark.sql("select id, repeat('x', 1000000) as told from range(0, 160, 1, 1)")
    came = spark.sql("select -1L as other")
    found = cases.join(came, cases.id == came.other, "left").toArrow()
    assert found.num_rows == 160
    assert found.nbytes > 128 * 2**20


@pytest.mark.parametrize("damaged", [2, 3])
def test_an_answer_that_came_through_damaged_is_asked_for_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, damaged: int
) -> None:
    answers = iter([b"\xff"] * damaged)
    with session(engine.remote) as spark:
        client: Any = spark.client
        call = client._channel.unary_unary(
            "/spark.connect.SparkConnectService/Config",
            request_serializer=pb2.ConfigRequest.SerializeToString,
            response_deserializer=lambda answer: pb2.ConfigResponse.FromString(next(answers, answer)),
        )
        monkeypatch.setattr(client._stub, "Config", call)
        if damaged == 2:
            assert spark.conf.get("spark.sql.session.timeZone") == "UTC"
        else:
            with pytest.raises(PySparkException, match="Exception deserializing"):
                spark.conf.get("spark.sql.session.timeZone")
        assert list(answers) == []


def test_no_call_pays_for_noting_where_it_was_made(engine: Engine) -> None:
    with session(engine.remote) as spark:
        assert spark.conf.get(CALL_SITES) == "false"
