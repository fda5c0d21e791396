"""Logging, registering, loading and the champion's alias, against a real MLflow store."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.errors import CitywellError
from jobs.writeback.disclosure import shown
from ml import explain, gate, models, registry, training
from ml.training import Trained
from tests.unit.ml import toy

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
VERSIONS = {"gold.fct_encounter": 4, "gold.dim_person": 2}
CASES = toy.cases()


def train(family: str) -> Trained:
    found = training.train(toy.QUESTION, CASES, [family], replicates=100, is_nested=family == "logistic")
    assert isinstance(found, Trained)
    return found


def register(trained: Trained, uri: str, key: str) -> registry.Version:
    return registry.register(
        trained,
        as_of=AS_OF,
        data_versions=VERSIONS,
        key=key,
        definition="What is asked.",
        cohort={"index stays": 3012, "of these followed by death": 3},
        uri=uri,
    )


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train("logistic")


@pytest.fixture(scope="module")
def version(trained: Trained, mlflow_uri: str) -> registry.Version:
    return register(trained, mlflow_uri, "first")


@pytest.fixture(scope="module")
def artifacts(version: registry.Version, mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything logged for the version: of the run, and of the model below ``model``."""
    to = tmp_path_factory.mktemp("artifacts")
    with registry.connected(mlflow_uri) as mlflow:
        mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path="", dst_path=str(to))
        mlflow.artifacts.download_artifacts(
            artifact_uri=f"models:/toy/{version.number}", dst_path=str(to / "model")
        )
    return to


def test_a_loaded_model_scores_as_the_trained_one_did(
    trained: Trained, version: registry.Version, mlflow_uri: str
) -> None:
    model = registry.load(version, uri=mlflow_uri)
    np.testing.assert_array_equal(models.predict(model.pipeline, trained.test.x), trained.test_probability)
    assert model.lines == trained.lines
    assert list(model.features) == toy.QUESTION.feature_names
    assert model.typical.equals(explain.reference(toy.QUESTION, trained.train))


def test_no_record_of_a_person_is_logged(artifacts: Path, trained: Trained) -> None:
    example = json.loads((artifacts / "model" / "input_example.json").read_text())
    row = dict(zip(example["columns"], example["data"][0], strict=True))
    assert len(example["data"]) == 1
    assert not (CASES.x[list(row)] == list(row.values())).all(axis=1).any()
    texts = [file.read_text(errors="ignore") for file in artifacts.rglob("*") if file.is_file()]
    people = {str(person) for person in trained.test.person[:20]}
    assert not any(f'"{person}"' in text for text in texts for person in people)


