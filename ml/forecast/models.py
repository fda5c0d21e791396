"""The models that are compared: seasonal naive, exponential smoothing, and one boosted model of all series of a family.

Each is fitted on the periods of a panel and then forecasts from any origin of it or of a longer one, looking at nothing
after the origin; so one fit serves many rolling origins (Tashman 2000, International Journal of Forecasting 16:437).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any, Protocol

import lightgbm as lgb
import numpy as np

from jobs.errors import CitywellError
from ml.forecast import features
from ml.forecast.panel import STEP, Panel

SEED = 20260101
THREADS = 1
ROUNDS = 150
MOST_ROWS = 60_000
"""The boosted model learns from so many rows at most: of origins spread evenly over the past."""
SMALLEST_LEAF, LARGEST_LEAF, LEAVES_AT_MOST = 20, 500, 40
"""Rows of a leaf: large, as rows of neighbouring origins and horizons tell of the same days."""
WHOLE_YEARS = np.timedelta64(3 * 365, "D")
"""History from which the place in the year, and a trend, is learnt."""
BOOSTING: Mapping[str, Any] = {
    "objective": "poisson",
    "learning_rate": 0.05,
    "num_leaves": 7,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "seed": SEED,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": THREADS,
    "verbosity": -1,
}
"""Counts: the mean is modelled on the log scale, relative to the level of the series."""
SEASONS = 5
"""The naive forecast is seasonal in a history of so many seasons: the quarter of it that lies before the first origin
then holds a whole one."""
NAIVE, ETS, BOOSTED = "seasonal_naive", "ets", "boosted"

log = logging.getLogger(__name__)


class Model(Protocol):
    """A fitted model."""

    def predict(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        """Expected values (series, origins, horizon) from what is known at each origin, an index into the panel's
        periods; never below 0."""


@dataclass(frozen=True)
class SeasonalNaive:
    """The newest known value of the same phase of the season, as many as PHASES seasons back where one is missing."""

    def predict(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        found = features.same_phase(panel, origins, season(panel))
        for back in range(1, features.PHASES):
            found = np.where(np.isnan(found), features.same_phase(panel, origins, season(panel), back), found)
        return np.where(np.isnan(found), features.levels(panel, origins)[:, :, None], found)


@dataclass(frozen=True)
class Ets:
    """One fitted AutoETS of statsforecast per series; a constant where there was nothing to fit.

    A fitted model goes through a past from the states it began with, so a past must begin at the same phase of the
    cycle: phases, of what each was fitted on.
    """

    by_series: tuple[Any, ...]
    phases: tuple[int, ...]

    def predict(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        horizon = panel.rhythm.horizon
        found = np.empty((len(panel.names), len(origins), horizon))
        level = features.levels(panel, origins)
        for row, model in enumerate(self.by_series):
            for column, origin in enumerate(origins):
                past, phase = filled(panel, row, int(origin) + 1)
                past = past[(self.phases[row] - phase) % panel.rhythm.cycle :]
                is_usable = model is not None and len(past) > 2 * panel.rhythm.cycle
                found[row, column] = (
                    model.forward(y=past, h=horizon)["mean"] if is_usable else level[row, column]
                )
        return np.maximum(found, 0.0)


@dataclass(frozen=True)
class Boosted:
    """LightGBM (Ke and others 2017, NeurIPS) over all series, origins and horizons of a family."""

    booster: lgb.Booster

    def predict(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        with_year = features.YEAR in self.booster.feature_name()
        rows = features.table(panel, origins, with_year=with_year)
        relative = np.exp(np.asarray(self.booster.predict(rows.x, raw_score=True, num_threads=THREADS)))
        return (relative * rows.level).reshape(len(panel.names), len(origins), panel.rhythm.horizon)


def fit_seasonal_naive(panel: Panel) -> SeasonalNaive:
    return SeasonalNaive()


def fit_ets(panel: Panel) -> Ets:
    """Additive error and season (Hyndman and Khandakar 2008, Journal of Statistical Software 27:3). A trend, chosen by
    AICc, from WHOLE_YEARS on: in less a slope cannot be told from a part of the year's course, and does not go on."""
    from statsforecast.models import AutoETS

    cycle = panel.rhythm.cycle
    trend = "Z" if len(panel.starts) * STEP[panel.grain] >= WHOLE_YEARS else "N"
    found: list[Any] = []
    phases = []
    for row in range(len(panel.names)):
        past, phase = filled(panel, row, panel.values.shape[1])
        phases.append(phase)
        if len(past) <= 3 * cycle + 5 or np.ptp(past) == 0:
            found.append(None)
            continue
        found.append(AutoETS(season_length=cycle, model=f"A{trend}{'A' if cycle > 1 else 'N'}").fit(past))
    return Ets(tuple(found), tuple(phases))


