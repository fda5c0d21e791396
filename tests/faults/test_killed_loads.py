"""A load killed at any of its steps and run again gives the tables of a load that was never killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs.lake import control
from jobs.settings import settings
from jobs.sources import load as load_source
from tests.support.exports import one_of_each
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
