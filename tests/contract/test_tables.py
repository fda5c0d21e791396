"""What each verb of the table contract promises, on both engines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from infra.engine.launch import Engine
from jobs.errors import CitywellError
from jobs.lake import deletion_vectors, tables
from jobs.lake.engine import session

LETTERS, CURRENT = "bronze.letters", "silver.letters"
RECORD = "key string, version_at timestamp, is_deleted boolean, content_hash string, month string"
ORDER = ["version_at", "is_deleted", "content_hash"]


def letters(spark: SparkSession, *values: str) -> DataFrame:
    return spark.createDataFrame([(value,) for value in values], "letter string")


def held(spark: SparkSession, table: str, lake: Path, version: int | None = None) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in tables.read(spark, table, version, lake=lake).collect())


def record(key: str, day: int, deleted: bool = False, content: str = "a", month: str = "2026-01") -> tuple:
    return key, datetime(2026, 1, day, 12, tzinfo=UTC), deleted, content, month


def merge(spark: SparkSession, lake: Path, *records: tuple[Any, ...], **how: Any) -> int:
    rows = spark.createDataFrame(list(records), RECORD)
    return tables.merge_newest(
        spark, CURRENT, rows, key=["key"], order=ORDER, partition="month", lake=lake, **how
    )


def current(spark: SparkSession, lake: Path, version: int | None = None) -> dict[str, tuple[Any, ...]]:
    """Rows by key: day of the version, deleted, content, month."""
    rows = tables.read(spark, CURRENT, version, lake=lake).collect()
    found = {r.key: (r.version_at.day, r.is_deleted, r.content_hash, r.month) for r in rows}
    assert len(found) == len(rows), "a key is there twice"
    return found


def test_a_batch_is_appended_once(spark: SparkSession, lake: Path) -> None:
    first = tables.append_batch(spark, LETTERS, letters(spark, "a", "b"), "it's 1\\", lake=lake)
    assert tables.append_batch(spark, LETTERS, letters(spark, "a", "b"), "it's 1\\", lake=lake) == first
    tables.append_batch(spark, LETTERS, letters(spark, "c"), "2", lake=lake)
    assert held(spark, LETTERS, lake) == [("a", "it's 1\\"), ("b", "it's 1\\"), ("c", "2")]
    assert held(spark, LETTERS, lake, first) == [("a", "it's 1\\"), ("b", "it's 1\\")]


def test_other_columns_are_refused_and_named(spark: SparkSession, lake: Path) -> None:
    tables.append_batch(spark, LETTERS, letters(spark, "a"), "1", lake=lake)
    before = tables.version(LETTERS, lake)
    for other, difference in {
        "letter string, pitch int": "pitch is new",
        "pitch string": "letter is missing",
        "letter int": "letter is int, was string",
    }.items():
        rows = spark.createDataFrame([], other)
        with pytest.raises(CitywellError, match=difference):
            tables.append_batch(spark, LETTERS, rows, "2", lake=lake)
        with pytest.raises(CitywellError, match=difference):
            tables.replace_slice(spark, LETTERS, rows, {"batch_id": "1"}, lake=lake)
    assert tables.version(LETTERS, lake) == before


def test_columns_come_and_go_and_older_rows_lack_them(spark: SparkSession, lake: Path) -> None:
    first = spark.createDataFrame([("1", "x", 7)], "part string, a string, b int")
    assert tables.fit(first, "bronze.made", lake=lake).columns == first.columns
    tables.replace_slice(spark, "bronze.made", first, {"part": "1"}, lake=lake)
    second = spark.createDataFrame([("2", "y", [0.5])], "part string, a string, c array<double>")
    fitted = tables.fit(second, "bronze.made", lake=lake)
    tables.replace_slice(spark, "bronze.made", fitted, {"part": "2"}, lake=lake)
    rows = tables.read(spark, "bronze.made", lake=lake).select("part", "a", "b", "c").orderBy("part")
    assert [tuple(row) for row in rows.collect()] == [("1", "x", 7, None), ("2", "y", None, [0.5])]
    before = tables.version("bronze.made", lake)
    tables.fit(second, "bronze.made", lake=lake)
    assert tables.version("bronze.made", lake) == before, "what agrees is left alone"
    other = spark.createDataFrame([("2", "z")], "part string, b string")
    other = tables.fit(other, "bronze.made", lake=lake)
    with pytest.raises(CitywellError, match="b is string, was int"):
        tables.replace_slice(spark, "bronze.made", other, {"part": "2"}, lake=lake)


def test_a_slice_is_replaced_alone_and_again_alike(spark: SparkSession, lake: Path) -> None:
    tables.append_batch(spark, LETTERS, letters(spark, "a", "b"), "1", lake=lake)
    tables.append_batch(spark, LETTERS, letters(spark, "c"), "2", lake=lake)
    for _ in range(2):
        tables.replace_slice(spark, LETTERS, letters(spark, "z"), {"batch_id": "1"}, lake=lake)
        assert held(spark, LETTERS, lake) == [("c", "2"), ("z", "1")]
    tables.delete_slice(LETTERS, {"batch_id": "2"}, lake=lake)
    assert held(spark, LETTERS, lake) == [("z", "1")]


@pytest.mark.parametrize("batch_id", ["it's 1\\", "50 % of 1:2/3=4"])
def test_a_slice_of_any_name_is_deleted(spark: SparkSession, lake: Path, batch_id: str) -> None:
    tables.append_batch(spark, LETTERS, letters(spark, "a"), "1", lake=lake)
    tables.append_batch(spark, LETTERS, letters(spark, "b"), batch_id, lake=lake)
    tables.delete_slice(LETTERS, {"batch_id": batch_id}, lake=lake)
    assert held(spark, LETTERS, lake) == [("a", "1")]


@pytest.mark.parametrize("where", [{"batch_id": "2"}, {"letter": "b"}, {"batch_id": "1", "letter": "b"}])
def test_a_slice_without_rows_takes_none_away(
    spark: SparkSession, lake: Path, where: dict[str, tables.Value]
) -> None:
    version = tables.append_batch(spark, LETTERS, letters(spark, "a"), "1", lake=lake)
    assert tables.delete_slice(LETTERS, where, lake=lake) == version
    assert held(spark, LETTERS, lake) == [("a", "1")]


def test_a_row_of_another_slice_fails_the_write(spark: SparkSession, lake: Path) -> None:
    tables.append_batch(spark, LETTERS, letters(spark, "a"), "1", lake=lake)
    rows = spark.createDataFrame([("b", "1"), ("secret", "2")], "letter string, batch_id string")
    with pytest.raises(CitywellError, match="refused the write") as refused:
        tables.replace_slice(spark, LETTERS, rows, {"batch_id": "1"}, lake=lake)
    assert "secret" not in str(refused.value)
    assert held(spark, LETTERS, lake) == [("a", "1")]


def test_the_newest_record_of_each_key_is_kept(spark: SparkSession, lake: Path) -> None:
    first = merge(spark, lake, *[record(key, 5, content="b") for key in "abcdf"])
    merge(
        spark,
        lake,
        record("a", 6, content="later"),
        record("b", 4, content="older"),
        record("c", 5, content="b", deleted=True),
        record("d", 5, content="a"),
        record("e", 1, month="2025-12"),
        record("f", 6, content="moved", month="2025-03"),
    )
    expected = {
        "a": (6, False, "later", "2026-01"),
        "b": (5, False, "b", "2026-01"),
        "c": (5, True, "b", "2026-01"),
        "d": (5, False, "b", "2026-01"),
        "e": (1, False, "a", "2025-12"),
        "f": (6, False, "moved", "2025-03"),
    }
    assert current(spark, lake) == expected
    assert current(spark, lake, first)["a"] == (5, False, "b", "2026-01")
    merge(spark, lake, record("a", 5), record("c", 5, content="b", deleted=True), record("f", 5))
    assert current(spark, lake) == expected
    merge(spark, lake, record("f", 2, content="settled"), is_settled=True)
    assert current(spark, lake)["f"] == (2, False, "settled", "2026-01")


def test_a_merge_wants_one_row_a_key_and_a_partition(spark: SparkSession, lake: Path) -> None:
    with pytest.raises(CitywellError, match="1 rows repeat a key"):
        merge(spark, lake, record("a", 5), record("a", 6))
    with pytest.raises(CitywellError, match="1 rows have no month"):
        merge(spark, lake, (*record("a", 5)[:4], None))
    assert current(spark, lake) == {}


@pytest.mark.parametrize(
    "engine", ["sail", pytest.param("spark", marks=[pytest.mark.spark, pytest.mark.slow])], indirect=True
)
def test_a_merge_removes_a_doubled_row(spark: SparkSession, lake: Path) -> None:
    merge(spark, lake, record("a", 5), record("b", 5))
    doubled = tables.read_all(spark, CURRENT, None, lake).where("key = 'a'").replace("2026-01", "2025-11")
    doubled.write.format("delta").mode("append").save(str(tables.path_of(CURRENT, lake)))
    merge(spark, lake, record("a", 4), record("c", 1))
    assert set(current(spark, lake)) == {"a", "b", "c"}


def test_maintenance_changes_no_row_and_merging_goes_on(spark: SparkSession, lake: Path) -> None:
    published = merge(spark, lake, record("a", 1), record("b", 1))
    merge(spark, lake, record("a", 2), record("c", 1))
    rows = current(spark, lake)
    path = tables.path_of(CURRENT, lake)
    orphan = path / "month=2026-01" / "left-by-a-killed-writer.parquet"
    orphan.write_bytes(b"")
    tables.maintain(CURRENT, keep_versions=[published], retention_hours=0, lake=lake)
    assert not orphan.exists()
    assert current(spark, lake) == rows
    assert set(current(spark, lake, published)) == {"a", "b"}
    merge(spark, lake, record("a", 9), record("g", 1))
    assert current(spark, lake) == {
        **rows,
        "a": (9, False, "a", "2026-01"),
        "g": (1, False, "a", "2026-01"),
    }
    assert {str(file.relative_to(path)) for file in path.rglob("*.bin")} <= deletion_vectors.referenced(path)


def test_history_tells_the_commits(spark: SparkSession, lake: Path) -> None:
    assert tables.version(LETTERS, lake) is None
    tables.append_batch(spark, LETTERS, letters(spark, "a"), "1", lake=lake)
    newest, oldest = tables.history(LETTERS, lake)
    assert (newest.version, newest.operation) == (1, "WRITE")
    assert (oldest.version, oldest.operation) == (0, "CREATE TABLE")
    assert newest.at >= oldest.at


def test_views_show_published_versions_by_name(engine: Engine, spark: SparkSession, lake: Path) -> None:
    merge(spark, lake, record("a", 5))
    for letter in "ab":
        published = tables.append_batch(spark, LETTERS, letters(spark, letter), letter, lake=lake)
    for _ in range(2):
        with session(engine.remote) as reader:
            tables.create_views(reader, {LETTERS: published - 1, CURRENT: 1}, lake=lake)
            assert [tuple(row) for row in reader.sql("select * from bronze.letters").collect()] == [
                ("a", "a")
            ]
            assert reader.table(CURRENT).columns == ["key", *ORDER, "month"]
            tables.create_views(reader, {LETTERS: published}, where="batch_id <> 'a'", lake=lake)
            assert [tuple(row) for row in reader.sql("select * from bronze.letters").collect()] == [
                ("b", "b")
            ]


def test_sessions_register_the_same_tables_at_once(engine: Engine, spark: SparkSession, lake: Path) -> None:
    names = [f"bronze.letters_{number}" for number in range(4)]
    versions = {name: tables.append_batch(spark, name, letters(spark, "a"), "1", lake=lake) for name in names}

    def registered(_: int) -> list[list[tuple[Any, ...]]]:
        with session(engine.remote) as reader:
            for name in names * 3:
                tables.create_views(reader, versions, lake=lake)
                assert reader.table(name).count() == 1
            return [[tuple(row) for row in reader.table(name).collect()] for name in names]

    with ThreadPoolExecutor(3) as beside:
        assert list(beside.map(registered, range(3))) == [[[("a", "1")]] * len(names)] * 3


def test_values_of_every_type_come_back(spark: SparkSession, lake: Path) -> None:
    values = (
        "é",
        Decimal("12345678.123456"),
        1.5,
        True,
        date(1900, 2, 28),
        datetime(2026, 3, 29, 1, 30, 0, 123456),
        [("k", [1, None]), ("k", None)],
        None,
    )
    rows = spark.createDataFrame(
        [values],
        "text string, amount decimal(18,6), number double, flag boolean, day date, moment timestamp, "
        "parts array<struct<name: string, numbers: array<int>>>, empty string",
    )
    expected = {
        **dict(zip(rows.columns, values, strict=True)),
        "parts": [{"name": "k", "numbers": [1, None]}, {"name": "k", "numbers": None}],
    }
    tables.append_batch(spark, "bronze.types", rows, "1", lake=lake)
    tables.replace_slice(spark, "bronze.types", rows, {"batch_id": "2"}, lake=lake)
    found = tables.read(spark, "bronze.types", lake=lake).drop("batch_id").collect()
    assert [row.asDict(recursive=True) for row in found] == [expected, expected]


def test_a_table_name_has_two_parts(spark: SparkSession, lake: Path) -> None:
    for name in ("letters", "a.b.c", "bronze.../../etc"):
        with pytest.raises(CitywellError, match="two plain names"):
            tables.read(spark, name, lake=lake)
    with pytest.raises(CitywellError, match="does not exist"):
        tables.read(spark, LETTERS, lake=lake)


def test_views_show_the_columns_that_a_table_has_now(engine: Engine, spark: SparkSession, lake: Path) -> None:
    tables.append_batch(spark, LETTERS, letters(spark, "a"), "1", lake=lake)
    with session(engine.remote) as reader:
        tables.create_views(reader, {LETTERS: 1}, lake=lake)
    rows = spark.createDataFrame([(1, "a")], "pitch int, letter string")
    writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
    writer.save(str(lake / "bronze" / "letters"))
    with session(engine.remote) as reader:
        tables.create_views(reader, {LETTERS: 2}, lake=lake)
        assert [row.asDict() for row in reader.table(LETTERS).collect()] == [{"pitch": 1, "letter": "a"}]
