"""Shapley values against their definition, and reasons in words."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from math import factorial

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


@pytest.mark.parametrize(("family", "tolerance"), [("logistic", 1e-9), ("hist_gradient_boosting", 0.25)])
def test_shapley_values(family: str, tolerance: float) -> None:
    pipeline = models.fit(models.build(family, toy.QUESTION, {}), CASES.x, CASES.y, CASES.person)
    some = CASES.x[CASES.x["way_home"] == "snf"].head(3)
    found = explain.shapley_values(pipeline, toy.QUESTION, some, TYPICAL)
    np.testing.assert_allclose(
        found.sum(axis=1), log_odds(pipeline, some) - log_odds(pipeline, TYPICAL), atol=1e-9
    )
    np.testing.assert_allclose(found[0], by_definition(pipeline, some.head(1)), atol=tolerance)


NUMBERS = replace(toy.QUESTION, features=tuple(f for f in toy.QUESTION.features if f.kind != "category"))
KNOWN = CASES.take(np.flatnonzero(CASES.x["sodium_mmol_l"].notna()))


def expected(tree: pd.DataFrame, node: str, case: pd.Series, known: set[str]) -> float:
    """What a tree says of a case of which only some features are known: both ways are taken at a split on another, in
    the proportions of the training cases."""
    at = tree.loc[node]
    if at["split_feature"] is None or pd.isna(at["split_feature"]):
        return float(at["value"])
    name = NUMBERS.feature_names[int(at["split_feature"].removeprefix("Column_"))]
    ways = [(child, tree.loc[child, "count"]) for child in (at["left_child"], at["right_child"])]
    if name in known:
        ways = [ways[0] if case[name] <= at["threshold"] else ways[1]]
    weight = sum(count for _, count in ways)
    return sum(count / weight * expected(tree, child, case, known) for child, count in ways)


def test_shapley_values_of_trees() -> None:
    """Against the definition over all sets of features, with what the trees expect of a set."""
    names = NUMBERS.feature_names
    few = {"n_estimators": 5, "num_leaves": 6, "learning_rate": 0.3, "colsample_bytree": 1.0}
    x = KNOWN.x[names]
    pipeline = models.fit(models.build("lightgbm", NUMBERS, few), x, KNOWN.y, KNOWN.person)
    inputs = NUMBERS.of_kind("number", "count", "flag")
    assert inputs == names, "trees number their inputs as the question does"
    trees = [
        t.set_index("node_index") for _, t in pipeline[-1].booster_.trees_to_dataframe().groupby("tree_index")
    ]
    case = x.iloc[0]

    def worth(known: tuple[str, ...]) -> float:
        return sum(expected(tree, tree.index[0], case, set(known)) for tree in trees)

    wanted = np.zeros(len(names))
    for order in permutations(range(len(names))):
        for place, feature in enumerate(order):
            before = tuple(names[i] for i in order[:place])
            wanted[feature] += worth((*before, names[feature])) - worth(before)
    found = explain.shapley_values(pipeline, NUMBERS, x.head(1), TYPICAL)
    np.testing.assert_allclose(found[0], wanted / factorial(len(names)), atol=1e-6)
    halved = recalibrated(pipeline, LogisticMap(-0.3, 0.5))
    np.testing.assert_allclose(explain.shapley_values(halved, NUMBERS, x.head(1), TYPICAL), found / 2)


def test_values_of_trees_stand_beside_their_features() -> None:
    """Categories come first in what the trees are given, whatever their place in the question."""
    pipeline = models.fit(models.build("lightgbm", toy.QUESTION, {}), CASES.x, CASES.y, CASES.person)
    many = TYPICAL.assign(visits=8.0)
    [few, found] = explain.shapley_values(pipeline, toy.QUESTION, pd.concat([TYPICAL, many]), TYPICAL)
    assert np.argmax(found - few) == toy.QUESTION.feature_names.index("visits")


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


def test_equal_reasons_are_told_in_one_order_whatever_their_last_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = []
    for last_bits in (1e-12, -1e-12):
        parts = np.full((1, len(toy.QUESTION.features)), 0.2)
        parts[0, 0] += last_bits
        monkeypatch.setattr(explain, "shapley_values", lambda *_, parts=parts, **__: parts)
        told += explain.explain(models.build("logistic", toy.QUESTION, {}), toy.QUESTION, TYPICAL, TYPICAL)
    assert told[0] == told[1]


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
