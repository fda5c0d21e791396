"""Whether forecasts hold, now that reality has come in: figures of each target date, and of some weeks together.

All are of a family as a whole, whichever versions of its model made the forecasts: a version is in use for a week or
so, and much of what comes in that time was forecast by those before it.

Lines, of the weeks together (``ml.forecast.pipeline.SCORED_DAYS``): the share covered by 90 % intervals must reach up
to the gate's least (``ml.forecast.gate.LEAST_COVERAGE``), the share strictly inside them down to its most
(MOST_COVERAGE), and the MASE down to WORST_MASE, where a forecast is as far off as the naive one was in the past (R. J.
Hyndman and A. B. Koehler, Int J Forecasting 2006), or to MOST_GROWTH times what the champion had in its test, where
that is more. Intervals are bootstrapped over target dates. Models of forecasts are trained anew each week anyway, so a
line that is crossed is told, and starts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from ml import metrics, registry
from ml.forecast.families import FAMILIES
from ml.forecast.gate import LEAST_COVERAGE, MOST_COVERAGE
from ml.forecast.panel import Grain
from ml.forecast.pipeline import SCORED_DAYS
from ml.forecast.store import model_name
from ml.metrics import Estimate
from ml.monitoring.figures import Figure

WORST_MASE = 1.0
MOST_GROWTH = 1.25
FEWEST_DATES: Mapping[Grain, int] = {"hour": 7, "day": 7, "week": 8}
"""Of fewer target dates an interval over them says nothing: a week of days, and as many weeks as a forecast reaches;
ours."""
MASE, COVERAGE, INSIDE = "mase", "coverage_90", "inside_90"


@dataclass(frozen=True)
class Promise:
    """What the figures of forecasts are held against. grain: of their family. mase: of its champion's test, NaN without
    a champion."""

    grain: Grain
    mase: float


def promised(families: Mapping[str, str], *, uri: str | None = None) -> dict[str, Promise]:
    """By model as ``scored`` names it. families: of each such model the family whose champion forecasts it."""
    found = {}
    for model, family in families.items():
        champion = registry.champion(model_name(family), uri=uri)
        mase = "nan" if champion is None else champion.tags.get("test_mase", "nan")
        found[model] = Promise(FAMILIES[family].grain, float(mase))
    return found


def judged(scored: pa.Table, promises: Mapping[str, Promise]) -> list[Figure]:
    """scored: in ``ml.forecast.rows.MONITORED``. promises: of :func:`promised`, for each model that was scored."""
    figures = []
    frame = scored.to_pandas()
    for (model, metric), rows in frame.groupby(["model", "metric"], sort=True):
        whole, promise = Figure("forecast", model, None, model, metric, 0.0, 0), promises[model]
        figures += [
            replace(whole, value=value, n=int(n), day=date.fromisoformat(str(day)))
            for day, value, n in rows.sort_values("day")[["day", "value", "n"]].itertuples(index=False)
        ]
        if len(rows) >= FEWEST_DATES[promise.grain]:
            named = replace(whole, metric=f"{metric}_{SCORED_DAYS[promise.grain]}d")
            figures.append(_together(named, metric, rows, promise.mase))
    return figures


def _together(whole: Figure, metric: str, rows: pd.DataFrame, mase: float) -> Figure:
    n = rows["n"].to_numpy(dtype=float)
    found = metrics.estimate(_mean_by(n), rows["value"].to_numpy(), n, np.arange(len(rows)))
    told = replace(whole, value=found.value, low=found.low, high=found.high, n=int(n.sum()))
    line = _line(metric, mase)
    return told if line is None else replace(told, line=line, is_crossed=_is_beyond(metric, found, line))


def _mean_by(n: np.ndarray) -> Callable[..., np.ndarray]:
    """The mean over targets, of dates that have ``n`` each."""
    return lambda value, _, weights: (weights @ (value * n)) / (weights @ n)


def _line(metric: str, mase: float) -> float | None:
    lines = {
        MASE: float(np.nanmax([WORST_MASE, MOST_GROWTH * mase])),
        COVERAGE: LEAST_COVERAGE,
        INSIDE: MOST_COVERAGE,
    }
    return lines.get(metric)


def _is_beyond(metric: str, found: Estimate, line: float) -> bool:
    return found.high < line if metric == COVERAGE else found.low > line
