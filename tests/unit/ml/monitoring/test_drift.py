"""PSI and KS: known values, no alarm where nothing moves, the feature named that does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ml.monitoring import drift
from ml.monitoring.drift import LARGE_KS, LARGE_PSI, ks, psi
from ml.monitoring.figures import Figure
from ml.monitoring.profile import Column
from tests.unit.ml.monitoring import made

COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=12)


def judged(before: pd.DataFrame, after: pd.DataFrame) -> list[Figure]:
    reference = made.reference(before)
    return drift.judged("input_drift", "toy", "1", reference, made.now(after, reference))


def moved(figures: list[Figure]) -> set[str]:
    return {figure.subject for figure in figures if figure.is_crossed}


def test_psi_of_a_worked_example() -> None:
    """Shares 0.5, 0.3, 0.2 become 0.4, 0.3, 0.3: 0.1 ln(0.5 / 0.4) + 0.1 ln(0.3 / 0.2)."""
    expected = 0.1 * np.log(0.5 / 0.4) + 0.1 * np.log(0.3 / 0.2)
    found = psi(np.array([50_000, 30_000, 20_000.0]), np.array([40_000, 30_000, 30_000.0]))
    assert found == pytest.approx(expected, rel=1e-3)


@given(COUNTS, COUNTS)
@settings(max_examples=200, deadline=None)
def test_psi_is_finite_symmetric_and_nothing_of_the_same(one: list[int], other: list[int]) -> None:
    size = min(len(one), len(other))
    a, b = np.array(one[:size], dtype=float), np.array(other[:size], dtype=float)
    if a.sum() and b.sum():
        assert 0 <= psi(a, b) < np.inf
        assert psi(a, b) == pytest.approx(psi(b, a))
        assert psi(a, a) == 0


def test_ks_is_at_most_that_of_the_values() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 2000), rng.normal(0.5, 1, 1500)
    cuts = np.quantile(a, np.linspace(0, 1, 11)[1:-1])
    found = ks(*(np.bincount(np.searchsorted(cuts, v), minlength=10).astype(float) for v in (a, b)))
    whole = stats.ks_2samp(a, b).statistic
    assert whole - 0.1 < found <= whole + 1e-12


def test_both_lines_mean_a_shift_of_half_a_standard_deviation() -> None:
    rng = np.random.default_rng(1)
    for shift, is_large in ((0.4, False), (0.62, True)):
        before = pd.DataFrame({"level_0": rng.normal(0, 1, 20_000)})
        after = pd.DataFrame({"level_0": rng.normal(shift, 1, 20_000)})
        filler = made.frame(20_000, 3).drop(columns="level_0")
        found = {
            f.metric: f for f in judged(filler.join(before), filler.join(after)) if f.subject == "level_0"
        }
        assert found["psi"].is_crossed is is_large, found["psi"]
        assert found["ks"].is_crossed is is_large, found["ks"]
    assert stats.norm.cdf(0.25) - stats.norm.cdf(-0.25) == pytest.approx(LARGE_KS, abs=0.005)
    assert pytest.approx(LARGE_PSI) == 0.5**2


def test_p_values_of_what_does_not_move_are_even() -> None:
    """Kolmogorov-Smirnov against the uniform distribution: what chance adds is neither under- nor overrated."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(300):
        before, after = (
            Column("ward", "category", (), tuple("abcdefgh"), tuple(rng.multinomial(n, [1 / 8] * 8)), 0, n)
            for n in (900, 400)
        )
        found += [one.p for one in drift.measures(before, after) if one.metric == "psi"]
    assert stats.kstest(found, "uniform").pvalue > 0.01


@pytest.mark.parametrize(("before", "after"), [(200, 60), (1000, 150), (2000, 2000)])
def test_where_nothing_moves_there_is_no_alarm(before: int, after: int) -> None:
    """Twenty features, sixty draws; without the chance correction every third run of sixty people alarms."""
    alarms = [moved(judged(made.frame(before, seed), made.frame(after, 10_000 + seed))) for seed in range(60)]
    assert sum(map(bool, alarms)) <= 1, alarms


@pytest.mark.parametrize("people", [150, 2000])
def test_the_feature_that_moves_is_named_and_no_other(people: int) -> None:
    after = made.frame(people, 5)
    after["level_0"] += 12.0
    after["ward"] = np.where(np.arange(people) % 2 == 0, "z", after["ward"])
    assert moved(judged(made.frame(2000, 4), after)) == {"level_0", "ward"}


def test_what_is_no_longer_told_has_moved() -> None:
    after = made.frame(800, 7)
    after.loc[::2, "level_0"] = np.nan
    found = judged(made.frame(2000, 6), after)
    assert moved(found) == {"level_0"}
    [missing] = [f for f in found if f.metric == "missing_share" and f.subject == "level_0"]
    assert missing.value == pytest.approx(0.5)
    assert missing.low is not None
    assert missing.low < 0.5


def test_too_few_people_are_not_compared() -> None:
    assert judged(made.frame(2000, 8), made.frame(49, 9)) == []
    assert judged(made.frame(2000, 8), made.frame(50, 9)) != []


def test_more_of_the_same_says_the_same_and_order_says_nothing() -> None:
    before, after = made.frame(1000, 10), made.frame(500, 11)
    found = judged(before, after)
    assert judged(before.sample(frac=1, random_state=0), after.sample(frac=1, random_state=1)) == found
