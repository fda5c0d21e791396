"""Figures of past forecasts, against their lines."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from ml.forecast.rows import MONITORED
from ml.monitoring import forecasts
from ml.monitoring.figures import Figure

MODEL = "forecast_arrivals_daily"


def scored(*, mase: float, coverage: float, days: int = 35, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    found = []
    for number in range(days):
        day = date(2026, 1, 1) + timedelta(days=number)
        found.append((MODEL, "mase", mase * rng.uniform(0.8, 1.2), day, 60))
        found.append((MODEL, "coverage_90", rng.binomial(60, coverage) / 60, day, 60))
    return pa.Table.from_pylist(
        [dict(zip(MONITORED.names, row, strict=True)) for row in found], schema=MONITORED
    )


def together(table: pa.Table, mase_of_test: float = 0.7) -> dict[str, Figure]:
    found = forecasts.judged(table, {MODEL: ("3", mase_of_test)})
    return {figure.metric: figure for figure in found if figure.metric.endswith("_35d")}


@pytest.mark.parametrize(
    ("mase", "coverage", "crossed"),
    [
        (0.75, 0.90, set()),
        (0.98, 0.86, set()),
        (1.2, 0.90, {"mase_35d"}),
        (0.75, 0.75, {"coverage_90_35d"}),
    ],
)
def test_forecasts_that_no_longer_hold_cross_a_line(mase: float, coverage: float, crossed: set[str]) -> None:
    found = together(scored(mase=mase, coverage=coverage))
    assert {name for name, figure in found.items() if figure.is_crossed} == crossed
    assert found["mase_35d"].model_version == "3"


def test_a_model_that_was_no_better_in_its_test_is_given_what_it_had() -> None:
    assert not together(scored(mase=1.2, coverage=0.9), mase_of_test=1.0)["mase_35d"].is_crossed


def test_every_day_is_told_and_a_day_with_more_targets_weighs_more() -> None:
    rows = [
        (MODEL, "mase", value, date(2026, 1, 1 + i), n)
        for i, (value, n) in enumerate([(1.0, 90), (2.0, 10)] * 4)
    ]
    table = pa.Table.from_pylist(
        [dict(zip(MONITORED.names, row, strict=True)) for row in rows], schema=MONITORED
    )
    found = forecasts.judged(table, {})
    assert [figure.day for figure in found if figure.metric == "mase"] == [
        date(2026, 1, d) for d in range(1, 9)
    ]
    assert together(table)["mase_35d"].value == pytest.approx(1.1)
    assert forecasts.judged(table.slice(0, 6), {})[-1].metric == "mase", "of six days there is no interval"
