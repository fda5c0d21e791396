"""What acting on a model is worth: net benefit, decision curves, and the line that a cost ratio asks for.

Net benefit at a threshold t (Vickers and Elkin, Med Decis Making 2006): true positives per case, minus false
positives per case times t / (1 - t). Somebody who acts from a risk of t on holds a missed event for (1 - t) / t times
as bad as a false alarm, so t / (1 - t) is what a false alarm costs, with a missed event as the unit. A model is of use
at t when its net benefit is above those of alerting everybody and of alerting nobody (which is nought).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jobs.errors import CitywellError

POINTS = 40
SPREAD = 4.0
"""A curve goes to so many times the share of events: above, hardly anybody is alerted."""


@dataclass(frozen=True)
class Point:
    """Net benefit per case at one threshold: of the model, and of alerting everybody."""

    threshold: float
    model: float
    everybody: float


def net_benefit(y: np.ndarray, alerts: np.ndarray, threshold: float) -> float:
    """Net benefit per case of ``alerts`` (boolean), at ``threshold`` in [0, 1)."""
    odds = threshold / (1 - threshold)
    return float(np.mean(alerts & (y == 1)) - odds * np.mean(alerts & (y == 0)))


def point(y: np.ndarray, p: np.ndarray, threshold: float) -> Point:
    """What the probabilities ``p`` are worth to somebody who acts from ``threshold`` on."""
    everybody = np.ones(len(y), dtype=bool)
    return Point(threshold, net_benefit(y, p >= threshold, threshold), net_benefit(y, everybody, threshold))


def curve(y: np.ndarray, p: np.ndarray) -> tuple[Point, ...]:
    """POINTS points at even thresholds, up to SPREAD times the share of events, but no further than 0.99."""
    highest = min(0.99, SPREAD * float(y.mean()))
    return tuple(point(y, p, float(t)) for t in np.linspace(0, highest, POINTS + 1)[1:])


def cost_threshold(cost_ratio: float) -> float:
    """The risk from which on an alert is worth it: ratio / (1 + ratio).

    cost_ratio: what a false alarm costs, with a missed event as the unit: 0.05 where one missed event is as bad as
    twenty false alarms. Raises CitywellError unless it is above nought.
    """
    if not cost_ratio > 0:
        raise CitywellError(
            f"A cost ratio must be above 0, and this one is {cost_ratio}.",
            where="cost_ratio",
            do="state what a false alarm costs, with a missed event as 1",
        )
    return cost_ratio / (1 + cost_ratio)
