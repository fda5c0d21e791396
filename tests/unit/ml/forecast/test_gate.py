from __future__ import annotations

import pytest

from ml.forecast import gate
from ml.forecast.backtest import Score
from ml.metrics import Estimate


def score(
    against: tuple[float, float, float],
    coverage: float = 0.9,
    inside: float = 0.88,
    naive: str = "the seasonal naive forecast",
) -> Score:
    return Score(
        mase=Estimate(*against),
        against_naive=Estimate(*against),
        coverage=Estimate(coverage, coverage - 0.02, coverage + 0.02),
        inside=Estimate(inside, inside - 0.02, inside + 0.02),
        pinball=Estimate(0.2, 0.19, 0.21),
        targets=1000,
        naive=naive,
    )


GOOD = score((0.72, 0.68, 0.78))


def test_a_model_that_meets_the_floors_is_the_first_champion() -> None:
    decision = gate.judge(GOOD)
    assert decision.is_promoted
    assert "no champion" in decision.reasons[0]


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        (score((0.97, 0.9, 1.02)), "no better than the seasonal naive forecast:"),
        (score((0.97, 0.9, 1.02), naive="last week's value"), "no better than last week's value:"),
        (score((0.72, 0.68, 0.78), coverage=0.80), "too narrow"),
        (score((0.72, 0.68, 0.78), coverage=0.99, inside=0.98), "too wide"),
    ],
)
def test_a_model_below_a_floor_is_refused_in_words(test: Score, reason: str) -> None:
    decision = gate.judge(test)
    assert not decision.is_promoted
    assert reason in decision.reasons[0]


def test_low_counts_may_be_covered_more_often_when_little_lies_strictly_inside() -> None:
    assert gate.judge(score((0.6, 0.55, 0.7), coverage=0.96, inside=0.4)).is_promoted


def test_a_model_that_is_clearly_worse_than_the_champion_was_is_refused() -> None:
    before = gate.tags(GOOD)
    [reason] = (decision := gate.judge(score((0.75, 0.7, 0.8)), "3", before)).reasons
    assert decision.is_promoted
    assert reason.endswith("of the error of the seasonal naive forecast, where version 3 had 0.720.")
    worse = gate.judge(score((0.9, 0.85, 0.95)), "3", before)
    assert not worse.is_promoted
    assert "clearly worse than version 3" in worse.reasons[0]
    assert worse.compared_with == "3"
