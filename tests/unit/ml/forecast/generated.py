"""Series whose mean is known: Poisson counts with an effect of the weekday."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.forecast.panel import STEP, Grain, Panel, hierarchy, summed

WEEKDAYS = np.array([1.25, 1.15, 1.0, 1.0, 1.0, 0.75, 0.85])
MONDAY = np.datetime64("2024-01-01T00:00", "s")


def means(series: int, periods: int, mean: float) -> np.ndarray:
    """Expected counts (series, periods) by day, from half of ``mean`` to one and a half times it."""
    return mean * np.linspace(0.5, 1.5, series)[:, None] * WEEKDAYS[np.arange(periods) % 7][None]


def panel(
    series: int = 4,
    periods: int = 500,
    mean: float = 8.0,
    *,
    seed: int = 0,
    grain: Grain = "day",
    paths: Sequence[tuple[str, ...]] | None = None,
    level_names: Sequence[str] = ("hospital",),
) -> Panel:
    """Counts of hospitals, or of ``paths``, and their sums."""
    paths = paths or [(f"h{number}",) for number in range(series)]
    counts = np.random.default_rng(seed).poisson(means(len(paths), periods, mean)).astype(float)
    names, levels, summing = hierarchy(paths, level_names)
    starts = MONDAY + np.arange(periods) * STEP[grain]
    around = np.random.default_rng(seed + 1).normal(size=(periods, 1))
    return Panel("made_up", grain, names, levels, starts, summed(counts, summing), summing, around, ("air",))


def with_another_future(panel: Panel, first: int) -> Panel:
    """``panel`` with everything from period ``first`` on changed."""
    from dataclasses import replace

    values, around = panel.values.copy(), panel.exogenous.copy()
    values[:, first:] = 1000.0 - values[:, first:]
    around[first:] = -99.0
    return replace(panel, values=values, exogenous=around)
