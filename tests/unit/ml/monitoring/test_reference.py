"""What is kept of a training: the newest cases, and what its model said of people it had not learnt from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from ml import models, registry, training
from ml.monitoring import reference
from ml.monitoring.profile import PROBABILITY
from ml.training import in_test_bucket
from tests.unit.ml import toy


class Toy:
    """The toy question, as a risk has it."""

    name = toy.QUESTION.name
    question = toy.QUESTION


@pytest.fixture(scope="module")
def model() -> registry.Model:
    trained = training.train(toy.QUESTION, toy.cases(), ["logistic"], replicates=20)
    assert isinstance(trained, training.Trained)
    version = registry.Version("toy", "1", "run", {"as_of": "2026-01-01T00:00:00+00:00"})
    names = tuple(toy.QUESTION.feature_names)
    return registry.Model(version, trained.pipeline, trained.lines, names, trained.train.x.head(1))


def frame(built: str = "2026-01-01") -> pd.DataFrame:
    cases = toy.cases(seed=1)
    keys = {
        "person_key": cases.person,
        "patient_key": cases.person,
        "built_as_of": pd.Timestamp(built, tz="UTC"),
    }
    return cases.x.assign(**keys)


def test_probabilities_are_of_people_it_has_not_learnt_from(model: registry.Model) -> None:
    rows = frame()
    made = reference._profiled(Toy, model, rows)  # type: ignore[arg-type]
    unseen = [in_test_bucket(toy.QUESTION, patient) for patient in rows["patient_key"]]
    said = made.columns[PROBABILITY.name]
    assert said.cases == sum(unseen) < 0.5 * len(rows)
    assert made.columns["age_years"].cases == len(rows)
    p = models.predict(model.pipeline, rows.loc[unseen, list(model.features)])
    assert said.cuts[0] == pytest.approx(float(pd.Series(p).quantile(0.1)), rel=0.05)


def test_a_model_of_features_that_are_no_longer_made_has_no_probabilities(model: registry.Model) -> None:
    other = replace(model, features=(*model.features, "gone"))
    made = reference._profiled(Toy, other, frame())  # type: ignore[arg-type]
    assert PROBABILITY.name not in made.columns
    assert made.columns.keys() == set(toy.QUESTION.feature_names)


@pytest.mark.parametrize(("built", "is_said"), [("2026-01-01", False), ("2026-02-01", True)])
def test_a_later_build_that_stands_for_one_that_is_gone_is_said(
    model: registry.Model,
    mlflow_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    built: str,
    is_said: bool,
) -> None:
    """And what is kept comes back, without the features being read again."""
    with registry.connected(mlflow_uri) as mlflow:
        mlflow.set_experiment("toy")
        with mlflow.start_run() as run:
            version = replace(model.version, run_id=run.info.run_id)
    read: list[datetime] = []

    def newest(lake: Any, risk: Any, as_of: datetime) -> pd.DataFrame:
        read.append(as_of)
        return frame(built)

    monkeypatch.setattr(reference, "_newest_cases", newest)
    monkeypatch.setattr(registry, "load", lambda version, uri=None: model)
    made = reference.of_version(None, Toy, version, uri=mlflow_uri)  # type: ignore[arg-type]
    assert made is not None
    assert datetime.fromisoformat(made.built_for) == datetime.fromisoformat(built).replace(tzinfo=UTC)
    assert ("are gone" in caplog.text) is is_said
    assert reference.of_version(None, Toy, version, uri=mlflow_uri) == made  # type: ignore[arg-type]
    assert len(read) == 1
