from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.forecast import conformal


@pytest.mark.parametrize("mean", [0.3, 1.0, 6.0, 40.0])
def test_counts_are_covered_as_promised(mean: float) -> None:
    """At least 90 % within and at most 90 % strictly inside, on cases that were not calibrated on."""
    rng = np.random.default_rng(3)
    expected = mean * rng.uniform(0.6, 1.4, size=(40, 50, 14))
    actual = rng.poisson(expected).astype(float)
    levels = ["hospital"] * 40
    found = conformal.calibrate(expected[:, :25], actual[:, :25], levels)
    low, _, _, _, high = found.quantiles(expected[:, 25:], levels)
    later = actual[:, 25:]
    assert ((later >= low) & (later <= high)).mean() >= 0.88
    assert ((later > low) & (later < high)).mean() <= 0.92
    if mean >= 6:
        assert 0.87 <= ((later >= low) & (later <= high)).mean() <= 0.93


def test_a_longer_horizon_with_larger_errors_has_wider_intervals() -> None:
    rng = np.random.default_rng(5)
    expected = np.full((5, 60, 8), 30.0)
    actual = expected + rng.normal(size=expected.shape) * np.arange(1, 9)
    low, _, _, _, high = conformal.calibrate(expected, actual, ["ward"] * 5).quantiles(expected, ["ward"] * 5)
    width = (high - low)[0, 0]
    assert width[7] > width[2] > width[0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 50.0))
def test_quantiles_are_in_order_and_never_below_zero(seed: int, mean: float) -> None:
    rng = np.random.default_rng(seed)
    expected = np.full((3, 10, 5), mean)
    actual = rng.poisson(mean, size=expected.shape).astype(float)
    actual[rng.random(actual.shape) < 0.3] = np.nan
    levels = ["a", "a", "b"]
    found = conformal.calibrate(expected, actual, levels).quantiles(expected, levels)
    assert (found >= 0).all()
    assert (np.diff(found, axis=0) >= 0).all()


def test_all_quantiles_of_counts_are_counts_and_the_middle_one_is_nearest() -> None:
    rng = np.random.default_rng(7)
    expected = np.full((20, 60, 3), 0.4)
    actual = rng.poisson(expected).astype(float)
    found = conformal.calibrate(expected, actual, ["ward"] * 20).quantiles(expected, ["ward"] * 20)
    assert np.array_equal(found, np.round(found))
    errors = [np.abs(actual - value).mean() for value in (found[2], expected, found[2] + 1)]
    assert errors[0] == min(errors)


def test_bands_of_horizons_double() -> None:
    assert [(band.start, band.stop) for band in conformal.horizon_bands(14)] == [
        (0, 1),
        (1, 3),
        (3, 7),
        (7, 14),
    ]
