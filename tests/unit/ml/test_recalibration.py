"""Maps from raw to better probabilities, and when they are used."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from ml import metrics, recalibration
from ml.recalibration import LogisticMap, StepMap

RNG = np.random.default_rng(5)
CASES = 6000
TRUTH = RNG.beta(1, 6, CASES)
Y = (RNG.random(CASES) < TRUTH).astype(int)
FOLDS = [
    (np.flatnonzero(np.arange(CASES) % 5 != fold), np.flatnonzero(np.arange(CASES) % 5 == fold))
    for fold in range(5)
]
STEEP = expit(-0.8 + 2.0 * logit(TRUTH))
BENT = np.where(TRUTH < 0.15, TRUTH / 4, 0.5 + TRUTH / 4)


def error(p: np.ndarray) -> float:
    return float(metrics.calibration_error(Y, p, np.ones((1, CASES)))[0])


def test_right_probabilities_stay_as_they_are() -> None:
    found = recalibration.recalibration(TRUTH, Y, FOLDS)
    assert found.method is None
    np.testing.assert_array_equal(found(TRUTH), TRUTH)


def test_overconfident_probabilities_are_mapped_back_by_the_simpler_map() -> None:
    found = recalibration.recalibration(STEEP, Y, FOLDS)
    assert found.method == "logistic"
    assert isinstance(found.mapping, LogisticMap)
    assert found.mapping.slope == pytest.approx(0.5, abs=0.05)
    assert error(found(STEEP)) < error(STEEP) / 3
    assert found.log_loss["logistic"] < found.log_loss["as they are"]


def test_what_no_straight_line_mends_is_mapped_by_steps() -> None:
    found = recalibration.recalibration(BENT, Y, FOLDS)
    assert found.method == "isotonic"
    assert error(found(BENT)) < error(BENT) / 3


def test_a_map_is_judged_on_cases_it_was_not_learnt_from() -> None:
    """Probabilities and outcomes that have nothing to do with each other, all of them apart: steps learnt from the
    cases they are judged on would always win."""
    rng = np.random.default_rng(11)
    p = 0.3 + rng.random(400) * 1e-3
    y = (rng.random(400) < 0.3).astype(int)
    folds = [
        (np.flatnonzero(np.arange(400) % 5 != fold), np.flatnonzero(np.arange(400) % 5 == fold))
        for fold in range(5)
    ]
    assert recalibration.recalibration(p, y, folds).method is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=40), st.floats(-3, 3), st.floats(0.05, 4))
def test_no_map_turns_the_order_round_or_leaves_the_unit_interval(
    p: list[float], intercept: float, slope: float
) -> None:
    raw = np.sort(np.array(p))
    steps = recalibration.step_map(TRUTH[:500], Y[:500])
    for mapping in (LogisticMap(intercept, slope), steps):
        mapped = mapping(raw)
        assert (np.diff(mapped) >= -1e-12).all()
        assert ((mapped >= 0) & (mapped <= 1)).all()


def test_a_ranking_the_wrong_way_round_is_not_turned_by_a_line() -> None:
    found = recalibration.recalibration(1 - TRUTH, Y, FOLDS)
    assert not isinstance(found.mapping, LogisticMap)
    assert (np.diff(found(np.sort(1 - TRUTH))) >= 0).all()


def test_steps_never_say_never() -> None:
    mapped = recalibration.step_map(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 1, 1]))
    assert isinstance(mapped, StepMap)
    assert 0 < mapped(np.array([0.0]))[0] < mapped(np.array([1.0]))[0] < 1
