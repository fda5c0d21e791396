"""A forecaster that was kept as text forecasts as before, and series that have come since still add up."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from ml.forecast import backtest, store
from ml.forecast.card import card
from ml.forecast.families import FAMILIES
from ml.forecast.gate import tags
from ml.forecast.models import BOOSTED, ETS, NAIVE
from tests.unit.ml.forecast.generated import panel


@pytest.mark.parametrize("kind", [ETS, BOOSTED])
def test_what_was_kept_forecasts_as_before(kind: str) -> None:
    made, origin = panel(periods=300), np.array([299])
    forecaster = backtest.backtest(made, (kind,)).forecaster
    again = store.from_json(store.to_json(forecaster), made)
    expected = forecaster.expected(made, origin)
    assert np.array_equal(again.expected(made, origin), expected)
    assert np.array_equal(again.quantiles(made, expected), forecaster.quantiles(made, expected))


def test_a_new_hospital_is_forecast_and_adds_up() -> None:
    forecaster = backtest.backtest(panel(series=4, periods=300), (BOOSTED,)).forecaster
    grown = panel(series=5, periods=300)
    found = forecaster.expected(grown, np.array([299]))
    assert found.shape == (6, 1, 14)
    assert np.allclose(found[:5].sum(axis=0), found[5])
    assert forecaster.quantiles(grown, found).shape == (5, 6, 1, 14)


@pytest.mark.parametrize(
    ("weeks", "naive"), [(100, "last week's value"), (260, "the seasonal naive forecast")]
)
def test_card_and_tags_name_what_errors_are_compared_with(weeks: int, naive: str) -> None:
    """Until there are five years, a week's naive forecast is the week before."""
    made = panel(periods=weeks, grain="week")
    result = backtest.backtest(made, (NAIVE,))
    told = card(FAMILIES["blood_demand_weekly"], made, result, datetime(2026, 1, 1, tzinfo=UTC), {})
    assert f"| compared | MASE | error by that of {naive} |" in told
    assert f"\n| {naive} | " in told
    assert tags(result.test)["test_naive"] == naive


def test_the_key_of_a_training_names_its_data() -> None:
    made = panel(periods=100)
    key = store.training_key(made, (ETS,))
    assert key == store.training_key(panel(periods=100), (ETS,))
    assert key != store.training_key(panel(periods=100, seed=1), (ETS,))
    assert key != store.training_key(made, (BOOSTED,))


def test_nothing_of_a_series_is_kept_but_its_name() -> None:
    made = panel(periods=300)
    kept = json.loads(store.to_json(backtest.backtest(made, (ETS,)).forecaster))
    assert set(kept) == {"kind", "booster", "names", "weights", "offsets"}
    assert kept["booster"] is None
