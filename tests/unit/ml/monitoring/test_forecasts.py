"""Figures of past forecasts, against their lines."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ml import registry
from ml.forecast.rows import MONITORED
from ml.monitoring import forecasts
from ml.monitoring.figures import Figure
from ml.monitoring.forecasts import Promise
from tests.support.mlflow import tracking_store

DAILY, WEEKLY = "forecast_arrivals_daily", "forecast_blood_demand_weekly"
WEEKS = {DAILY: "35d", WEEKLY: "182d"}
"""What figures of all dates together are called."""


def table(rows: list[tuple[str, str, float, date, int]]) -> pa.Table:
    return pa.Table.from_pylist(
        [dict(zip(MONITORED.names, row, strict=True)) for row in rows], schema=MONITORED
    )


def scored(model: str, *, mase: float, inside: float, dates: int, at_the_ends: float = 0.0) -> pa.Table:
    """Of 60 targets a date, by day or by week: how many lie strictly inside, and how many more at the ends."""
    rng = np.random.default_rng(0)
    step = timedelta(days=7 if model == WEEKLY else 1)
    found = []
    for number in range(dates):
        day = date(2025, 12, 1) + number * step
        is_inside = rng.binomial(60, inside) / 60
        found += [
            (model, "mase", mase * rng.uniform(0.8, 1.2), day, 60),
            (model, "coverage_90", min(1.0, is_inside + at_the_ends), day, 60),
            (model, "inside_90", is_inside, day, 60),
        ]
    return table(found)


def together(scored: pa.Table, mase_of_test: float = 0.7) -> dict[str, Figure]:
    promises = {DAILY: Promise("day", mase_of_test), WEEKLY: Promise("week", mase_of_test)}
    found = forecasts.judged(scored, promises)
    return {figure.metric: figure for figure in found if figure.metric.endswith("d")}


@pytest.mark.parametrize(("model", "dates"), [(DAILY, 35), (WEEKLY, 26), (WEEKLY, 8)])
@pytest.mark.parametrize(
    ("mase", "inside", "crossed"),
    [
        (0.75, 0.90, set()),
        (0.97, 0.88, set()),
        (1.3, 0.90, {"mase"}),
        (0.75, 0.75, {"coverage_90"}),
        (0.75, 0.99, {"inside_90"}),
    ],
)
def test_forecasts_that_no_longer_hold_cross_a_line(
    model: str, dates: int, mase: float, inside: float, crossed: set[str]
) -> None:
    found = together(scored(model, mase=mase, inside=inside, dates=dates))
    assert {name for name, figure in found.items() if figure.is_crossed} == {
        f"{metric}_{WEEKS[model]}" for metric in crossed
    }
    assert found.keys() == {f"{metric}_{WEEKS[model]}" for metric in ("mase", "coverage_90", "inside_90")}


def test_low_counts_at_the_ends_of_intervals_make_them_no_wider() -> None:
    found = together(scored(DAILY, mase=0.75, inside=0.6, at_the_ends=0.39, dates=35))
    assert found["coverage_90_35d"].value > 0.95
    assert not any(figure.is_crossed for figure in found.values())


def test_figures_are_of_the_family_whichever_versions_forecast(uri: str) -> None:
    """Those of a champion that has just come into use were made by the ones before it; only its test is asked for."""
    families = {DAILY: "arrivals_daily", WEEKLY: "blood_demand_weekly"}
    promises = forecasts.promised(families, uri=uri)
    assert promises[DAILY] == Promise("day", 0.9)
    assert promises[WEEKLY].grain == "week"
    assert np.isnan(promises[WEEKLY].mase)
    found = forecasts.judged(scored(DAILY, mase=1.1, inside=0.9, dates=35), promises)
    assert {figure.model_version for figure in found} == {None}
    [mase] = [figure for figure in found if figure.metric == "mase_35d"]
    assert mase.line == pytest.approx(1.125)
    assert not mase.is_crossed


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A store whose champion of daily arrivals had a MASE of 0.9 in its test."""
    uri = tracking_store(tmp_path, DAILY)
    with registry.connected(uri) as mlflow:
        client = mlflow.MlflowClient()
        client.create_registered_model(DAILY)
        client.create_model_version(DAILY, source="made up", tags={"test_mase": "0.9"})
    assert registry.set_champion(DAILY, "1", instead_of=None, uri=uri)
    return uri


def test_a_model_that_was_no_better_in_its_test_is_given_what_it_had() -> None:
    off = scored(DAILY, mase=1.2, inside=0.9, dates=35)
    assert not together(off, mase_of_test=1.0)["mase_35d"].is_crossed


def test_every_day_is_told_and_a_day_with_more_targets_weighs_more() -> None:
    rows = [
        (DAILY, "mase", value, date(2026, 1, 1 + i), n)
        for i, (value, n) in enumerate([(1.0, 90), (2.0, 10)] * 4)
    ]
    promises = {DAILY: Promise("day", float("nan"))}
    found = forecasts.judged(table(rows), promises)
    assert [figure.day for figure in found if figure.metric == "mase"] == [
        date(2026, 1, d) for d in range(1, 9)
    ]
    assert together(table(rows))["mase_35d"].value == pytest.approx(1.1)
    few = forecasts.judged(table(rows[:6]), promises)
    assert few[-1].metric == "mase", "of six days there is no interval"
    assert not together(scored(WEEKLY, mase=2.0, inside=0.9, dates=7)), "nor of seven weeks"
