"""Metrics against scikit-learn, intervals, groups."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from ml import metrics

RNG = np.random.default_rng(0)
CASES = 1500
P = np.round(RNG.beta(1, 6, CASES), 2)  # with ties
Y = (RNG.random(CASES) < P).astype(int)
WEIGHTS = RNG.integers(0, 4, CASES).astype(float)
PERSON = RNG.integers(0, 700, CASES)
ALERT = (P >= 0.2).astype(int)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (metrics.auroc, lambda w: reference.roc_auc_score(Y, P, sample_weight=w)),
        (metrics.average_precision, lambda w: reference.average_precision_score(Y, P, sample_weight=w)),
        (metrics.brier, lambda w: reference.brier_score_loss(Y, P, sample_weight=w)),
        (
            metrics.at_threshold(0.2)["accuracy"],
            lambda w: reference.accuracy_score(Y, ALERT, sample_weight=w),
        ),
        (metrics.at_threshold(0.2)["recall"], lambda w: reference.recall_score(Y, ALERT, sample_weight=w)),
        (
            metrics.at_threshold(0.2)["precision"],
            lambda w: reference.precision_score(Y, ALERT, sample_weight=w),
        ),
        (metrics.at_threshold(0.2)["f1"], lambda w: reference.f1_score(Y, ALERT, sample_weight=w)),
    ],
    ids=["auroc", "auprc", "brier", "accuracy", "recall", "precision", "f1"],
)
def test_equal_to_scikit_learn(metric, expected) -> None:
    both = metric(Y, P, np.stack([np.ones(CASES), WEIGHTS]))
    assert both == pytest.approx([expected(None), expected(WEIGHTS)], abs=1e-12)


def test_calibration_error_is_the_mean_gap_of_ten_equal_bins() -> None:
    p = np.repeat([0.1, 0.3], 50)
    y = np.concatenate([np.arange(50) < 10, np.arange(50) < 15]).astype(int)  # 0.2 and 0.3 observed
    order = np.argsort(np.arange(100) % 10, kind="stable")  # spread, so that bins do not follow the events
    p, y = p[order], y[order]
    bins = np.array_split(np.argsort(p, kind="stable"), 10)
    expected = sum(abs(p[rows].mean() - y[rows].mean()) * len(rows) for rows in bins) / 100
    assert metrics.calibration_error(y, p, np.ones((1, 100)))[0] == pytest.approx(expected)
    assert metrics.calibration_in_the_large(y, p, np.ones((1, 100)))[0] == pytest.approx(-0.05)


def test_right_probabilities_stay_below_the_error_by_chance_and_wrong_ones_do_not() -> None:
    chance = metrics.error_by_chance(P)
    whole = np.ones((1, CASES))
    assert metrics.calibration_error(Y, P, whole)[0] <= chance
    assert metrics.calibration_error(Y, np.minimum(P + 0.1, 1), whole)[0] > 3 * chance


def test_the_interval_holds_the_value_and_narrows_with_more_people() -> None:
    wide = metrics.estimate(metrics.auroc, Y[:300], P[:300], PERSON[:300])
    narrow = metrics.estimate(metrics.auroc, Y, P, PERSON)
    assert wide.low < wide.value < wide.high
    assert narrow.high - narrow.low < wide.high - wide.low


def test_people_are_drawn_not_cases() -> None:
    """Ten copies of each case of one person add nothing: the interval must not narrow."""
    once = metrics.estimate(metrics.auroc, Y, P, np.arange(CASES))
    copies = metrics.estimate(
        metrics.auroc, np.repeat(Y, 10), np.repeat(P, 10), np.repeat(np.arange(CASES), 10)
    )
    assert copies.high - copies.low == pytest.approx(once.high - once.low, rel=0.15)


def test_a_paired_difference_is_sharper_than_two_intervals() -> None:
    noisy = P + RNG.normal(0, 0.02, CASES)
    gap = metrics.difference(metrics.auroc, Y, P, noisy, PERSON)
    one = metrics.estimate(metrics.auroc, Y, P, PERSON)
    assert gap.high - gap.low < (one.high - one.low) / 2
    same = metrics.difference(metrics.auroc, Y, P, P, PERSON)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_groups_are_measured_apart_unless_they_are_too_small() -> None:
    sex = np.where(np.arange(CASES) < 12, "other", np.where(PERSON % 2 == 0, "female", "male"))
    found = metrics.evaluate(Y, P, PERSON, {"sex": sex}, 0.2, replicates=50)
    by_name = {result.group: result for result in found.groups}
    assert set(by_name) == {"sex=female", "sex=male"}, "twelve people are left out, not counted"
    rows = sex == "female"
    assert by_name["sex=female"].metrics["auroc"].value == pytest.approx(
        reference.roc_auc_score(Y[rows], P[rows])
    )
    assert sum(point.cases for point in found.reliability) == CASES
    assert all(point.low <= point.observed <= point.high for point in found.reliability)


def test_the_calibration_error_has_no_interval_the_others_hold_their_value() -> None:
    found = metrics.evaluate(Y, P, PERSON, {}, 0.2, replicates=50).overall.metrics
    error = found.pop("calibration_error")
    assert str(error) == f"{error.value:.3f}"
    assert all(e.low <= e.value <= e.high for e in found.values())


@pytest.mark.filterwarnings("error")
def test_a_group_without_alerts_has_no_precision() -> None:
    sex = np.where(PERSON % 2 == 0, "female", "male")
    p = np.where(sex == "male", np.minimum(P, 0.19), P)
    found = metrics.evaluate(Y, p, PERSON, {"sex": sex}, 0.2, replicates=50)
    [men] = [result.metrics for result in found.groups if result.group == "sex=male"]
    assert "precision" not in men
    assert men["recall"].value == 0


def test_the_roc_curve_goes_from_corner_to_corner_and_has_the_right_area() -> None:
    points = metrics.roc_points(Y, P)
    assert (points[0], points[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert len(points) <= metrics.ROC_POINTS
    assert reference.auc(*zip(*points, strict=True)) == pytest.approx(reference.roc_auc_score(Y, P), abs=0.01)
