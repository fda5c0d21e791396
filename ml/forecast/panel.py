"""The shape all forecasts work on: the series of one family side by side, with what was known of their surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Grain = Literal["hour", "day", "week"]
STEP: dict[Grain, np.timedelta64] = {
    "hour": np.timedelta64(1, "h"),
    "day": np.timedelta64(1, "D"),
    "week": np.timedelta64(7, "D"),
}
CITY, OTHER = "city", "other"


@dataclass(frozen=True)
class Rhythm:
    """What the grain of a family implies, in periods.

    season: of the seasonal naive forecast and of MASE. cycle: of the phase that lags look at, and of ETS. horizon: how
    far a forecast reaches. level: how many periods say how high a series stands. memory: how many ETS is fitted on.
    spacing: between origins; no multiple of the cycle, so that origins fall on each of its phases. refit: after so many
    a model is fitted anew when the past is gone through; at work it is younger than that (``dags/forecast``).
    """

    season: int
    cycle: int
    horizon: int
    level: int
    memory: int
    spacing: int
    refit: int


RHYTHMS: dict[Grain, Rhythm] = {
    "hour": Rhythm(
        season=168, cycle=24, horizon=48, level=28 * 24, memory=42 * 24, spacing=31, refit=28 * 24
    ),
    "day": Rhythm(season=7, cycle=7, horizon=14, level=56, memory=364, spacing=3, refit=56),
    "week": Rhythm(season=52, cycle=1, horizon=8, level=4, memory=104, spacing=1, refit=6),
}


@dataclass(frozen=True)
class Panel:
    """The series of one family up to the last complete period.

    family, grain: what is counted, and for how long. names: of the series, shape (series,): those at the bottom first,
    sums after them. levels: of each, such as ``hospital`` and ``city``. starts: of the periods, datetime64[s], one
    after another without a hole: UTC for hours, else local midnights, weeks from Monday. values: (series, periods),
    NaN where nothing was told. summing: (series, bottom series) of 0 and 1. exogenous: (periods, columns), NaN where
    nothing was told. in_season: periods of a season.
    """

    family: str
    grain: Grain
    names: tuple[str, ...]
    levels: tuple[str, ...]
    starts: np.ndarray
    values: np.ndarray
    summing: np.ndarray
    exogenous: np.ndarray
    exogenous_names: tuple[str, ...] = ()

    @property
    def rhythm(self) -> Rhythm:
        return RHYTHMS[self.grain]

    @property
    def bottoms(self) -> int:
        return self.summing.shape[1]

    def until(self, periods: int) -> Panel:
        """As it was known when the first ``periods`` had passed."""
        return self.between(0, periods)

    def between(self, first: int, periods: int) -> Panel:
        """The periods from index ``first`` to before ``periods`` alone."""
        return replace(
            self,
            starts=self.starts[first:periods],
            values=self.values[:, first:periods],
            exogenous=self.exogenous[first:periods],
        )

    def target_starts(self, origins: np.ndarray) -> np.ndarray:
        """Starts of the periods 1 … horizon after each origin (index of the last known period): (origins, horizon)."""
        steps = np.arange(1, self.rhythm.horizon + 1) * STEP[self.grain]
        return self.starts[origins][:, None] + steps[None, :]

    def targets(self, origins: np.ndarray) -> np.ndarray:
        """What came after each origin, (series, origins, horizon); NaN where nothing was told or has come yet."""
        ahead = np.full((len(self.names), self.rhythm.horizon), np.nan)
        padded = np.concatenate([self.values, ahead], axis=1)
        index = origins[:, None] + np.arange(1, self.rhythm.horizon + 1)[None, :]
        return padded[:, np.minimum(index, padded.shape[1] - 1)]


def summed(bottom: np.ndarray, summing: np.ndarray) -> np.ndarray:
    """All series from those at the bottom, (series, periods).

    A series that has not begun counts nothing; where one that has begun tells nothing, its sums are not known either.
    """
    is_known = ~np.isnan(bottom)
    has_begun = np.maximum.accumulate(is_known, axis=1)
    total = summing @ np.where(is_known, bottom, 0.0)
    has_begun_any, has_gap = (summing @ parts > 0 for parts in (has_begun, has_begun & ~is_known))
    return np.where(has_begun_any & ~has_gap, total, np.nan)


def hierarchy(
    paths: Sequence[tuple[str, ...]], level_names: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
    """names, levels and summing matrix of bottom series named by paths such as ``(hospital, ward)``.

    level_names: of the parts of a path, top first, such as ``("hospital", "ward")``. Above them all stands the city.
    A lowest level that parts nothing, as where each hospital has one ward, is left out: hospitals are at the bottom.
    """
    while len(level_names) > 1 and len({path[:-1] for path in paths}) == len(paths):
        paths, level_names = [path[:-1] for path in paths], level_names[:-1]
    depth = len(level_names)
    rows = [np.eye(len(paths))]
    names = ["|".join(path) for path in paths]
    levels = [level_names[-1]] * len(paths)
    for length in range(depth - 1, 0, -1):
        heads = sorted({path[:length] for path in paths})
        rows.append(np.array([[float(path[:length] == head) for path in paths] for head in heads]))
        names += ["|".join(head) for head in heads]
        levels += [level_names[length - 1]] * len(heads)
    rows.append(np.ones((1, len(paths))))
    return (*names, CITY), (*levels, CITY), np.concatenate(rows)
