"""Rows of scores.risk: keys, bands, reasons, expiry."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from jobs.errors import CitywellError
from ml import explain, models, scoring
from ml.question import Feature
from ml.registry import Model, Version
from ml.training import Lines
from tests.unit.ml import toy

CASES = toy.cases(1200)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
DISCHARGED = datetime(2025, 12, 20, 10, tzinfo=UTC)
COUNT = 40
ISSUED: dict[str, Any] = {"scored_at": NOW, "valid_days": 30}


@pytest.fixture(scope="module")
def model() -> Model:
    pipeline = models.fit(models.build("logistic", toy.QUESTION, {}), CASES.x, CASES.y, CASES.person)
    return Model(
        version=Version("toy", "7", "run", {}),
        pipeline=pipeline,
        lines=Lines(medium=0.12, high=0.3),
        features=tuple(toy.QUESTION.feature_names),
        typical=explain.reference(toy.QUESTION, CASES),
    )


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    people = [f"p{i}" for i in range(COUNT)]
    keys = {
        "source": ["north"] * COUNT,
        "person_key": people,
        "patient_key": people,
        "encounter_key": [f"e{i}" for i in range(COUNT)],
        "starts_at": [DISCHARGED] * COUNT,
        "as_of": [DISCHARGED + timedelta(hours=2)] * COUNT,
        "input_digest": ["d"] * COUNT,
    }
    return pa.Table.from_pandas(pd.concat([pd.DataFrame(keys), CASES.x.head(COUNT)], axis=1))


def scores(model: Model, rows: pa.Table) -> list[dict[str, object]]:
    chunks = scoring.score(
        model, toy.QUESTION, [rows], data_versions={"gold.fct_encounter": 3}, scored_at=NOW, valid_days=30
    )
    return pa.concat_tables(chunks).to_pylist()


def test_a_row_says_who_what_when_and_by_which_model(model: Model, rows: pa.Table) -> None:
    found = scores(model, rows)
    assert len(found) == COUNT
    probability = models.predict(model.pipeline, CASES.x.head(COUNT))
    np.testing.assert_allclose([row["probability"] for row in found], probability, atol=1e-6)
    first = found[0]
    assert first["risk_key"] == scoring.risk_key("north", "p0", "toy", "e0")
    assert (first["target"], first["model_name"], first["model_version"]) == ("toy", "toy", "7")
    assert first["as_of"] == DISCHARGED + timedelta(hours=2)
    assert first["expires_at"] == DISCHARGED + timedelta(days=30)
    assert json.loads(str(first["data_versions"])) == {"gold.fct_encounter": 3}


def test_a_champion_without_a_newer_feature_scores_and_explains_as_before(
    model: Model, rows: pa.Table
) -> None:
    newer = replace(toy.QUESTION, features=(*toy.QUESTION.features, Feature("pulse", "number", "pulse")))
    with_pulse = rows.append_column("pulse", pa.array([70.0] * COUNT))
    chunks = scoring.score(
        model, newer, [with_pulse], data_versions={"gold.fct_encounter": 3}, scored_at=NOW, valid_days=30
    )
    assert pa.concat_tables(chunks).to_pylist() == scores(model, rows)


def test_bands_alerts_and_reasons_go_together(model: Model, rows: pa.Table) -> None:
    found = scores(model, rows)
    assert {row["band"] for row in found} == {"low", "medium", "high"}
    for row in found:
        reasons = json.loads(str(row["reasons"]))
        assert row["is_alert"] == (row["band"] == "high") == (float(str(row["probability"])) >= 0.3)
        assert bool(reasons) == row["is_alert"], (
            "reasons for people above the alert line, and for no one else"
        )
        assert all(set(r) == {"feature", "label", "effect", "log_odds"} for r in reasons)
        assert [abs(r["log_odds"]) for r in reasons] == sorted(
            (abs(r["log_odds"]) for r in reasons), reverse=True
        )


def test_chunks_make_no_difference(model: Model, rows: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scores(model, rows)
    monkeypatch.setattr(scoring, "ROWS_AT_ONCE", 7)
    assert scores(model, rows) == whole


def test_nobody_to_score_is_no_error(model: Model, rows: pa.Table) -> None:
    assert (
        list(
            scoring.score(
                model, toy.QUESTION, [rows.slice(0, 0)], data_versions={}, scored_at=NOW, valid_days=30
            )
        )
        == []
    )


def test_a_risk_key_is_of_source_person_target_and_encounter() -> None:
    key = scoring.risk_key("north", "p", "toy", "e")
    others = {scoring.risk_key(*parts) for parts in [("south", "p", "toy", "e"), ("north", "q", "toy", "e")]}
    others |= {
        scoring.risk_key(*parts) for parts in [("north", "p", "other", "e"), ("north", "p", "toy", "f")]
    }
    assert len({key, *others}) == 5
    assert len(key) == 32


def test_a_champion_that_wants_other_features_is_named(model: Model, rows: pa.Table) -> None:
    with pytest.raises(CitywellError, match="no longer made: sodium_mmol_l"):
        list(
            scoring.score(
                model,
                toy.QUESTION,
                [rows.drop(["sodium_mmol_l"])],
                data_versions={},
                scored_at=NOW,
                valid_days=30,
            )
        )
