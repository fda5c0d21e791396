"""A load that cannot go on says why, publishes nothing, and goes on once the cause is mended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs import ingest
from jobs.errors import CitywellError
from jobs.extract.mllp import sealed
from jobs.lake import load as lake_load
from jobs.lake import tables
from jobs.lake.load import staging, work
from jobs.lake.load.work import Work
from jobs.settings import settings
from jobs.sources import find_endpoint
from tests.support.exports import ONE_OF_EACH, one_of_each
from tests.support.hl7 import arrival, journalled
from tests.support.lake import Export, TestLake, instant, totals, use_home
from tests.support.promises import assert_promises

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
    tolerate_fifty(monkeypatch, SOURCE)
    lake.ingest(SOURCE, export)
    assert [row["success"] for row in lake.rows(verdict)] == [True]


def tolerate_fifty(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """From now on the declaration of an endpoint tolerates 50 rejected records."""
    source, endpoint = find_endpoint(name)
    checks = source.checks.model_copy(update={"tolerated_quarantined": 50})
    lenient = source.model_copy(update={"checks": checks})
    monkeypatch.setattr(work, "find_endpoint", lambda _: (lenient, endpoint))


def refused(endpoint: str, as_of: str) -> str:
    """What to do about a batch that the checks refuse."""
    with pytest.raises(CitywellError, match="row rules reject at most") as told:
        ingest.ingest(endpoint, as_of)
    return told.value.do


def test_refused_messages_come_again_with_later_ones_until_the_declaration_tolerates_them(
    lake: TestLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings().city_dir / "drops" / "hl7" / "north").mkdir(parents=True)
    journalled("events_north", *(arrival(number, born="unknown") for number in range(21)))
    assert "let `checks` tolerate the rejected ones" in refused("events_north", "2026-01-10T04:05:00Z")
    journal = journalled("events_north", arrival(21))
    refused("events_north", "2026-01-10T05:05:00Z")
    tolerate_fifty(monkeypatch, "events_north")
    loaded = ingest.ingest("events_north", "2026-01-10T06:05:00Z")
    assert (loaded["received"], loaded["published"], loaded["quarantined"]) == (22, 1, 21)
    assert ingest.ingest("events_north", "2026-01-10T07:05:00Z")["received"] == 0
    assert sealed(journal) == []
    assert len(lake.rows("select 1 from silver.hospital_events__admission")) == 1
    assert_promises()


def test_a_refused_file_comes_again_until_it_is_replaced(lake: TestLake) -> None:
    file = settings().city_dir / "drops" / "energy" / "consumption_0110.csv"
    file.parent.mkdir(parents=True)
    days = [f"{day:02}.01.2026" for day in range(1, 12)]

    def drop(meters: str) -> None:
        rows = "".join(f"CW02;{day};100,0;1;{meters}\n" for day in days)
        header = "Netzgebiet;Datum;Strom_kWh;Wärme_kWh;Zählpunkte"
        file.write_bytes(f"{header}\n{rows}#ENDE;{len(days)}\n".encode("iso-8859-15"))
        os.utime(file, (instant("2026-01-12T01:00").timestamp(),) * 2)

    drop("many")
    assert "a file comes again with every batch until it is replaced" in refused(
        "energy_grid", "2026-01-12T04:20:00Z"
    )
    refused("energy_grid", "2026-01-13T04:20:00Z")
    drop("4")
    assert ingest.ingest("energy_grid", "2026-01-14T04:20:00Z")["published"] == len(days)
    assert len(lake.rows("select 1 from silver.energy__consumption")) == len(days)
    assert_promises()
