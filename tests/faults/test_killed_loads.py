"""A load killed at any of its steps and run again gives the tables of a load that was never killed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs import ingest
from jobs.extract.mllp import sealed
from jobs.lake import control
from jobs.settings import settings
from jobs.sources import load as load_source
from tests.support.exports import one_of_each
from tests.support.hl7 import arrival, journalled
from tests.support.kills import Killer
from tests.support.lake import instant, use_home
from tests.support.promises import assert_promises

SOURCE = "hospital_north"
MODELLED = dict(list(load_source("hospital").tables.items())[:10])
"""Some of the types: every type is loaded by the same code, and each adds two kills."""
ENTITIES = list(MODELLED)
CRASH_POINTS = [
    *(f"stage:{entity}" for entity in ENTITIES),
    "staged",
    "validated",
    "checked",
    "judged",
    "record:quality.quarantine",
    "record:silver.person_link",
    "record:quality.receipts",
    *(f"merge:{entity}" for entity in ENTITIES),
    "before publish",
    "published",
]
VERDICTS = {"quality.validations"}
"""Shown before the batch is: a verdict on a refused batch is needed most."""


@pytest.mark.slow
def test_a_load_killed_at_every_step_converges(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    postgres: Cluster,
    sail_engine: Engine,
    killer: Killer,
) -> None:
    whole = one_of_each(instant("2026-01-01"))
    resources = {table.resource for table in MODELLED.values()} | {"Basic"}
    export = replace(whole, files={name: whole.files[name] for name in resources})

    lake = use_home(monkeypatch, tmp_path / "whole", postgres, sail_engine.remote)
    lake.ingest(SOURCE, export)
    expected = assert_promises()

    lake = use_home(monkeypatch, tmp_path / "killed", postgres, sail_engine.remote)
    batch_id = lake.land(SOURCE, export)
    for point in CRASH_POINTS:
        killer.run("jobs.lake.load.load", batch_id, at=point)
        with control.connect() as conn:
            is_visible = control.get_batch(conn, batch_id).status == "published"
            assert is_visible == (point == "published")
            assert bool(control.current_versions(conn).keys() - VERDICTS) == is_visible
    lake.ingest(SOURCE, export)
    assert assert_promises() == expected
    settings.cache_clear()


@pytest.mark.parametrize("point", ["extract:manifest written", "staged", "judged"])
def test_a_file_of_a_killed_run_is_published_once_by_whichever_run_comes_next(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    postgres: Cluster,
    sail_engine: Engine,
    killer: Killer,
    point: str,
) -> None:
    lake = use_home(monkeypatch, tmp_path, postgres, sail_engine.remote)
    dropped = settings().city_dir / "drops" / "energy" / "consumption_0110.csv"
    dropped.parent.mkdir(parents=True)
    header = "Netzgebiet;Datum;Strom_kWh;Wärme_kWh;Zählpunkte"
    dropped.write_bytes(f"{header}\nCW02;09.01.2026;100,0;1;4\n#ENDE;1\n".encode("iso-8859-15"))
    os.utime(dropped, (instant("2026-01-10T01:00").timestamp(),) * 2)

    _assert_published_once("energy_grid", killer, point)
    for table in ("energy__consumption", "energy__consumption_history"):
        assert lake.rows(f"select electricity_kwh from silver.{table}") == [{"electricity_kwh": 100.0}]
    settings.cache_clear()


@pytest.mark.parametrize("point", ["extract:manifest written", "staged", "judged"])
def test_a_message_of_a_killed_run_is_published_once_by_whichever_run_comes_next(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    postgres: Cluster,
    sail_engine: Engine,
    killer: Killer,
    point: str,
) -> None:
    lake = use_home(monkeypatch, tmp_path, postgres, sail_engine.remote)
    (settings().city_dir / "drops" / "hl7" / "north").mkdir(parents=True)
    place = journalled("events_north", arrival(1))

    _assert_published_once("events_north", killer, point)
    for table in ("hospital_events__admission", "hospital_events__admission_history"):
        assert [row["trigger"] for row in lake.rows(f"select trigger from silver.{table}")] == ["A04"]
    ingest.ingest("events_north", "2026-01-12T04:20:00Z")
    assert sealed(place) == []
    assert_promises()
    settings.cache_clear()


def _assert_published_once(endpoint: str, killer: Killer, point: str) -> None:
    """A record whose first run is killed at ``point`` is published by the run of the next day, or, where the first run
    was sure to publish it, by the first when it is run again."""
    killer.run("jobs.ingest.ingest", endpoint, "2026-01-10T04:20:00Z", at=point)
    next_day = ingest.ingest(endpoint, "2026-01-11T04:20:00Z")
    assert next_day["published"] == (0 if point == "judged" else 1)
    made_up = ingest.ingest(endpoint, "2026-01-10T04:20:00Z")
    assert (made_up["published"], made_up["duplicate"]) == ((1, 0) if point == "judged" else (0, 1))
    assert_promises()
