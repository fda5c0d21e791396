from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.forecast import reconcile
from ml.forecast.panel import hierarchy

PATHS = [
    ("north", "heart"),
    ("north", "lung"),
    ("north", "surgery"),
    ("harbour", "heart"),
    ("harbour", "lung"),
]
NAMES, LEVELS, SUMMING = hierarchy(PATHS, ("hospital", "ward"))


def test_the_hierarchy_reaches_from_wards_over_hospitals_to_the_city() -> None:
    assert NAMES == (
        "north|heart",
        "north|lung",
        "north|surgery",
        "harbour|heart",
        "harbour|lung",
        "harbour",
        "north",
        "city",
    )
    assert LEVELS == ("ward",) * 5 + ("hospital",) * 2 + ("city",)
    assert SUMMING[-2].tolist() == [1, 1, 1, 0, 0]


def test_a_level_without_parts_is_left_out() -> None:
    names, _, summing = hierarchy([("a",), ("b",)], ("hospital",))
    assert names == ("a", "b", "city")
    assert summing.shape == (3, 2)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_reconciled_forecasts_add_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors = rng.normal(size=(8, 100)) * rng.uniform(0.5, 3, size=(8, 1))
    base = rng.uniform(0, 20, size=(8, 3, 14))
    found = reconcile.reconciled(base, reconcile.weights(errors, SUMMING), SUMMING)
    assert (found >= 0).all()
    assert np.allclose(found, np.tensordot(SUMMING, found[:5], axes=1), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_forecasts_that_add_up_stay_as_they_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    coherent = SUMMING @ rng.uniform(1, 20, size=(5, 7))
    weights = reconcile.weights(rng.normal(size=(8, 60)), SUMMING)
    assert np.allclose(reconcile.reconciled(coherent, weights, SUMMING), coherent)


def test_reconciled_forecasts_are_better_than_their_bases() -> None:
    """Base forecasts of all series err on their own; what is learnt from old errors helps with new ones."""
    rng = np.random.default_rng(11)
    truth = SUMMING @ rng.uniform(5, 15, size=(5, 4000))
    errors = rng.normal(size=truth.shape) * np.array([2, 2, 2, 2, 2, 1.5, 1.5, 1.0])[:, None]
    weights = reconcile.weights(errors[:, :2000], SUMMING)
    base = (truth + errors)[:, 2000:]
    gained = np.abs(reconcile.reconciled(base, weights, SUMMING) - truth[:, 2000:]).mean(axis=1)
    before = np.abs(errors[:, 2000:]).mean(axis=1)
    assert (gained <= before * 1.01).all()
    assert gained.sum() < 0.9 * before.sum()


def test_few_errors_are_no_covariance() -> None:
    few = reconcile.weights(np.ones((8, 3)), SUMMING)
    none = reconcile.weights(np.empty((8, 0)), SUMMING)
    assert np.array_equal(few, none)


def test_the_covariance_is_shrunk_towards_its_diagonal_when_cases_are_few() -> None:
    rng = np.random.default_rng(2)
    errors = rng.normal(size=(30, 25))
    found = reconcile.shrunk_covariance(errors)
    assert np.linalg.eigvalsh(found).min() > 0
    off = ~np.eye(30, dtype=bool)
    assert np.abs(found[off]).mean() < 0.3 * np.abs(np.cov(errors)[off]).mean()
