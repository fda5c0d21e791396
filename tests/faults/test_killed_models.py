"""Features, training and scoring killed at any step and run again: what was never killed gives the same."""

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
from jobs.settings import settings
from ml import registry, risk
from tests.support.lake import TestLake, use_home
from tests.support.mlflow import tracking_store
from tests.unit.ml.small_city import city, publish

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = 900
STEPS = {
    "build_features": ["features:written"],
    "train": ["train:logged", "train:registered", "gate:judged", "gate:moved", "freeze:written"],
    "score": ["score:appended"],
}
TARGET = "readmission_30d"
CALLS = {
    "build_features": f"risk.build_features({AS_OF.isoformat()!r})",
    "train": f"risk.train({TARGET!r}, {AS_OF.isoformat()!r}, candidates=('logistic',))",
    "score": f"risk.score({AS_OF.isoformat()!r})",
}


def open_home(monkeypatch: pytest.MonkeyPatch, home: Path, postgres: Cluster, remote: str) -> TestLake:
    lake = use_home(monkeypatch, home, postgres, remote)
    monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", tracking_store(home, TARGET))
    settings.cache_clear()
    publish(city(PEOPLE))
    return lake


def run_all() -> list[Any]:
    return [
        risk.build_features(AS_OF)["discharges"]["cases"],
        risk.train(TARGET, AS_OF, candidates=("logistic",)),
        risk.score(AS_OF)[TARGET]["open"],
    ]


def contents(lake: TestLake) -> dict[str, Any]:
    """Features, scores, and what MLflow holds: versions with what was decided of them, and runs."""
    tables = ("features.discharges", "features.frozen", "features.freeze", "scores.risk")
    rows = {table: lake.rows(f"select * from {table}") for table in tables}
    for row in rows["scores.risk"]:
        del row["scored_at"]
    for row in rows["features.freeze"]:
        del row["frozen_at"], row["features_version"], row["data_versions"]  # a killed build is a version too
    champion = registry.champion(TARGET)
    assert champion is not None
    with registry.connected(None) as mlflow:
        versions = mlflow.MlflowClient().search_model_versions(f"name = '{TARGET}'")
        runs = mlflow.search_runs(experiment_names=[TARGET], output_format="list")
    return {
        **{table: sorted(map(str, found)) for table, found in rows.items()},
        "champion": champion.number,
        "gate": {name: text for name, text in champion.tags.items() if name.startswith("gate")},
        "versions": len(versions),
        "runs": sorted(run.data.tags["mlflow.runName"] for run in runs),
    }


def test_models_killed_at_every_step_converge(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Cluster, sail_engine: Engine
) -> None:
    lake = open_home(monkeypatch, tmp_path / "whole", postgres, sail_engine.remote)
    run_all()
    expected = contents(lake)
    assert expected["gate"]["gate"] == "promoted"

    lake = open_home(monkeypatch, tmp_path / "killed", postgres, sail_engine.remote)
    for step, points in STEPS.items():
        for point in points:
            killed = subprocess.run(
                [sys.executable, "-c", f"from ml import risk; {CALLS[step]}"],
                env={**os.environ, "CITYWELL_CRASH_AT": point},
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert killed.returncode == 137, f"{point} was not reached: {killed.stderr[-2000:]}"
        if step == "build_features":
            risk.build_features(AS_OF)
        elif step == "train":
            again = risk.train(TARGET, AS_OF, candidates=("logistic",))
            assert again["is_champion"], "so it is announced, whoever made it champion"
        else:
            risk.score(AS_OF)
    assert contents(lake) == expected

    _, trained, _ = run_all()
    assert trained["outcome"] == "unchanged"
    assert contents(lake) == expected
    settings.cache_clear()
