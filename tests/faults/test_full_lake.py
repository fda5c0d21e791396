"""A full disk under the lake: said as it is, the table stays as it was, and writing goes on once there is space."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra.engine.launch import Engine
from jobs.errors import CitywellError
from jobs.lake import engine, tables
from tests.conftest import APACHE_SPARK
from tests.support.disk import fill


@pytest.mark.parametrize("small_disk", ["16m"], indirect=True)
@pytest.mark.parametrize("kind", ["sail", APACHE_SPARK])
def test_a_batch_that_finds_no_space(kind: str, small_disk: Path, request: pytest.FixtureRequest) -> None:
    running: Engine = request.getfixturevalue(f"{kind}_engine")
    with engine.session(running.remote) as spark:
        rows = spark.range(200_000).selectExpr("id", "sha2(cast(id as string), 256) as text")
        tables.append_batch(spark, "bronze.t", rows.limit(1), "first", lake=small_disk)
        filler = fill(small_disk)
        with pytest.raises(CitywellError, match="the disk is full") as raised:
            tables.append_batch(spark, "bronze.t", rows, "second", lake=small_disk)
        assert str(small_disk) in raised.value.where
        filler.unlink()
        assert tables.read(spark, "bronze.t", lake=small_disk).count() == 1
        tables.append_batch(spark, "bronze.t", rows.limit(10), "second", lake=small_disk)
        assert tables.read(spark, "bronze.t", lake=small_disk).count() == 11


@pytest.mark.parametrize("small_disk", ["1m"], indirect=True)
@pytest.mark.parametrize("kind", ["sail", APACHE_SPARK])
def test_a_commit_that_finds_no_space(
    kind: str, small_disk: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The log alone is on the full disk: the rows are written, and nobody commits them."""
    running: Engine = request.getfixturevalue(f"{kind}_engine")
    lake = tmp_path / "lake"
    with engine.session(running.remote) as spark:
        rows = spark.range(10).selectExpr("id")
        tables.append_batch(spark, "bronze.t", rows.limit(1), "first", lake=lake)
        log = tables.path_of("bronze.t", lake) / "_delta_log"
        shutil.copytree(log, small_disk / "log")
        shutil.rmtree(log)
        log.symlink_to(small_disk / "log")
        filler = fill(small_disk)
        with pytest.raises(CitywellError, match=r"the disk is full|refused the write"):
            tables.append_batch(spark, "bronze.t", rows, "second", lake=lake)
        filler.unlink()
        assert tables.read(spark, "bronze.t", lake=lake).count() == 1
        assert tables.check("bronze.t", lake=lake) == []
        tables.append_batch(spark, "bronze.t", rows, "second", lake=lake)
        assert tables.read(spark, "bronze.t", lake=lake).count() == 11
