"""Labels that were tampered with are found against earlier ones; a hard question alone is no charge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ml import labels, procedure
from ml.labels import LabelState
from tests.unit.ml import toy

COUNT = 3000
RNG = np.random.default_rng(8)


def state_of(y: np.ndarray, seed: int) -> LabelState:
    cases = replace(toy.cases(COUNT, seed=seed), y=y)
    [found] = procedure.compare(toy.QUESTION, cases, ["logistic"], first_settings_only=True)
    return labels.state(cases.y, found.out_of_fold, found.fold_auroc)


BEFORE = state_of(toy.cases(COUNT, seed=0).y, 0)


def flipped(y: np.ndarray) -> np.ndarray:
    return np.where(RNG.random(len(y)) < 0.2, 1 - y, y)


def swapped(y: np.ndarray) -> np.ndarray:
    """Four of five events change places with cases that have none: their share stays as it is."""
    events, others = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    count = int(0.8 * len(events))
    found = y.copy()
    found[RNG.choice(events, count, replace=False)] = 0
    found[RNG.choice(others, count, replace=False)] = 1
    return found


def flooded(y: np.ndarray) -> np.ndarray:
    """An event for everybody at risk: easily told apart, but far too many."""
    risk = toy.true_risk(toy.cases(COUNT, seed=1).x)
    return np.maximum(y, (risk > np.quantile(risk, 0.6)).astype(int))


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (flipped, ["flipped or mixed up", "at the champion's training"]),
        (swapped, ["flipped or mixed up"]),
        (flooded, ["at the champion's training"]),
    ],
)
def test_tampered_labels_are_found(tamper: Callable[[np.ndarray], np.ndarray], words: list[str]) -> None:
    reasons = labels.failures(state_of(tamper(toy.cases(COUNT, seed=1).y), 1), BEFORE)
    assert len(reasons) == len(words)
    assert all(word in reason for word, reason in zip(words, reasons, strict=True))


@pytest.mark.parametrize("seed", range(2, 7))
def test_other_people_of_the_same_world_are_believed(seed: int) -> None:
    assert labels.failures(state_of(toy.cases(COUNT, seed=seed).y, seed), BEFORE) == ()


def test_a_world_that_turned_round_is_believed() -> None:
    """The labels agree with one another, only not with what the champion learnt."""
    cases = toy.cases(COUNT, seed=9)
    risk = toy.true_risk(cases.x.assign(age_years=115 - cases.x["age_years"], visits=3 - cases.x["visits"]))
    y = (np.random.default_rng(3).random(COUNT) < risk / risk.mean() * BEFORE.event_share).astype(int)
    assert labels.failures(state_of(y, 9), BEFORE) == ()


def test_the_doubtful_by_hand() -> None:
    """Lines: events from (0.8 + 0.7 + 0.2) / 3 = 0.57 on, others up to 1 - (0.9 + 0.8 + 0.4) / 3 = 0.3. All six count,
    and two of them are doubtful."""
    y = np.array([1, 1, 1, 0, 0, 0])
    p = np.array([0.8, 0.7, 0.2, 0.1, 0.2, 0.6])
    assert labels.doubtful_share(y, p) == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    ("auroc", "standard_error", "doubtful", "is_wrong"),
    [
        (0.60, 0.01, 0.40, True),
        (0.75, 0.01, 0.40, False),
        (0.60, 0.01, 0.22, False),
        (0.60, 0.06, 0.40, False),
    ],
    ids=["both", "only more doubtful", "only less told apart", "within noise"],
)
def test_both_signs_must_have_moved_beyond_noise(
    auroc: float, standard_error: float, doubtful: float, is_wrong: bool
) -> None:
    before = LabelState(cases=3000, event_share=0.13, auroc=0.76, standard_error=0.01, doubtful=0.18)
    now = replace(before, auroc=auroc, standard_error=standard_error, doubtful=doubtful)
    assert bool(labels.failures(now, before)) is is_wrong


def test_few_cases_prove_nothing() -> None:
    few = replace(BEFORE, cases=40, event_share=2.5 * BEFORE.event_share)
    assert labels.failures(few, replace(BEFORE, cases=40)) == ()
