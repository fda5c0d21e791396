"""A load that cannot go on says why, publishes nothing, and goes on once the cause is mended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs.errors import CitywellError
from jobs.lake import load as lake_load
from jobs.lake import tables
from jobs.lake.load import staging, work
from jobs.lake.load.work import Work
from jobs.settings import settings
from jobs.sources import find_endpoint
from tests.support.exports import ONE_OF_EACH, one_of_each
from tests.support.lake import Export, TestLake, instant, totals, use_home

SOURCE = "hospital_north"


@pytest.fixture
def lake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Cluster, sail_engine: Engine
) -> Iterator[TestLake]:
    yield use_home(monkeypatch, tmp_path, postgres, sail_engine.remote)
    settings.cache_clear()


def landed(lake: TestLake, export: Export, name: str) -> tuple[str, Path]:
    """The id of the landed batch and one of its files."""
    batch_id = lake.land(SOURCE, export)
    [file] = (lake.home / "landing" / SOURCE / batch_id).glob(name)
    return batch_id, file


def test_a_wrong_landing_key_is_named(lake: TestLake) -> None:
    batch_id, _ = landed(lake, one_of_each(instant("2026-01-01")), "*Patient*")
    key = lake.home / "keys" / "landing.key"
    right = key.read_text()
    key.write_text(os.urandom(32).hex())
    with pytest.raises(CitywellError, match="another key") as raised:
        lake_load.load(batch_id)
    assert raised.value.where.endswith(".cwl")
    key.write_text(right)
    assert totals(lake_load.load(batch_id).receipts)["received"] == len(ONE_OF_EACH) + 1


@pytest.mark.parametrize("name", ["*Patient*", "deleted*"])
def test_a_damaged_landed_file_is_named(lake: TestLake, name: str) -> None:
    batch_id, file = landed(lake, one_of_each(instant("2026-01-01")), name)
    sound = file.read_bytes()
    file.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with pytest.raises(CitywellError, match="damaged") as raised:
        lake_load.load(batch_id)
    assert file.name in raised.value.where
    file.write_bytes(sound)
    assert totals(lake_load.load(batch_id).receipts)["received"] == len(ONE_OF_EACH) + 1


@pytest.mark.parametrize("broken", ["*Encounter*", "*Basic*"])
def test_another_export_takes_the_place_of_what_was_staged_of_the_first(lake: TestLake, broken: str) -> None:
    """The second lands under the same batch, as after a damaged file that was deleted to be fetched anew."""

    def export(gender: str, version: str) -> Export:
        patient = {"resourceType": "Patient", "id": "p1", "gender": gender, "meta": {"lastUpdated": version}}
        others = {name: [{"resourceType": name, "id": "x"}] for name in ("Encounter", "Basic")}
        return Export(instant("2026-01-02"), {"Patient": [patient], **others})

    batch_id, file = landed(lake, export("female", "2025-12-01T00:00:00Z"), broken)
    sound = file.read_bytes()
    file.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with pytest.raises(CitywellError, match="damaged"):
        lake_load.load(batch_id)
    assert landed(lake, export("male", "2026-01-01T00:00:00Z"), "*Patient*")[0] == batch_id
    assert totals(lake_load.load(batch_id).receipts)["received"] == 3
    assert lake.rows("select sex from silver.hospital__patient") == [{"sex": "male"}]


def test_rows_doubled_in_bronze_stop_the_batch_and_the_next_run_mends_it(lake: TestLake) -> None:
    """An engine may commit the append of a killed load after the load has been started again."""
    batch_id, _ = landed(lake, one_of_each(instant("2026-01-01")), "*Patient*")

    def stage_twice(work: Work, *more: Any) -> None:
        staged(work, *more)
        rows = tables.read(work.spark, "bronze.hospital__patient")
        rows.write.format("delta").mode("append").save(str(tables.path_of("bronze.hospital__patient")))

    staged = staging.stage
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "stage", stage_twice)
        with pytest.raises(CitywellError, match="do not balance"):
            lake_load.load(batch_id)
    assert totals(lake_load.load(batch_id).receipts)["received"] == len(ONE_OF_EACH) + 1
    assert len(lake.rows("select 1 from bronze.hospital__patient")) == 1


def test_a_record_entered_in_error_and_a_small_batch_without_times_pass_the_checks(lake: TestLake) -> None:
    [observation] = ONE_OF_EACH["Observation"]
    untimed = {k: v for k, v in observation.items() if k != "effectiveDateTime"}
    retracted = {"id": "b2", "status": "entered-in-error"}
    lines = [{"resourceType": "Observation", **record} for record in (untimed, retracted)]
    receipts = lake.ingest(SOURCE, Export(instant("2026-01-01"), {"Observation": lines}))
    assert totals(receipts) == {"received": 2, "published": 1, "deleted": 1}


def test_the_verdict_on_a_refused_batch_is_published_and_replaced_by_the_next(
    lake: TestLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [{"resourceType": "Patient", "id": f"p{number}", "gender": "f"} for number in range(40)]
    export = Export(instant("2026-01-01"), {"Patient": lines})
    verdict = (
        "select success from quality.validations where observed like '%quarantined%' or why like 'row rules%'"
    )
    with pytest.raises(CitywellError, match="row rules reject at most"):
        lake.ingest(SOURCE, export)
    assert [row["success"] for row in lake.rows(verdict)] == [False]
    source, endpoint = find_endpoint(SOURCE)
    lenient = source.model_copy(
        update={"checks": source.checks.model_copy(update={"tolerated_quarantined": 50})}
    )
    monkeypatch.setattr(work, "find_endpoint", lambda name: (lenient, endpoint))
    lake.ingest(SOURCE, export)
    assert [row["success"] for row in lake.rows(verdict)] == [True]
