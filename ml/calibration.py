"""Calibration as a line on the logit scale: its intercept and its slope (D. Cox, Biometrika 1958).

After Van Calster et al., "Calibration: the Achilles heel of predictive analytics", BMC Med 2019:

* intercept a of logit(outcome) = a + logit(p): nought when the mean is right, above it when risks are understated;
* slope b of logit(outcome) = a + b logit(p): one when the spread is right, below it when high risks are too high and
  low ones too low, as of a model that has learnt too much from too few.

Both take weights of shape (replicates, cases), as all of ``ml.metrics`` do, and are found by Newton's method.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

MOST_STEPS = 25
MOST_STEP = 2.0
"""Newton's method may overshoot where nearly all probabilities are 0 or 1; no step of the intercept is longer."""
CLOSE_ENOUGH = 1e-7
_LEAST_PROBABILITY = 1e-6

Array = np.ndarray


def calibration_intercept(y: Array, p: Array, weights: Array) -> Array:
    """The intercept with the slope held at one."""
    z = _logit(p)
    a = np.zeros(len(weights))
    for _ in range(MOST_STEPS):
        mu = expit(a[:, None] + z)
        with np.errstate(invalid="ignore", divide="ignore"):
            step = (weights * (y - mu)).sum(axis=1) / (weights * mu * (1 - mu)).sum(axis=1)
        a += np.clip(step, -MOST_STEP, MOST_STEP)
        if not np.nanmax(np.abs(step), initial=0.0) > CLOSE_ENOUGH:
            break
    return a


def calibration_slope(y: Array, p: Array, weights: Array) -> Array:
    """The slope, with an intercept of its own; NaN where all probabilities are one."""
    z = _logit(p)
    a, b = np.zeros(len(weights)), np.zeros(len(weights))
    for _ in range(MOST_STEPS):
        mu = expit(a[:, None] + b[:, None] * z)
        gap, spread = weights * (y - mu), weights * mu * (1 - mu)
        g0, g1 = gap.sum(axis=1), gap @ z
        h00, h01, h11 = spread.sum(axis=1), spread @ z, spread @ z**2
        determinant = h00 * h11 - h01**2
        is_flat = determinant <= 1e-12 * h00 * h11
        with np.errstate(invalid="ignore", divide="ignore"):
            up = np.where(is_flat, np.nan, (h11 * g0 - h01 * g1) / determinant)
            steeper = np.where(is_flat, np.nan, (h00 * g1 - h01 * g0) / determinant)
        a, b = a + up, b + steeper
        if not np.nanmax(np.abs(np.r_[up, steeper]), initial=0.0) > CLOSE_ENOUGH:
            break
    return b


def _logit(p: Array) -> Array:
    return logit(np.clip(p, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY))
