"""A forecaster that was kept as text forecasts as before, and series that have come since still add up."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ml.forecast import backtest, store
from ml.forecast.models import BOOSTED, ETS
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
