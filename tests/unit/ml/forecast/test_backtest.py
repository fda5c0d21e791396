"""Rolling origins on counts of a known mean: better than seasonal naive, covered as promised, and never from the
future."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from jobs.errors import CitywellError
from ml.forecast import backtest
from ml.forecast.models import BOOSTED, NAIVE
from ml.forecast.panel import STEP, Grain
from tests.unit.ml.forecast.generated import means, panel, with_another_future


@pytest.fixture(scope="module")
def many() -> backtest.Backtest:
    return backtest.backtest(panel(series=30, periods=600, mean=8.0))


def test_the_chosen_model_beats_seasonal_naive_on_later_origins(many: backtest.Backtest) -> None:
    assert many.chosen != NAIVE
    assert many.test.mase.value <= 0.8
    assert many.test.against_naive.high <= 0.8
    assert many.compared[NAIVE].mase.value > 0.9


def test_intervals_cover_as_much_as_they_promise_on_origins_they_were_not_calibrated_on(
    many: backtest.Backtest,
) -> None:
    assert 0.87 <= many.test.coverage.value <= 0.93
    assert many.test.targets == 31 * 14 * len(many.origins.test)


def test_intervals_follow_errors_that_grow_and_know_none_to_come() -> None:
    """Demand that becomes twice as uncertain is covered less until that has been seen, then more from fit to fit."""
    made = panel(series=10, periods=600, mean=60.0)
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 25, (10, 600)) * (np.arange(600) >= 430)
    values = np.maximum(made.values[:10] + noise, 0).round()
    made = replace(made, values=made.summing @ values)
    origins = backtest.split(made)
    past = backtest._past(made, NAIVE, origins.all)
    later = origins.all[origins.all >= 530]
    covered = {}
    for name, part in (("unseen", origins.all[(origins.all >= 420) & (origins.all < 440)]), ("seen", later)):
        quantiles, actual = backtest._quantiles(made, past, part), made.targets(part)
        covered[name] = ((actual >= quantiles[0]) & (actual <= quantiles[4]))[:10].mean()
    assert covered["unseen"] < covered["seen"] - 0.05, covered


def test_each_origin_is_forecast_by_a_model_of_its_time() -> None:
    """What comes after an origin's block began changes none of its forecasts."""
    made = panel(periods=400)
    origins = backtest.split(made).all
    once = backtest._past(made, BOOSTED, origins)
    block = once.blocks[1]
    other = with_another_future(made, int(origins[block[0]]) + 1)
    again = backtest._past(other, BOOSTED, origins[: block[0] + 1])
    assert np.array_equal(again.base[:, block[0]], once.base[:, block[0]])


def test_expected_values_are_near_the_true_means() -> None:
    made = panel(series=12, periods=600, mean=20.0)
    found = backtest.backtest(made).forecaster.expected(made, np.array([599]))[:12, 0]
    truth = means(12, 614, 20.0)[:, 600:]
    assert np.abs(found / truth - 1).mean() < 0.08


def test_parts_follow_each_other_without_a_common_target(many: backtest.Backtest) -> None:
    origins = many.origins
    parts = (origins.calibrate, origins.compare, origins.test)
    for before, after in pairwise(parts):
        assert before.max() + 14 <= after.min()
    assert origins.test.max() + 14 < 600


def test_what_comes_after_the_last_period_changes_nothing() -> None:
    """Of two futures of one past, comparison, choice and forecasts are the same."""
    made = panel(periods=330)
    once, again = (
        backtest.backtest(future.until(300), (NAIVE, BOOSTED))
        for future in (made, with_another_future(made, 300))
    )
    assert once.compared == again.compared
    assert once.test == again.test
    origin = np.array([299])
    expected = once.forecaster.expected(made, origin)
    assert np.array_equal(again.forecaster.expected(with_another_future(made, 300), origin), expected)


def test_a_gap_is_neither_a_zero_nor_a_target() -> None:
    made = panel(series=8, periods=400)
    values = made.values.copy()
    values[2, 340:350] = np.nan
    values[-1, 340:350] = np.nan
    gapped = backtest.backtest(replace(made, values=values), (NAIVE, BOOSTED))
    assert gapped.test.mase.value < 0.9
    assert gapped.test.targets < 9 * 14 * len(gapped.origins.test)


@pytest.mark.parametrize("grain", list(STEP))
def test_every_short_history_is_parted_or_refused(grain: Grain) -> None:
    """None stops the training of other families."""
    longest = panel(series=1, periods=120, grain=grain)
    for periods in range(20, 121):
        made = longest.until(periods)
        try:
            found = backtest.split(made)
        except CitywellError:
            with pytest.raises(CitywellError, match="too short"):
                backtest.backtest(made)
        else:
            assert min(map(len, (found.calibrate, found.compare, found.test))) >= backtest.LEAST_ORIGINS


@pytest.mark.parametrize(("grain", "periods"), [("day", 112), ("week", 56), ("hour", 602)])
def test_the_shortest_history_that_is_enough_is_compared_on_by_every_kind(grain: Grain, periods: int) -> None:
    made = panel(periods=periods + 1, grain=grain)
    with pytest.raises(CitywellError, match="too short"):
        backtest.backtest(made.until(periods))
    assert np.isfinite(backtest.backtest(made).test.mase.value)


def test_pinball_loss_is_the_weighted_distance() -> None:
    quantiles = np.array([1.0, 2.0, 4.0, 6.0, 8.0])[:, None]
    found = backtest.pinball(quantiles, np.array([5.0]))
    assert found[0] == pytest.approx((0.05 * 4 + 0.1 * 3 + 0.5 * 1 + 0.1 * 1 + 0.05 * 3) / 5)


def test_the_scale_of_mase_is_the_seasonal_naive_error_before_the_cut() -> None:
    made = panel(periods=100)
    scale = backtest.naive_scale(made, 50)
    assert scale[0] == pytest.approx(np.abs(made.values[0, 7:50] - made.values[0, :43]).mean())
    assert np.isnan(backtest.naive_scale(replace(made, values=np.zeros_like(made.values)), 50)).all()
