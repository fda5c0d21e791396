"""``citywell tune`` and ``citywell models`` on a small lake: from published features to a champion, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.cli.app import app
from jobs.errors import CitywellError
from jobs.lake import catalog
from jobs.settings import settings
from ml import registry, risk
from tests.support.lake import TestLake
from tests.support.mlflow import tracking_store
from tests.unit.ml.small_city import city, publish

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "readmission_30d"
BUDGET = ("--minutes", "1", "--trials", "4", "--family", "logistic")


@pytest.fixture(scope="module", autouse=True)
def built(lake: TestLake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        uri = tracking_store(tmp_path_factory.mktemp("mlflow"), NAME)
        monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", uri)
        settings.cache_clear()
        publish(city(900))
        risk.build_features(AS_OF)
        yield
    settings.cache_clear()


def citywell(*arguments: str) -> str:
    ended = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.output


@pytest.fixture(scope="module")
def tuned(built: None) -> dict[str, Any]:
    return json.loads(citywell("tune", NAME, *BUDGET))


def test_a_tuned_model_passes_the_gate_and_keeps_its_setting(tuned: dict[str, Any]) -> None:
    assert (tuned["outcome"], tuned["trials"], tuned["family"]) == ("promoted", 4, "logistic"), tuned
    champion = registry.champion(NAME)
    assert champion is not None
    assert registry.setting_of(champion) == ("logistic", tuned["setting"])
    with registry.connected(None) as mlflow:
        parent = f"tags.mlflow.parentRunId = '{champion.run_id}'"
        runs = mlflow.search_runs(experiment_names=[NAME], filter_string=parent, output_format="list")
    kinds = ["cv_auroc" if "cv_auroc" in run.data.metrics else "outer_auroc" for run in runs]
    assert sorted(kinds) == ["cv_auroc"] * 4 + ["outer_auroc"] * 5, (
        "each trial and each outer fold is a nested run"
    )


def test_versions_are_listed_and_the_champion_is_rolled_back(tuned: dict[str, Any]) -> None:
    again = json.loads(citywell("tune", NAME, *BUDGET))
    assert again["outcome"] == "refused", "as good as the first, not better"
    listed = citywell("models", "list", NAME).splitlines()
    assert [line.split(",")[:2] for line in listed[1:]] == [["2", "challenger"], ["1", "champion"]]
    registry.set_champion(NAME, "2", instead_of="1")
    told = citywell("models", "rollback", NAME, "--reason", "odd alerts")
    assert told.startswith("Version 1 is the champion of readmission_30d again")
    assert "odd alerts" in citywell("models", "list", NAME)
    with pytest.raises(CitywellError, match="no former champion"):
        citywell("models", "rollback", NAME, "--reason", "once more")


def test_features_that_gold_has_left_behind_make_no_champion(tuned: dict[str, Any]) -> None:
    """The newest features are of January, and gold is published for the next one."""
    champion = registry.champion(NAME)
    assert champion is not None
    catalog.publish("gold", (AS_OF + timedelta(days=365)).isoformat(), {})
    tuned_late = json.loads(citywell("tune", NAME, *BUDGET))
    trained_late = risk.train(NAME, AS_OF, candidates=("logistic",))
    for late in (tuned_late, trained_late):
        assert late["outcome"] == "refused"
        assert "Its data are old: the newest case is of 2025-1" in late["reason"]
    assert registry.champion(NAME) == champion


def test_an_unknown_question_or_family_is_named() -> None:
    with pytest.raises(CitywellError, match="no risk question 'happiness'"):
        citywell("tune", "happiness")
    with pytest.raises(CitywellError, match="no model family 'oracle'"):
        citywell("tune", NAME, "--family", "oracle")
