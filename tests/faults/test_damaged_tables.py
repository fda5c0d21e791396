"""A damaged Delta log or a missing file is detected and named; what the log can be without is mended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs import maintenance
from jobs.errors import CitywellError
from jobs.lake import control, engine, tables
from jobs.settings import settings
from tests.conftest import SLOW_ON_SPARK
from tests.support.exports import random_histories
from tests.support.lake import Export, TestLake, instant, use_home
from tests.support.promises import assert_promises, contents

TABLE = "silver.letters"
SOURCE = "hospital_north"
Harm = Callable[[Path], None]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-30])


def only(directory: Path, pattern: str) -> Path:
    return sorted(directory.rglob(pattern))[-1]


DERIVED: dict[str, Harm] = {
    "a hint that is no JSON": lambda log: (log / "_last_checkpoint").write_text("{"),
    "an empty hint": lambda log: (log / "_last_checkpoint").touch(),
    "a hint at a checkpoint there is not": lambda log: (log / "_last_checkpoint").write_text(
        '{"version":99}'
    ),
    "a checkpoint cut off": lambda log: cut(only(log, "*.checkpoint*.parquet")),
    "an empty checkpoint": lambda log: only(log, "*.checkpoint*.parquet").write_bytes(b""),
    "a sum that is none": lambda log: (log / f"{1:020}.crc").write_text("garbage"),
    "a sum of a version there is not": lambda log: (log / f"{99:020}.crc").write_text("{}"),
}
LOST: dict[str, tuple[Harm, str]] = {
    "a commit cut off": (lambda log: cut(log / f"{2:020}.json"), f"_delta_log/{2:020}.json is damaged"),
    "a commit missing between others": (
        lambda log: (log / f"{2:020}.json").unlink(),
        f"_delta_log/{2:020}.json is missing",
    ),
    "the published commit missing": (
        lambda log: [file.unlink() for file in log.glob(f"{4:020}.*")],
        f"_delta_log/{4:020}.json is missing",
    ),
    "a data file missing": (
        lambda log: only(log.parent, "month=*/*.parquet").unlink(),
        ".parquet is missing",
    ),
    "a data file cut off": (lambda log: cut(only(log.parent, "month=*/*.parquet")), ".parquet is damaged"),
    "a deletion vector missing": (lambda log: only(log.parent, "*.bin").unlink(), ".bin is missing"),
}


def merge(spark: SparkSession, lake: Path, *keys: str, v: int = 1) -> int:
    rows = spark.createDataFrame([(key, v, "2026-01") for key in keys], "key string, v int, month string")
    return tables.merge_newest(
        spark, TABLE, rows.repartition(1), key=["key"], order=["v"], partition="month", lake=lake
    )


def rows(spark: SparkSession, lake: Path) -> list[tuple[object, ...]]:
    return sorted(tuple(row) for row in tables.read(spark, TABLE, lake=lake).collect())


@pytest.fixture(params=["sail", SLOW_ON_SPARK])
def spark(request: pytest.FixtureRequest) -> SparkSession:
    running: Engine = request.getfixturevalue(f"{request.param}_engine")
    with engine.session(running.remote) as spark:
        yield spark


@pytest.fixture
def table(spark: SparkSession, tmp_path: Path) -> Path:
    """A lake with one table of four versions and a row changed."""
    for keys, v in (("abcdef", 1), ("ab", 2), ("g", 1), ("h", 1)):
        merge(spark, tmp_path, *keys, v=v)
    assert tables.version(TABLE, tmp_path) == 4
    assert tables.check(TABLE, [3], lake=tmp_path) == []
    return tmp_path


@pytest.mark.parametrize("harm", DERIVED)
def test_what_the_log_can_be_without_is_mended(spark: SparkSession, table: Path, harm: str) -> None:
    before = rows(spark, table)
    log = tables.path_of(TABLE, table) / "_delta_log"
    tables.maintain(TABLE, lake=table)
    DERIVED[harm](log)
    found = tables.check(TABLE, lake=table)
    assert [damage.is_derived for damage in found] == [True]
    assert tables.mend(found, lake=table) == tables.check(TABLE, lake=table) == []
    assert rows(spark, table) == before
    merge(spark, table, "z")
    assert len(rows(spark, table)) == len(before) + 1


@pytest.mark.parametrize("harm", LOST)
def test_what_cannot_be_mended_is_named(spark: SparkSession, table: Path, harm: str) -> None:
    do, said = LOST[harm]
    do(tables.path_of(TABLE, table) / "_delta_log")
    found = tables.check(TABLE, [4], lake=table)
    assert any(str(damage).startswith(TABLE) and str(damage).endswith(said) for damage in found), found
    assert [damage for damage in tables.mend(found, lake=table) if said in str(damage)]


def test_a_sound_table_whose_partitions_are_written_oddly_is_sound(
    spark: SparkSession, tmp_path: Path
) -> None:
    slices = ("2026-01-01T00:00:00+00:00", "a b/c=d%20e", "é")
    for text in slices:
        rows = spark.createDataFrame([(1,)], "n int")
        tables.replace_slice(spark, "features.odd", rows, {"as_of": text}, lake=tmp_path)
    assert tables.check("features.odd", lake=tmp_path) == []
    assert tables.read(spark, "features.odd", lake=tmp_path).count() == len(slices)


def a_data_file(table: str) -> Path:
    [name, *_] = DeltaTable(str(tables.path_of(table))).file_uris()
    return Path(name)


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Cluster, sail_engine: Engine) -> TestLake:
    yield use_home(monkeypatch, tmp_path / "home", postgres, sail_engine.remote)
    settings.cache_clear()


def test_a_lost_file_of_the_lake_is_named_and_put_back(lake: TestLake) -> None:
    first, second = random_histories(5, instant("2026-01-01"), exports=2, people=20)
    lake.ingest(SOURCE, first)
    before = contents()
    table = "silver.hospital__patient"
    file = a_data_file(table)
    backup = file.read_bytes()
    file.unlink()
    with pytest.raises(CitywellError, match="missing or damaged") as refused:
        lake.ingest(SOURCE, second)
    assert "citywell maintain" in refused.value.do
    with pytest.raises(CitywellError, match=f"{table} version .*{file.name} is missing") as named:
        maintenance.run(datetime.now(UTC))
    assert (named.value.where, "--full" in named.value.do) == (table, True)
    file.write_bytes(backup)
    assert maintenance.run(datetime.now(UTC))["tables"]
    assert contents() == before
    lake.ingest(SOURCE, second)
    assert_promises()


def test_without_a_backup_a_full_export_into_an_empty_lake_gives_the_same_people(
    lake: TestLake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Cluster, sail_engine: Engine
) -> None:
    def person(n: int) -> dict[str, object]:
        return {
            "resourceType": "Patient",
            "id": f"p{n}",
            "gender": "female",
            "meta": {"lastUpdated": "2025-12-30"},
        }

    for day in (1, 2):
        lake.ingest(
            SOURCE, Export(instant(f"2026-01-0{day}"), {"Patient": [person(n) for n in range(9 * day)]})
        )
    before = contents(timeless=True)
    a_data_file("silver.hospital__patient").unlink()
    again = use_home(monkeypatch, tmp_path / "again", postgres, sail_engine.remote)
    again.ingest(SOURCE, Export(instant("2026-01-03"), {"Patient": [person(n) for n in range(18)]}))
    assert_promises()
    assert contents(timeless=True)["silver.hospital__patient"] == before["silver.hospital__patient"]


def test_maintenance_mends_and_goes_on_with_the_other_tables(lake: TestLake) -> None:
    lake.ingest(SOURCE, random_histories(6, instant("2026-01-01"), exports=1, people=20)[0])
    before = assert_promises()
    with control.connect() as conn:
        names = sorted(control.current_versions(conn))
    for name in names:
        (tables.path_of(name) / "_delta_log" / "_last_checkpoint").write_text('{"version":99}')
    file, away = a_data_file("quality.receipts"), lake.home / "away"
    file.rename(away)
    with pytest.raises(CitywellError, match="1 files of the lake"):
        maintenance.run(datetime.now(UTC))
    logs = {name: tables.path_of(name) / "_delta_log" for name in names}
    maintained = {name for name, log in logs.items() if list(log.glob("*.checkpoint*"))}
    assert maintained == set(names) - {"quality.receipts"}
    assert not [name for name, log in logs.items() if (log / "_last_checkpoint").exists()]
    away.rename(file)
    assert contents() == before
