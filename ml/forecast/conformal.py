"""Quantiles from out-of-sample errors: split-conformal, with nested intervals.

An error is measured in standard deviations of a count of its expected value (:func:`deviation`), so that small and
large series share their errors (locally weighted conformal inference: Lei and others 2018, JASA 113:1094, section 5.2).
Errors are pooled by level of the hierarchy and by horizon, in bands that double: 1, 2-3, 4-7, 8-15 …

The intervals ``expected + [Q(a), Q(1 - a)] * deviation``, their ends rounded down to counts and cut at 0, are nested in
``a``; the greatest ``a`` that covers at least its share of the calibration's cases, with the correction for their
number, is taken (Gupta, Kuchibhotla and Ramdas 2022, Pattern Recognition 127:108496; Romano, Patterson and Candès 2019,
NeurIPS, for one score of both ends). So p05 to p95 covers 90 % even where most counts are 0 and nothing can fall below
p05; each end alone is a quantile only where counts are not that low. p50 lies below the expected value by as much as
the median error lies below the mean one: what was too low or too high on average, while demand rose or fell, is not
taken to go on. It is rounded to a count: between two of them no median of counts lies, and no absolute error is least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

QUANTILES = (0.05, 0.10, 0.50, 0.90, 0.95)
SHARES = (0.90, 0.80)
"""Covered by p05 to p95, and by p10 to p90."""
LEAST_CASES = 60
"""A level with fewer errors in a band of horizons takes those of all levels."""
ENDS = [0, 1, 3, 4]
"""Of QUANTILES, those that end an interval: whole numbers, as quantiles of counts are."""
MIDDLE = QUANTILES.index(0.5)
_TOLERANCE = 1e-9
_SMALLEST_VARIANCE = 0.05
_STEPS = 51


@dataclass(frozen=True)
class Calibration:
    """offsets: level of the hierarchy -> (horizon, 5) deviations to add for each of QUANTILES."""

    offsets: Mapping[str, np.ndarray]

    def quantiles(self, expected: np.ndarray, levels: Sequence[str]) -> np.ndarray:
        """(5, series, origins, horizon) of expected values (series, origins, horizon), never below 0.

        A level that was not calibrated takes what all levels together gave.
        """
        table = np.stack([self.offsets.get(level, self.offsets[""]) for level in levels])
        found = expected[None] + np.moveaxis(table, 2, 0)[:, :, None, :] * deviation(expected)[None]
        found[ENDS] = np.floor(found[ENDS] + _TOLERANCE)
        found[MIDDLE] = np.floor(found[MIDDLE] + 0.5)
        return np.maximum(np.maximum.accumulate(found, axis=0), 0.0)


def deviation(expected: np.ndarray) -> np.ndarray:
    """Standard deviation of a Poisson count with this expectation, kept above 0."""
    return np.sqrt(np.maximum(expected, _SMALLEST_VARIANCE))


def calibrate(expected: np.ndarray, actual: np.ndarray, levels: Sequence[str]) -> Calibration:
    """From forecasts and what came, (series, origins, horizon); cases with nothing to compare (NaN) are left out.

    The forecasts must be out of sample: of models that had not seen what came.
    """
    level_of = np.array(levels)
    bands = horizon_bands(expected.shape[2])
    found = {}
    for level in ("", *dict.fromkeys(levels)):
        rows = np.ones(len(level_of), dtype=bool) if level == "" else level_of == level
        offsets = np.empty((expected.shape[2], len(QUANTILES)))
        for band in bands:
            cases = _cases(expected[rows][:, :, band], actual[rows][:, :, band])
            if len(cases[0]) < LEAST_CASES:
                cases = _cases(expected[:, :, band], actual[:, :, band])
            offsets[band] = _offsets(*cases)
        found[level] = offsets
    return Calibration(found)


def horizon_bands(horizon: int) -> list[slice]:
    """Bands of horizons that double, as slices of 0-based steps."""
    edges = [0]
    while edges[-1] < horizon:
        edges.append(min(horizon, 2 * edges[-1] + 1))
    return [slice(low, high) for low, high in pairwise(edges)]


def _cases(expected: np.ndarray, actual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    is_known = ~np.isnan(expected) & ~np.isnan(actual)
    return expected[is_known], actual[is_known]


def _offsets(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """The five offsets of one pool of cases; wide ones where there are none."""
    if not len(expected):
        return np.array([-3.0, -2.0, 0.0, 2.0, 3.0])
    scale = deviation(expected)
    errors = (actual - expected) / scale
    found: list[tuple[float, float]] = []
    for share in SHARES:
        needed = min(1.0, np.ceil((len(errors) + 1) * share) / len(errors))
        for a in np.linspace(1 - share, 0.0, _STEPS):
            low, high = np.quantile(errors, [a, 1 - a], method="inverted_cdf")
            ends = np.floor(np.stack([expected + low * scale, expected + high * scale]) + _TOLERANCE)
            is_in = (actual >= np.maximum(ends[0], 0.0)) & (actual <= ends[1])
            if is_in.mean() >= needed:
                break
        found.append((low, high))
    (low_90, high_90), (low_80, high_80) = found
    return np.array([low_90, low_80, np.median(errors) - errors.mean(), high_80, high_90])