def fit_boosted(panel: Panel) -> Boosted:
    """Trained on every origin whose targets lie within the panel, or on as many of them as MOST_ROWS allows.

    Raises CitywellError when nothing at all was counted.
    """
    origins = training_origins(panel)
    with_year = panel.values.shape[1] * STEP[panel.grain] >= WHOLE_YEARS
    rows, target = features.table(panel, origins, with_year=with_year), panel.targets(origins).ravel()
    is_known = ~np.isnan(target)
    if not target[is_known].sum() > 0:
        raise CitywellError(
            "Nothing was counted in the history to learn from.",
            where=f"forecasts of {panel.family}",
            do="train again when there is more",
        )
    data = lgb.Dataset(
        rows.x[is_known],
        np.maximum(target[is_known], 0.0),
        init_score=np.log(rows.level[is_known]),
        feature_name=list(rows.names),
        free_raw_data=True,
    )
    leaf = int(np.clip(is_known.sum() // LEAVES_AT_MOST, SMALLEST_LEAF, LARGEST_LEAF))
    return Boosted(lgb.train({**BOOSTING, "min_data_in_leaf": leaf}, data, num_boost_round=ROUNDS))


def training_origins(panel: Panel) -> np.ndarray:
    """Indices of the periods that the boosted model learns to forecast from, ascending, as many as MOST_ROWS allows.

    They lie a stride apart that shares no factor with the cycle, so that they fall on each of its phases.
    """
    rhythm, periods = panel.rhythm, panel.values.shape[1]
    first = min(rhythm.level, max(0, periods // 3))
    stride = max(1, -(-len(panel.names) * (periods - first) * rhythm.horizon // MOST_ROWS))
    while gcd(stride, rhythm.cycle) > 1:
        stride += 1
    return np.arange(periods - 2, first, -stride)[::-1]


FITS: Mapping[str, Callable[[Panel], Model]] = {
    NAIVE: fit_seasonal_naive,
    ETS: fit_ets,
    BOOSTED: fit_boosted,
}


def season(panel: Panel) -> int:
    """Periods of the season of the naive forecast, and of the scale of MASE: one, which makes it the last value, in a
    history of fewer than SEASONS seasons."""
    return panel.rhythm.season if panel.values.shape[1] >= SEASONS * panel.rhythm.season else 1


def naive_name(panel: Panel) -> str:
    """What the naive forecast is, in words."""
    return f"last {panel.grain}'s value" if season(panel) == 1 else "the seasonal naive forecast"


def filled(panel: Panel, row: int, until: int) -> tuple[np.ndarray, int]:
    """The newest ``memory`` values before period ``until``, from the first known one on, and the first one's phase.

    Each gap takes the value a cycle before it, or the last known one.
    """
    first = max(0, until - panel.rhythm.memory)
    values = panel.values[row, first:until].copy()
    known = np.flatnonzero(~np.isnan(values))
    if not known.size:
        return np.empty(0), 0
    first, values = first + int(known[0]), values[known[0] :]
    for gap in np.flatnonzero(np.isnan(values)):
        values[gap] = values[gap - panel.rhythm.cycle] if gap >= panel.rhythm.cycle else values[gap - 1]
    since = panel.starts[first] - np.datetime64(0, "s")
    return values, int(since // STEP[panel.grain]) % panel.rhythm.cycle
