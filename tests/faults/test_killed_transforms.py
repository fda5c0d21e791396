"""A transform killed at any of its steps and run again gives the tables of one that was never killed, and its page."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs import transform
from jobs.lake import control
from jobs.settings import settings
from tests.support.exports import one_of_each
from tests.support.lake import TestLake, instant, use_home

AS_OF = "2026-01-02T00:00:00+00:00"


@pytest.fixture
def fed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Cluster, sail_engine: Engine
) -> Iterator[TestLake]:
    lake = use_home(monkeypatch, tmp_path, postgres, sail_engine.remote)
    lake.ingest("hospital_north", one_of_each(instant("2026-01-01")))
    yield lake
    settings.cache_clear()


def gold_versions() -> dict[str, int]:
    with control.connect() as conn:
        return {name: at for name, at in control.current_versions(conn).items() if name.startswith("gold.")}


def test_a_transform_killed_at_every_step_converges(fed: TestLake) -> None:
    page = fed.home / "reports" / "dbt_docs" / "index.html"
    note = fed.home / "sessions" / "gold"
    for point in ("gold:built", "gold:published"):
        killed = subprocess.run(
            [sys.executable, "-c", f"from jobs import transform; transform.run({AS_OF!r})"],
            env={**os.environ, "CITYWELL_CRASH_AT": point},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert killed.returncode == 137, f"{point} was not reached: {killed.stderr[-2000:]}"
        assert bool(gold_versions()) == (point == "gold:published")
        assert note.exists(), "its session cannot be ended by the next run"
        assert not page.exists()

    published = gold_versions()
    summary = transform.run(AS_OF)
    assert summary["versions"] == published == gold_versions()
    assert not note.exists()
    assert [row["n"] for row in fed.rows("select count(*) as n from gold.fct_encounter")] == [1]

    assert summary["docs"] == str(page)
    assert "fct_encounter_superseded" in page.read_text()
    assert "Canary" not in page.read_text()
