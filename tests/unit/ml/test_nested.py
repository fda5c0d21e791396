"""Nested cross-validation is not fooled by a search among many that are no better than chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ml import nested, procedure
from ml.procedure import Candidate, Folds
from ml.question import Cases
from tests.unit.ml import toy

CASES = toy.cases(1500)


def test_each_fold_tells_what_it_chose_and_the_estimate_is_near_the_plain_one() -> None:
    settings = procedure.declared(["logistic", "decision_tree"])
    found = nested.nested(toy.QUESTION, CASES, procedure.search_among(toy.QUESTION, settings))
    plain = procedure.choose(procedure.compare(toy.QUESTION, CASES, ["logistic", "decision_tree"]))
    assert len(found.folds) == procedure.FOLD_COUNT
    assert set(found.families) <= {"logistic", "decision_tree"}
    assert found.auroc == pytest.approx(plain.auroc, abs=0.03)
    assert 0 < found.standard_error < 0.05
    assert found.calibration_error < 0.06


def test_the_best_of_many_by_chance_looks_good_in_its_folds_and_not_in_nested_ones() -> None:
    """Labels without any meaning, and a search among 200 random rankings: the winner's own folds flatter it."""
    rng = np.random.default_rng(77)
    noise = replace(CASES, y=(rng.random(len(CASES)) < 0.1).astype(int))

    def search(training: Cases, folds: Folds) -> list[Candidate]:
        guesses = np.random.default_rng(1).random((200, len(training)))
        return [candidate(training, folds, guess) for guess in guesses]

    winner = procedure.choose(search(noise, procedure.grouped_folds(noise)))
    found = nested.nested(toy.QUESTION, noise, search)
    assert winner.auroc > 0.54
    assert abs(found.auroc - 0.5) < 0.04


def candidate(training: Cases, folds: Folds, guess: np.ndarray) -> Candidate:
    auroc = tuple(float(roc_auc_score(training.y[rows], guess[rows])) for _, rows in folds)
    return Candidate("logistic", {"C": 0.1}, auroc, 0.3, 0.0, 1.0, guess)


def test_no_search_sees_a_person_it_is_judged_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []
    judged: list[set[str]] = []
    real = procedure.search_among(toy.QUESTION, [("logistic", {"C": 0.1})])

    def search(training: Cases, folds: Folds) -> list[Candidate]:
        seen.append(set(training.person.tolist()))
        return list(real(training, folds))

    nested.nested(toy.QUESTION, CASES, search)
    for _, held_out in procedure.grouped_folds(CASES):
        judged.append(set(CASES.person[held_out].tolist()))
    assert len(seen) == procedure.FOLD_COUNT
    assert all(not a & b for a, b in zip(seen, judged, strict=True))
