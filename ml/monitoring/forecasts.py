"""Whether forecasts hold, now that reality has come in: figures of each day, and of the last five weeks together.

Lines, of the five weeks: the share covered by 90 % intervals must reach up to the gate's least
(``ml.forecast.gate.LEAST_COVERAGE``), and the MASE down to WORST_MASE, where a forecast is as far off as the seasonal
naive one was in the past (R. J. Hyndman and A. B. Koehler, Int J Forecasting 2006), or to MOST_GROWTH times what the
model had in its test, where that is more. Intervals are bootstrapped over days. Models of forecasts are trained anew
each week anyway, so a line that is crossed is told, and starts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from ml import metrics, registry
from ml.forecast.gate import LEAST_COVERAGE
from ml.forecast.store import model_name
from ml.metrics import Estimate
from ml.monitoring.figures import Figure

WORST_MASE = 1.0
MOST_GROWTH = 1.25
FEWEST_DAYS = 7
"""Of fewer days an interval over days says nothing."""
MASE, COVERAGE = "mase", "coverage_90"


def promised(families: Mapping[str, str], *, uri: str | None = None) -> dict[str, tuple[str, float]]:
    """Model as ``scored`` names it -> its champion's number, and the MASE of its test; without those that have no
    champion. families: of each such model the family whose champion forecasts it."""
    found = {}
    for model, family in families.items():
        champion = registry.champion(model_name(family), uri=uri)
        if champion is not None:
            found[model] = champion.number, float(champion.tags.get("test_mase", "nan"))
    return found


def judged(scored: pa.Table, champions: Mapping[str, tuple[str, float]]) -> list[Figure]:
    """scored: in ``ml.forecast.rows.MONITORED``. champions: of :func:`promised`."""
    figures = []
    frame = scored.to_pandas()
    for (model, metric), rows in frame.groupby(["model", "metric"], sort=True):
        version, mase = champions.get(model, (None, float("nan")))
        whole = Figure("forecast", model, version, model, metric, 0.0, 0)
        figures += [
            replace(whole, value=value, n=int(n), day=date.fromisoformat(str(day)))
            for day, value, n in rows.sort_values("day")[["day", "value", "n"]].itertuples(index=False)
        ]
        if len(rows) >= FEWEST_DAYS:
            figures.append(_together(replace(whole, metric=f"{metric}_35d"), metric, rows, mase))
    return figures


def _together(whole: Figure, metric: str, rows: pd.DataFrame, mase: float) -> Figure:
    n = rows["n"].to_numpy(dtype=float)
    found = metrics.estimate(_mean_by(n), rows["value"].to_numpy(), n, np.arange(len(rows)))
    told = replace(whole, value=found.value, low=found.low, high=found.high, n=int(n.sum()))
    line = _line(metric, mase)
    return told if line is None else replace(told, line=line, is_crossed=_is_beyond(metric, found, line))


def _mean_by(n: np.ndarray) -> Callable[..., np.ndarray]:
    """The mean over targets, of days that have ``n`` each."""
    return lambda value, _, weights: (weights @ (value * n)) / (weights @ n)


def _line(metric: str, mase: float) -> float | None:
    if metric == MASE:
        return float(np.nanmax([WORST_MASE, MOST_GROWTH * mase]))
    return LEAST_COVERAGE if metric == COVERAGE else None


def _is_beyond(metric: str, found: Estimate, line: float) -> bool:
    return found.high < line if metric == COVERAGE else found.low > line