def test_what_is_logged_can_be_found_again(
    artifacts: Path, version: registry.Version, mlflow_uri: str
) -> None:
    with registry.connected(mlflow_uri) as mlflow:
        run = mlflow.get_run(version.run_id)
        children = mlflow.search_runs(
            experiment_names=["toy"],
            filter_string=f"tags.mlflow.parentRunId = '{version.run_id}'",
            output_format="list",
        )
    assert json.loads(run.data.tags["data_versions"]) == VERSIONS
    assert {(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs} == {
        ("gold.fct_encounter", "v4"),
        ("gold.dim_person", "v2"),
    }
    assert {"test_auroc", "test_auroc_low", "test_brier", "test/sex female_auroc"} <= set(run.data.metrics)
    assert {child.data.params["family"] for child in children} == {"logistic"}
    assert sum("cv_auroc" in child.data.metrics for child in children) == 3
    assert sum("outer_auroc" in child.data.metrics for child in children) == 5
    assert {"nested_auroc", "test_calibration_slope_low", "test_net_benefit"} <= set(run.data.metrics)
    card = (artifacts / "model_card.md").read_text()
    for words in (
        *("## Intended use", "## Limits", "sex=female", "gold.fct_encounter 4", "What is asked."),
        *("Nested cross-validation", "calibration slope", "### What acting on it is worth", "cross-fitted"),
    ):
        assert words in card
    assert "nan" not in card
    rounded = [line.split(" | ")[1:3] for line in card.splitlines() if line.startswith(("| sex=", "| age="))]
    assert all(int(count) % 5 == 0 for counts in rounded for count in counts)
    assert "| index stays | 3010 |\n| of these followed by death | <5 |" in card
    for picture in ("reliability.png", "decision_curve.png"):
        assert (artifacts / picture).read_bytes().startswith(b"\x89PNG")
    assert "signature" in (artifacts / "model" / "MLmodel").read_text()


def test_no_left_out_group_follows_from_what_is_logged(artifacts: Path, trained: Trained) -> None:
    """Of the other groups the counts are rounded: subtracted from those of all they tell of nobody."""
    evaluation = json.loads((artifacts / "evaluation.json").read_text())
    exact = {group.group: group for group in trained.evaluation.groups}
    assert evaluation["overall"]["events"] == trained.evaluation.overall.events
    assert len(evaluation["groups"]) == len(exact)
    for told in evaluation["groups"]:
        for name in ("cases", "people", "events"):
            assert told[name] == shown(getattr(exact[told["group"]], name))
    assert any(told["cases"] != exact[told["group"]].cases for told in evaluation["groups"])


def test_a_training_is_found_by_what_went_into_it(version: registry.Version, mlflow_uri: str) -> None:
    digests = {"features": "0a", "code": "1b"}
    key = registry.training_key(toy.QUESTION, AS_OF, digests, ["logistic"])
    assert key == registry.training_key(toy.QUESTION, AS_OF, dict(reversed(digests.items())), ["logistic"])
    assert key != registry.training_key(toy.QUESTION, AS_OF, {**digests, "code": "2c"}, ["logistic"])
    found = registry.find_training(toy.QUESTION, "first", uri=mlflow_uri)
    assert found is not None
    assert found.number == version.number
    assert registry.find_training(toy.QUESTION, key, uri=mlflow_uri) is None


def test_the_champion_is_moved_by_the_gate_alone(
    trained: Trained, version: registry.Version, mlflow_uri: str
) -> None:
    assert registry.champion("toy", uri=mlflow_uri) is None, "registering moves no alias"
    assert gate.promote(trained, version, uri=mlflow_uri, replicates=100).is_promoted
    champion = registry.champion("toy", uri=mlflow_uri)
    assert champion is not None
    assert (champion.number, champion.tags["gate"]) == (version.number, "promoted")

    other = train("decision_tree")
    second = register(other, mlflow_uri, "second")
    decision = gate.promote(other, second, uri=mlflow_uri, replicates=100)
    assert not decision.is_promoted
    champion = registry.champion("toy", uri=mlflow_uri)
    assert champion is not None
    assert champion.number == version.number
    refused = registry.find_training(toy.QUESTION, "second", uri=mlflow_uri)
    assert refused is not None
    assert refused.tags["gate"] == "refused"
    assert refused.tags["gate_reasons"] == " ".join(decision.reasons)


def test_a_lost_race_for_the_alias_is_judged_again(
    trained: Trained, version: registry.Version, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading the champion and moving the alias somebody else moves it: the move is refused, not forced."""
    registry.set_champion("toy", version.number, instead_of=None, uri=mlflow_uri)
    third = register(trained, mlflow_uri, "third")
    assert not registry.set_champion("toy", third.number, instead_of=None, uri=mlflow_uri)
    seen: list[Any] = []
    real = registry.champion
    monkeypatch.setattr(gate.registry, "champion", lambda *a, **k: None if not seen else real(*a, **k))
    monkeypatch.setattr(
        gate, "judge", lambda *a, **k: seen.append(a[2]) or gate.Decision(not a[2], ("so it is.",))
    )
    assert not gate.promote(trained, third, uri=mlflow_uri).is_promoted
    assert seen == [None, version.number]


def test_an_untrusted_type_is_not_loaded(
    version: registry.Version, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "TRUSTED_TYPES", ())
    with pytest.raises(registry.UnusableModel, match="cannot be loaded"):
        registry.load(version, uri=mlflow_uri)


def test_an_mlflow_that_is_down_is_named(unused_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(CitywellError, match="MLflow refused or did not answer"):
        registry.champion("toy", uri=f"http://127.0.0.1:{unused_port}")
