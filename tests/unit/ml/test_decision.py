"""Net benefit by hand, its curve, and the line that costs ask for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import CitywellError
from ml import decision

RNG = np.random.default_rng(4)
P = RNG.beta(1, 6, 5000)
Y = (RNG.random(5000) < P).astype(int)


def test_net_benefit_by_hand() -> None:
    """Ten cases: of five alerts two are true. At a risk of 0.2 a false alarm costs a quarter: 2/10 - 3/10 * 1/4."""
    y = np.array([1, 1, 0, 0, 0, 1, 0, 0, 0, 0])
    alerts = np.arange(10) < 5
    assert decision.net_benefit(y, alerts, 0.2) == pytest.approx(0.125)


def test_alerting_everybody_is_worth_nothing_at_the_share_of_events() -> None:
    assert decision.point(Y, P, float(Y.mean())).everybody == pytest.approx(0, abs=1e-12)


def test_right_probabilities_are_worth_more_than_either_extreme_along_the_curve() -> None:
    curve = decision.curve(Y, P)
    assert len(curve) == decision.POINTS
    assert curve[-1].threshold == pytest.approx(4 * Y.mean())
    assert all(point.model >= max(point.everybody, 0) - 0.003 for point in curve)
    assert max(point.model - max(point.everybody, 0) for point in curve) > 0.01


def test_probabilities_that_say_nothing_are_worth_less() -> None:
    threshold = float(Y.mean())
    assert (
        decision.point(Y, RNG.permutation(P), threshold).model < decision.point(Y, P, threshold).model - 0.01
    )


@given(st.floats(0.001, 1000))
def test_at_the_line_of_a_cost_ratio_a_case_of_that_risk_is_worth_neither_more_nor_less(ratio: float) -> None:
    """An alert that is true with the threshold's probability gains as much as it costs."""
    t = decision.cost_threshold(ratio)
    assert 0 < t < 1
    assert t * 1 - (1 - t) * ratio == pytest.approx(0, abs=1e-9 * max(1, ratio))


def test_free_false_alarms_are_refused() -> None:
    with pytest.raises(CitywellError, match="above 0"):
        decision.cost_threshold(0.0)
