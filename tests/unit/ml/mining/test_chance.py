"""Findings that chance makes are held to the rate that is said, also where tests depend on each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ml.mining.chance import q_values


def test_q_is_p_times_tests_times_the_harmonic_sum_by_rank() -> None:
    harmonic = 1 + 1 / 2 + 1 / 3
    assert q_values(np.array([0.01, 0.9, 0.02])) == pytest.approx(
        [0.01 * 3 * harmonic, 1.0, 0.02 * 3 / 2 * harmonic]
    )


def test_what_was_not_tested_counts_and_what_is_missing_does_not() -> None:
    p = np.array([0.001, 0.5])
    assert q_values(p, tests=3) == pytest.approx(q_values(np.array([0.001, 0.5, 1.0]))[:2])
    with_gap = q_values(np.array([0.001, np.nan, 0.5]))
    assert np.isnan(with_gap[1])
    assert with_gap[[0, 2]] == pytest.approx(q_values(p))
    with pytest.raises(ValueError, match="fewer hypotheses"):
        q_values(p, tests=1)


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_at_most_the_said_share_of_findings_is_false(shared: float) -> None:
    """45 true null hypotheses and 5 effects, of tests that share a part of their noise."""
    rng, level, false_shares, powers = np.random.default_rng(0), 0.05, [], []
    effect = np.r_[np.zeros(45), np.full(5, 5.0)]
    for _ in range(400):
        noise = np.sqrt(shared) * rng.normal() + np.sqrt(1 - shared) * rng.normal(size=50)
        found = q_values(stats.norm.sf(effect + noise)) <= level
        false_shares.append(found[:45].sum() / max(found.sum(), 1))
        powers.append(found[45:].mean())
    assert np.mean(false_shares) <= level
    assert np.mean(powers) > 0.6
