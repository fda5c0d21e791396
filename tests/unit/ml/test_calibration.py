"""The calibration line against scikit-learn's logistic regression."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from ml import metrics
from ml.calibration import calibration_intercept, calibration_slope

RNG = np.random.default_rng(2)
CASES = 4000
TRUTH = RNG.beta(1, 6, CASES).clip(0.001, 0.999)
Y = (RNG.random(CASES) < TRUTH).astype(int)
WHOLE = np.ones((1, CASES))
WEIGHTS = RNG.integers(0, 4, CASES).astype(float)


def test_the_slope_is_that_of_a_logistic_regression_on_the_logit() -> None:
    p = expit(0.4 + 1.7 * logit(TRUTH))
    found = calibration_slope(Y, p, np.stack([np.ones(CASES), WEIGHTS]))
    for value, weights in zip(found, (None, WEIGHTS), strict=True):
        peer = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(p)[:, None], Y, sample_weight=weights)
        assert value == pytest.approx(peer.coef_[0, 0], abs=1e-4)


@pytest.mark.parametrize(
    ("p", "intercept", "slope"),
    [
        (TRUTH, 0.0, 1.0),
        (expit(logit(TRUTH) - 1), 1.0, 1.0),
        (expit(2 * logit(TRUTH)), None, 0.5),
    ],
    ids=["right", "understated", "too spread out"],
)
def test_what_the_line_says(p: np.ndarray, intercept: float | None, slope: float) -> None:
    assert calibration_slope(Y, p, WHOLE)[0] == pytest.approx(slope, abs=0.12)
    if intercept is not None:
        assert calibration_intercept(Y, p, WHOLE)[0] == pytest.approx(intercept, abs=0.12)


@pytest.mark.parametrize("shift", [-12, -4, 4, 12])
def test_the_intercept_is_found_from_afar(shift: float) -> None:
    p = expit(logit(TRUTH) + shift)
    assert calibration_intercept(Y, p, WHOLE)[0] == pytest.approx(-shift, abs=0.6 if abs(shift) > 9 else 0.15)


def test_with_the_intercept_added_the_mean_is_right() -> None:
    p = expit(logit(TRUTH) + 0.7)
    mended = expit(logit(p) + calibration_intercept(Y, p, WHOLE)[0])
    assert mended.mean() == pytest.approx(Y.mean(), abs=1e-6)


@pytest.mark.filterwarnings("error")
def test_equal_probabilities_have_no_slope() -> None:
    assert np.isnan(calibration_slope(Y, np.full(CASES, 0.2), WHOLE)[0])


def test_the_line_is_among_the_metrics_of_all_but_of_no_group() -> None:
    sex = np.where(RNG.random(CASES) < 0.5, "female", "male")
    found = metrics.evaluate(Y, TRUTH, np.arange(CASES), {"sex": sex}, 0.3, replicates=50)
    slope = found.overall.metrics["calibration_slope"]
    assert isinstance(slope, metrics.Estimate)
    assert slope.low < 1 < slope.high
    assert all("calibration_slope" not in group.metrics for group in found.groups)
