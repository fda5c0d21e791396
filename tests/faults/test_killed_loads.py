"""A load killed at any of its steps and run again gives the tables of a load that was never killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs.lake import control
from jobs.settings import settings
from jobs.sources import load as load_source
from tests.support.exports import one_of_each
from tests.support.lake import TestLake, instant, use_home

SOURCE = "hospital_north"
ENTITIES = list(load_source("hospital").tables)
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
TABLES = [f"silver.hospital__{entity}" for entity in ENTITIES] + [
    "silver.hospital__patient_history",
    "silver.person_link",
    "quality.receipts",
    "quality.quarantine",
]


def contents(lake: TestLake) -> dict[str, Any]:
    return {table: sorted(map(str, lake.rows(f"select * from {table}"))) for table in TABLES}


def test_a_load_killed_at_every_step_converges(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Cluster, sail_engine: Engine
) -> None:
    export = one_of_each(instant("2026-01-01"))

    lake = use_home(monkeypatch, tmp_path / "whole", postgres, sail_engine.remote)
    lake.ingest(SOURCE, export)
    expected = contents(lake)

    lake = use_home(monkeypatch, tmp_path / "killed", postgres, sail_engine.remote)
    batch_id = lake.land(SOURCE, export)
    for point in CRASH_POINTS:
        killed = subprocess.run(
            [sys.executable, "-c", f"from jobs.lake.load import load; load({batch_id!r})"],
            env={**os.environ, "CITYWELL_CRASH_AT": point},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert killed.returncode == 137, f"{point} was not reached: {killed.stderr[-2000:]}"
        with control.connect() as conn:
            is_visible = control.get_batch(conn, batch_id).status == "published"
            assert is_visible == (point == "published")
            assert bool(control.current_versions(conn).keys() - VERDICTS) == is_visible
    lake.ingest(SOURCE, export)
    assert contents(lake) == expected
    settings.cache_clear()
