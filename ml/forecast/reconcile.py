"""Forecasts that add up: wards to their hospital, hospitals to the city.

MinT: Wickramasuriya, Athanasopoulos and Hyndman 2019, JASA 114:804. With base forecasts y of all series and the
covariance W of their errors, the bottom forecasts are (S' W^-1 S)^-1 S' W^-1 y, and all others their sums. W is shrunk
towards its diagonal by the intensity of Schäfer and Strimmer 2005, Statistical Applications in Genetics and Molecular
Biology 4:32.
"""

from __future__ import annotations

import numpy as np

FEWEST_ERRORS = 20
_SMALLEST_VARIANCE = 1e-4


def weights(errors: np.ndarray, summing: np.ndarray) -> np.ndarray:
    """(bottom series, series): what turns base forecasts into those of the bottom.

    errors: (series, cases) out of sample, NaN where unknown. With fewer than FEWEST_ERRORS complete cases errors are
    taken as uncorrelated, and their variance as the number of bottom series below (structural scaling, ibid. 2.3).
    """
    complete = errors[:, ~np.isnan(errors).any(axis=0)]
    if complete.shape[1] < FEWEST_ERRORS:
        return _projection(np.diag(summing.sum(axis=1)), summing)
    return _projection(shrunk_covariance(complete), summing)


def reconciled(expected: np.ndarray, weights: np.ndarray, summing: np.ndarray) -> np.ndarray:
    """Coherent forecasts (series, …) of base forecasts (series, …): none below 0, sums equal to their parts."""
    flat = expected.reshape(expected.shape[0], -1)
    bottom = np.maximum(weights @ flat, 0.0)
    return (summing @ bottom).reshape(expected.shape)


def shrunk_covariance(errors: np.ndarray) -> np.ndarray:
    """Covariance around 0 of (series, cases), off-diagonal correlations shrunk; positive definite."""
    cases = errors.shape[1]
    deviation = np.sqrt(np.maximum((errors**2).mean(axis=1), _SMALLEST_VARIANCE))
    standard = errors / deviation[:, None]
    correlation = standard @ standard.T / cases
    variance = ((standard**2) @ (standard**2).T / cases - correlation**2) / (cases - 1)
    off = ~np.eye(len(errors), dtype=bool)
    strength = (correlation[off] ** 2).sum()
    intensity = 1.0 if strength == 0 else float(np.clip(variance[off].sum() / strength, 0.0, 1.0))
    shrunk = np.where(off, (1 - intensity) * correlation, 1.0)
    return shrunk * np.outer(deviation, deviation) + np.eye(len(errors)) * _SMALLEST_VARIANCE


def _projection(covariance: np.ndarray, summing: np.ndarray) -> np.ndarray:
    solved = np.linalg.solve(covariance, summing)
    return np.linalg.solve(summing.T @ solved, solved.T)
