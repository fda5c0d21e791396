"""Shapley values against their definition, and reasons in words."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from ml import explain, models
from ml.question import Feature
from ml.recalibration import LogisticMap, StepMap, recalibrated
from tests.unit.ml import toy

CASES = toy.cases(1500)
TYPICAL = explain.reference(toy.QUESTION, CASES)


def log_odds(pipeline: models.Pipeline, x: pd.DataFrame) -> np.ndarray:
    p = models.predict(pipeline, x)
    return np.log(p / (1 - p))


def by_definition(pipeline: models.Pipeline, case: pd.DataFrame) -> np.ndarray:
    """The mean over all orders of what each feature adds when it turns from the reference's value to the case's."""
    names = toy.QUESTION.feature_names
    total = np.zeros(len(names))
    orders = list(permutations(range(len(names))))
    for order in orders:
        path = [TYPICAL.copy()]
        for feature in order:
            path.append(path[-1].assign(**{names[feature]: case[names[feature]].to_numpy()}))
        steps = np.diff(log_odds(pipeline, pd.concat(path)))
        total[list(order)] += steps
    return total / len(orders)


@pytest.mark.parametrize(
    ("family", "tolerance"), [("logistic", 1e-9), ("hist_gradient_boosting", 0.25), ("lightgbm", 0.25)]
)
def test_shapley_values(family: str, tolerance: float) -> None:
    pipeline = models.fit(models.build(family, toy.QUESTION, {}), CASES.x, CASES.y, CASES.person)
    some = CASES.x[CASES.x["way_home"] == "snf"].head(3)
    found = explain.shapley_values(pipeline, toy.QUESTION, some, TYPICAL)
    np.testing.assert_allclose(
        found.sum(axis=1), log_odds(pipeline, some) - log_odds(pipeline, TYPICAL), atol=1e-9
    )
    np.testing.assert_allclose(found[0], by_definition(pipeline, some.head(1)), atol=tolerance)


def test_a_straightened_model_is_explained_as_it_is_and_a_stepped_one_before_its_steps() -> None:
    plain = models.fit(models.build("logistic", toy.QUESTION, {}), CASES.x, CASES.y, CASES.person)
    some = CASES.x.head(4)
    raw = explain.shapley_values(plain, toy.QUESTION, some, TYPICAL)
    halved = recalibrated(plain, LogisticMap(-0.3, 0.5))
    np.testing.assert_allclose(
        explain.shapley_values(halved, toy.QUESTION, some, TYPICAL), raw / 2, atol=1e-9
    )
    stepped = recalibrated(plain, StepMap((0.0, 1.0), (0.2, 0.2)))
    np.testing.assert_allclose(explain.shapley_values(stepped, toy.QUESTION, some, TYPICAL), raw)


def test_many_cases_in_blocks_get_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = models.fit(models.build("logistic", toy.QUESTION, {}), CASES.x, CASES.y, CASES.person)
    whole = explain.shapley_values(pipeline, toy.QUESTION, CASES.x.head(7), TYPICAL)
    monkeypatch.setattr(explain, "_ROWS_AT_ONCE", 100)
    np.testing.assert_allclose(
        explain.shapley_values(pipeline, toy.QUESTION, CASES.x.head(7), TYPICAL), whole, atol=1e-12
    )


def test_what_carries_the_risk_is_named_first_and_the_rest_is_left_out() -> None:
    pipeline = models.fit(models.build("logistic", toy.QUESTION, {}), CASES.x, CASES.y, CASES.person)
    case = TYPICAL.assign(visits=6.0, age_years=25.0)
    [reasons] = explain.explain(pipeline, toy.QUESTION, case, TYPICAL)
    assert [(r.feature, r.label, r.effect) for r in reasons] == [
        ("visits", "visits: 6", "raises"),
        ("age", "age: 25 years", "lowers"),
    ]
    assert explain.explain(pipeline, toy.QUESTION, CASES.x.head(0), TYPICAL) == []


def test_the_reference_is_nobody() -> None:
    assert not (CASES.x == TYPICAL.iloc[0]).all(axis=1).any()
    mostly_missing = CASES.x.assign(sodium_mmol_l=np.where(np.arange(len(CASES)) % 3, np.nan, 140.0))
    reference = explain.reference(toy.QUESTION, toy.Cases(mostly_missing, CASES.y, CASES.person, {}))
    assert np.isnan(reference["sodium_mmol_l"].iloc[0])


@pytest.mark.parametrize(
    ("feature", "value", "words"),
    [
        (Feature("a", "number", "last sodium", "mmol/L"), 128.0, "last sodium: 128 mmol/L"),
        (Feature("a", "number", "last BNP", "pg/mL"), 1812.4, "last BNP: 1,812 pg/mL"),
        (Feature("a", "number", "last BNP", "pg/mL"), 1810.0, "last BNP: 1,810 pg/mL"),
        (Feature("a", "number", "last creatinine", "mg/dL"), 1.255, "last creatinine: 1.25 mg/dL"),
        (Feature("a", "number", "last haemoglobin", "g/dL"), 10.04, "last haemoglobin: 10 g/dL"),
        (Feature("a", "number", "last bilirubin", "mg/dL"), 0.035, "last bilirubin: 0.035 mg/dL"),
        (Feature("a", "number", "last sodium", "mmol/L"), float("nan"), "last sodium not known"),
        (Feature("a", "flag", "heart failure"), 1.0, "heart failure"),
        (Feature("a", "flag", "heart failure"), 0.0, "not: heart failure"),
        (Feature("a", "category", "discharged to"), "snf", "discharged to snf"),
        (Feature("a", "count", "visits"), 3.0, "visits: 3"),
    ],
)
def test_words(feature: Feature, value: object, words: str) -> None:
    assert explain.in_words(feature, value) == words
