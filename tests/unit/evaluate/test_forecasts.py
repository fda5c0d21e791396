"""Forecasting models by their tests: short is what lies beyond the line with the whole interval."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.evaluate.forecasts import lines
from ml.forecast import gate
from ml.forecast.backtest import Score
from ml.metrics import Estimate

TEST = Score(
    mase=Estimate(0.75, 0.70, 0.80),
    against_naive=Estimate(0.72, 0.66, 0.79),
    coverage=Estimate(0.91, 0.89, 0.93),
    inside=Estimate(0.85, 0.83, 0.87),
    pinball=Estimate(0.2, 0.18, 0.22),
    targets=3136,
    naive="the seasonal naive forecast",
)


def verdicts(test: Score) -> dict[str, str]:
    return {line.name.removeprefix("forecast_beds_"): str(line) for line in lines("beds", gate.tags(test))}


def test_a_good_model_passes_with_its_intervals() -> None:
    found = verdicts(TEST)
    assert found["error_by_naive"] == (
        "forecast_beds_error_by_naive 0.72 ratio(0.660..0.790) low<=0.8 pass of 3136"
    )
    assert found["coverage"] == "forecast_beds_coverage 0.91 share(0.890..0.930) 0.87..0.93 pass of 3136"
    assert found["mase"] == "forecast_beds_mase 0.75 ratio(0.700..0.800) low<=0.8 pass of 3136"


@pytest.mark.parametrize(
    ("worse", "line"),
    [
        ({"against_naive": Estimate(0.9, 0.82, 0.98)}, "error_by_naive"),
        ({"mase": Estimate(0.9, 0.82, 0.98)}, "mase"),
        ({"coverage": Estimate(0.8, 0.75, 0.85)}, "coverage"),
        ({"coverage": Estimate(0.99, 0.98, 1.0), "inside": Estimate(0.95, 0.94, 0.96)}, "coverage"),
    ],
)
def test_what_lies_beyond_the_line_beyond_noise_is_short(worse: dict[str, Estimate], line: str) -> None:
    found = verdicts(replace(TEST, **worse))
    assert [name for name, words in found.items() if " short " in words] == [line]


def test_intervals_of_counts_that_are_mostly_nought_are_not_called_wide() -> None:
    """Of counts that are 0 in 97 of 100 cases no interval covers less, and nothing lies strictly inside."""
    found = verdicts(replace(TEST, coverage=Estimate(0.97, 0.96, 0.98), inside=Estimate(0.02, 0.01, 0.03)))
    assert " pass " in found["coverage"]
