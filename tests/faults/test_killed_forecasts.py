"""Forecasts and mining killed at any step and run again: what was never killed gives the same."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs.lake import control
from jobs.settings import settings
from ml import forecast, mining, registry
from ml.forecast import store
from ml.mining import clusters, shapes
from tests.support.kills import Killer
from tests.support.lake import TestLake, use_home
from tests.support.mlflow import tracking_store
from tests.unit.ml.forecast import told
from tests.unit.ml.mining import gold

AS_OF = datetime(2026, 3, 2, tzinfo=UTC)
FAMILY = "arrivals_daily"
NAME = store.model_name(FAMILY)


def busy_lake(monkeypatch: pytest.MonkeyPatch, home: Path, postgres: Cluster, remote: str) -> TestLake:
    lake = use_home(monkeypatch, home, postgres, remote)
    monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", tracking_store(home, NAME))
    settings.cache_clear()
    told.publish({"gold.fct_encounter": told.busy_city(469, first="2024-11-18")})
    return lake


def forecasts(lake: TestLake) -> dict[str, Any]:
    """What was issued, and what MLflow holds of the family."""
    champion = registry.champion(NAME)
    assert champion is not None
    with registry.connected(None) as mlflow:
        versions = mlflow.MlflowClient().search_model_versions(f"name = '{NAME}'")
    rows = lake.rows("select * from scores.forecast order by family, series, target_at, issue_at")
    return {
        "rows": [{name: value for name, value in row.items() if name != "issued_at"} for row in rows],
        "champion": champion.number,
        "gate": champion.tags["gate"],
        "versions": len(versions),
    }


def test_forecasts_killed_at_every_step_converge(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Cluster, sail_engine: Engine, killer: Killer
) -> None:
    lake = busy_lake(monkeypatch, tmp_path / "whole", postgres, sail_engine.remote)
    forecast.train(AS_OF, [FAMILY])
    forecast.issue(AS_OF, [FAMILY])
    expected = forecasts(lake)
    assert expected["rows"]
    assert expected["gate"] == "promoted"

    lake = busy_lake(monkeypatch, tmp_path / "killed", postgres, sail_engine.remote)
    for point in ("forecast:logged", "forecast:registered", "forecast:moved"):
        killer.run("ml.forecast.train", AS_OF.isoformat(), [FAMILY], at=point)
    trained = forecast.train(AS_OF, [FAMILY], max_age_days=7)
    assert trained[FAMILY]["outcome"] == "fresh"
    killer.run("ml.forecast.issue", AS_OF.isoformat(), [FAMILY], at="forecast:appended")
    forecast.issue(AS_OF, [FAMILY])
    assert forecasts(lake) == expected


QUICK = {"MOST_ROWS": 300, "PAIRS": 3, "NULLS": 2}


def kill_mining() -> None:
    """Mine in a process that dies when all is written and nothing published."""
    calls = [f"clusters.{name} = {value}" for name, value in QUICK.items()]
    program = ["from ml import mining", "from ml.mining import clusters", *calls]
    killed = subprocess.run(
        [sys.executable, "-c", "; ".join([*program, f"mining.mine({gold.AS_OF.isoformat()!r})"])],
        env={**os.environ, "CITYWELL_CRASH_AT": "mining:written"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert killed.returncode == 137, killed.stderr[-2000:]


def test_mining_killed_on_its_way_converges(lake: TestLake, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUICK.items():
        monkeypatch.setattr(clusters, name, value)
    gold.publish(gold.city())
    kill_mining()
    with control.connect() as conn:
        assert not [table for table in control.current_versions(conn) if "mining" in table]
    mining.mine(gold.AS_OF)
    once = mined(lake)
    kill_mining()
    mining.mine(gold.AS_OF)
    assert mined(lake) == once


def mined(lake: TestLake) -> dict[str, list[str]]:
    return {
        shape.table: sorted(str(list(row.values())) for row in lake.rows(f"select * from {shape.table}"))
        for shape in shapes.MINED
    }
