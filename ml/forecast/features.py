"""What a boosted model looks at: the past of a series up to the issue, the calendar of the target, and surroundings.

Values of a series and of its surroundings are those up to the origin, the last complete period at the issue; only the
calendar is known ahead. Values of a series are divided by its level (:func:`levels`), so that one model learns from
series of any height.

The calendar of an hour is the city's; its phases (the same hour of a day or weeks before) are UTC's, so those from
before the clocks changed are an hour off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.forecast import calendar
from ml.forecast.panel import CITY, Grain, Panel

LOWEST_LEVEL = 0.02
"""Of a series in which next to nothing is counted, per period: keeps what is divided by it finite."""
PHASES = 4
"""So many periods of the target's phase are averaged."""
YEAR_WEEKS = 52
EXOGENOUS_MEANS: dict[Grain, tuple[int, ...]] = {"hour": (1, 72), "day": (1, 3, 7), "week": (1,)}
"""Surroundings are averaged over so many of the newest periods."""
_MONTH: dict[Grain, int] = {"hour": 28 * 24, "day": 28, "week": 4}
YEAR = "year_sine"


@dataclass(frozen=True)
class Table:
    """Rows in the order (series, origin, horizon). x: (rows, columns). level: (rows,), of the series."""

    x: np.ndarray
    level: np.ndarray
    names: tuple[str, ...]


def table(panel: Panel, origins: np.ndarray, *, with_year: bool = False) -> Table:
    """The features of every series, origin (index of the last known period) and horizon.

    with_year: the place in the year too. Over less than some years it tells one spell of the past from another, and a
    model learns what happened then by heart.
    """
    shape = (len(panel.names), len(origins), panel.rhythm.horizon)
    level = levels(panel, origins)
    columns = {
        **_own(panel, origins, level),
        **_calendar(panel, origins, with_year=with_year),
        **_surroundings(panel, origins),
    }
    x = np.stack([np.broadcast_to(column, shape).ravel() for column in columns.values()], axis=1)
    return Table(x, np.broadcast_to(level[:, :, None], shape).ravel(), tuple(columns))


def levels(panel: Panel, origins: np.ndarray) -> np.ndarray:
    """Mean of what is known in the ``Rhythm.level`` periods up to the newest known one at each origin.

    Shape (series, origins). LOWEST_LEVEL at least, and where nothing has ever been known.
    """
    mean = trailing_mean(panel.values, panel.rhythm.level)
    at_known = pd.DataFrame(np.where(np.isnan(panel.values), np.nan, mean))
    return at_known.ffill(axis=1).fillna(0.0).clip(lower=LOWEST_LEVEL).to_numpy()[:, origins]


def trailing_mean(values: np.ndarray, periods: int) -> np.ndarray:
    """Mean of the known values of the last ``periods`` up to each period; NaN where none is known."""
    known = ~np.isnan(values)
    total = np.cumsum(np.where(known, values, 0.0), axis=-1)
    count = np.cumsum(known, axis=-1).astype(float)
    for sums in (total, count):
        sums[..., periods:] -= sums[..., :-periods].copy()
    return np.divide(total, count, out=np.full(values.shape, np.nan), where=count > 0)


def same_phase(panel: Panel, origins: np.ndarray, cycle: int, back: int = 0) -> np.ndarray:
    """Value of the newest known-by-then period that is whole cycles before each target, and ``back`` cycles before it.

    Shape (series, origins, horizon); NaN where the series does not reach back so far.
    """
    ahead = np.arange(1, panel.rhythm.horizon + 1)
    cycles = -(-ahead // cycle) + back
    index = origins[:, None] + (ahead - cycles * cycle)[None, :]
    return np.where(index >= 0, panel.values[:, np.maximum(index, 0)], np.nan)


def _own(panel: Panel, origins: np.ndarray, level: np.ndarray) -> dict[str, np.ndarray]:
    """Values relative to the level; where one is not known, the level itself: 1.

    LightGBM takes a gap for 0 in a column that had none in training, as in the first gap of a family.
    """
    rhythm, relative = panel.rhythm, level[:, :, None]
    found = {}
    for lag in range(3):
        index = origins - lag
        last = np.where(index >= 0, panel.values[:, np.maximum(index, 0)], np.nan)
        found[f"lag_{lag}"] = last[:, :, None] / relative
    for periods in sorted({3, rhythm.cycle, 4 * rhythm.cycle, rhythm.level * 3} - {1}):
        found[f"mean_{periods}"] = trailing_mean(panel.values, periods)[:, origins][:, :, None] / relative
    for cycle in sorted({rhythm.cycle, rhythm.season} - {1, YEAR_WEEKS}):
        phases = np.stack([same_phase(panel, origins, cycle, back) for back in range(PHASES)])
        found[f"phase_{cycle}"] = phases[0] / relative
        found[f"phases_{cycle}"] = trailing_mean(np.moveaxis(phases, 0, -1), PHASES)[..., -1] / relative
    if panel.grain == "week":
        found["last_year"] = same_phase(panel, origins, YEAR_WEEKS) / relative
    is_sum = np.array([name == CITY for name in panel.levels])
    return {
        "log_level": np.log(relative),
        **{name: np.nan_to_num(column, nan=1.0) for name, column in found.items()},
        "is_city": is_sum[:, None, None].astype(float),
    }


def _calendar(panel: Panel, origins: np.ndarray, *, with_year: bool) -> dict[str, np.ndarray]:
    target = panel.target_starts(origins)
    if panel.grain == "hour":
        target = calendar.local(target, calendar.city_zone())
    found = {"horizon": np.arange(1, panel.rhythm.horizon + 1, dtype=float)[None, :]}
    if with_year:
        angle = calendar.year_angle(target)
        found |= {YEAR: np.sin(angle), "year_cosine": np.cos(angle)}
    if panel.grain == "week":
        days = target[:, :, None] + np.arange(7) * np.timedelta64(1, "D")
        found["holidays"] = calendar.is_holiday(days).sum(axis=-1).astype(float)
    else:
        day = np.timedelta64(1, "D")
        found["weekday"] = calendar.weekday(target).astype(float)
        found["is_holiday"] = calendar.is_holiday(target).astype(float)
        found["is_after_holiday"] = calendar.is_holiday(target - day).astype(float)
        found["is_before_holiday"] = calendar.is_holiday(target + day).astype(float)
    if panel.grain == "hour":
        found["hour"] = calendar.hour(target).astype(float)
    return {name: column[None] for name, column in found.items()}


def _surroundings(panel: Panel, origins: np.ndarray) -> dict[str, np.ndarray]:
    """How far the surroundings are lately from what they were over a month: not the season, which tells the spell."""
    found = {}
    usual = _MONTH[panel.grain]
    for column, name in enumerate(panel.exogenous_names):
        month = trailing_mean(panel.exogenous[:, column], usual)[origins]
        for periods in EXOGENOUS_MEANS[panel.grain]:
            mean = trailing_mean(panel.exogenous[:, column], periods)[origins]
            found[f"{name}_mean_{periods}"] = (mean - month)[None, :, None]
    return found
