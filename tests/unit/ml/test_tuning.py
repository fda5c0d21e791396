"""A search stays within its space and its budget, starts from what is declared, can be repeated and gone on with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ml import models, procedure, training, tuning
from ml.procedure import Candidate, Folds
from ml.question import Cases
from ml.tuning import Budget, Tuning
from tests.unit.ml import toy

CASES = toy.cases(1500)
FOLDS = procedure.grouped_folds(CASES)
FAMILIES = ["logistic", "lightgbm"]
FOREVER = 3600.0


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Cross-validation that costs nothing: the loss is how far log C is from log 0.02, trees are hopeless."""
    tried: list[tuple[str, dict[str, Any]]] = []

    def cross_validate(
        question: object, cases: Cases, folds: Folds, name: str, setting: dict[str, Any], seed: int
    ) -> Candidate:
        tried.append((name, dict(setting)))
        loss = abs(np.log(setting["C"] / 0.02)) if name == "logistic" else 10.0
        return Candidate(name, setting, (0.7 - loss / 100,) * 5, loss, 0.0, 0.0, np.full(len(cases), 0.1))

    monkeypatch.setattr(tuning, "cross_validate", cross_validate)
    return tried


def test_the_declared_settings_come_first_and_the_rest_lies_in_the_space(quick: list[Any]) -> None:
    Tuning(toy.QUESTION, FAMILIES, FOREVER, 40)(CASES, FOLDS)
    declared = procedure.declared(FAMILIES)
    assert [(name, dict(setting)) for name, setting in declared] == quick[: len(declared)]
    assert len(quick) == 40
    for name, setting in quick:
        space = models.family(name).space
        assert set(setting) == set(space)
        for key, value in setting.items():
            assert space[key].low <= value <= space[key].high
            assert isinstance(value, int) or not space[key].is_whole


def test_the_search_finds_what_is_better_than_anything_declared(quick: list[Any]) -> None:
    found = Tuning(toy.QUESTION, FAMILIES, FOREVER, 40)(CASES, FOLDS)
    best = min(found, key=lambda candidate: candidate.log_loss)
    declared = found[: len(procedure.declared(FAMILIES))]
    assert best.log_loss < 0.5 * min(candidate.log_loss for candidate in declared)
    late = [name for name, _ in quick[20:]]
    assert late.count("logistic") > late.count("lightgbm"), "it turns to the family that does better"


def test_the_same_seed_tries_the_same_and_another_does_not(quick: list[Any]) -> None:
    for seed in (1, 1, 2):
        Tuning(toy.QUESTION, FAMILIES, FOREVER, 15, seed)(CASES, FOLDS)
    assert quick[:15] == quick[15:30] != quick[30:]


def test_a_search_that_is_gone_on_with_tries_what_a_longer_one_would(quick: list[Any]) -> None:
    Tuning(toy.QUESTION, FAMILIES, FOREVER, 15)(CASES, FOLDS)
    parts = Tuning(toy.QUESTION, FAMILIES, FOREVER, 8)
    assert len(parts(CASES, FOLDS)) == 8
    parts.trials = 15
    assert len(parts(CASES, FOLDS)) == 15
    assert quick[:15] == quick[15:]


def test_no_trial_begins_after_the_time_is_up(quick: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock takes a second."""
    clock = iter(range(1000))
    monkeypatch.setattr(tuning.time, "monotonic", lambda: float(next(clock)))
    assert len(Tuning(toy.QUESTION, FAMILIES, 6, 500)(CASES, FOLDS)) == 6
    assert len(Tuning(toy.QUESTION, FAMILIES, 0, 500)(CASES, FOLDS)) == 1, "one, or nothing could be chosen"


def test_a_tuned_model_is_chosen_nested_and_tested_like_any_other() -> None:
    found = tuning.tune(
        toy.QUESTION,
        toy.cases(3000),
        ["logistic", "decision_tree"],
        Budget(minutes=1, trials=7),
        replicates=50,
    )
    assert isinstance(found, training.Trained)
    assert len(found.candidates) == 7
    assert found.chosen in found.candidates
    assert found.chosen.family == "logistic"
    assert found.nested is not None
    assert len(found.nested.folds) == procedure.FOLD_COUNT
    assert found.evaluation.overall.metrics["auroc"].value > 0.65


def test_too_few_cases_are_not_tuned() -> None:
    few = toy.cases(60)
    refused = tuning.tune(toy.QUESTION, few, ["logistic"], Budget(1, 5))
    assert isinstance(refused, training.Refusal)
