"""Rolling-origin evaluation: which model forecasts a family best, how well, and with what intervals.

The later part of a history holds the origins, in three parts, in the order of time: on the first the intervals are
first calibrated, on the second the models are compared, the third is for the test of the one chosen, which is touched
once. The parts are gone through as at work: after each ``Rhythm.refit`` periods a model is fitted anew on all that came
before (Tashman 2000, International Journal of Forecasting 16:437), and its intervals are calibrated on the errors of
all earlier origins, each by the model of its time, whose targets have come by then. So neither knows anything of what
it is judged by, and intervals widen, from fit to fit, with what demand has done to forecasts.

MASE: Hyndman and Koehler 2006, International Journal of Forecasting 22:679: the absolute error by the mean absolute
error of the seasonal naive forecast within the sample that the model is fitted on. Point forecast is p50. Pinball loss:
Koenker and Bassett 1978, Econometrica 46:33. Their intervals: central 95 % of replicates in which blocks of consecutive
origins, as long as a horizon, are drawn again (Künsch 1989, Annals of Statistics 17:1217).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.errors import CitywellError
from ml.forecast import conformal, reconcile
from ml.forecast.conformal import MIDDLE, QUANTILES, Calibration
from ml.forecast.models import FITS, NAIVE, Model, naive_name, season
from ml.forecast.panel import Grain, Panel
from ml.metrics import Estimate

MOST_ORIGINS: Mapping[Grain, int] = {"hour": 120, "day": 140, "week": 72}
LEAST_ORIGINS = 3
"""Of each part, ours: fewer are one moment of the past, as targets of neighbouring origins are mostly the same."""
FIRST_ORIGIN = 0.25
"""Share of a history that lies before the first origin."""
PARTS = (0.3, 0.6)
"""Shares of the origins before which lie the calibration's, and the comparison's."""
REPLICATES = 400
SEED = 7


@dataclass(frozen=True)
class Origins:
    """Indices of periods, ascending: for the first calibration, comparing and testing."""

    calibrate: np.ndarray
    compare: np.ndarray
    test: np.ndarray

    @property
    def all(self) -> np.ndarray:
        return np.concatenate([self.calibrate, self.compare, self.test])


@dataclass(frozen=True)
class Past:
    """What one kind of model would have forecast: base forecasts at ``origins`` (series, origins, horizon), each by the
    model of its time; blocks: places in ``origins``, of one fit each."""

    kind: str
    origins: np.ndarray
    base: np.ndarray
    blocks: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Score:
    """What came of forecasts. mase: of p50. against_naive: its mean absolute error by that of the naive forecast of the
    same targets, both in units of MASE; naive: what that one is, in words. coverage: share of targets from p05 to p95.
    inside: share strictly between them; where counts are low they differ, and intervals are right when
    inside <= 0.9 <= coverage. pinball: mean loss of the five quantiles, in units of MASE. targets: how many."""

    mase: Estimate
    against_naive: Estimate
    coverage: Estimate
    inside: Estimate
    pinball: Estimate
    targets: int
    naive: str


@dataclass(frozen=True)
class Forecaster:
    """A model with all that turns what it expects into coherent forecasts and quantiles."""

    kind: str
    model: Model
    names: tuple[str, ...]
    weights: np.ndarray
    calibration: Calibration

    def expected(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        """Coherent expected values (series, origins, horizon). Series other than those it was trained with are
        reconciled as if errors grew with the number of series below."""
        weights = self.weights
        if panel.names != self.names:
            weights = reconcile.weights(np.empty((len(panel.names), 0)), panel.summing)
        return reconcile.reconciled(self.model.predict(panel, origins), weights, panel.summing)

    def quantiles(self, panel: Panel, expected: np.ndarray) -> np.ndarray:
        """(5, series, origins, horizon)."""
        return self.calibration.quantiles(expected, panel.levels)


@dataclass(frozen=True)
class Backtest:
    """compared: score of each kind on the part for comparing. chosen: the kind with the lowest MASE there; not seasonal
    naive, which the test is against, unless it alone was compared. test: its score on the test part. forecaster: the
    chosen kind fitted on everything, calibrated on the errors of all parts."""

    compared: Mapping[str, Score]
    chosen: str
    test: Score
    forecaster: Forecaster
    origins: Origins


def backtest(panel: Panel, kinds: Sequence[str] = tuple(FITS)) -> Backtest:
    """Compare, choose, test once, and fit on everything. Raises CitywellError when the history is too short."""
    origins = split(panel)
    pasts = {kind: _past(panel, kind, origins.all[: -len(origins.test)]) for kind in kinds}
    compared = {kind: _score(panel, past, origins.compare) for kind, past in pasts.items()}
    chosen = min(
        [kind for kind in compared if kind != NAIVE] or compared, key=lambda kind: compared[kind].mase.value
    )
    past = _past(panel, chosen, origins.all)
    weights, calibration = _calibrated(panel, past, np.arange(len(past.origins)))
    whole = Forecaster(chosen, FITS[chosen](panel), panel.names, weights, calibration)
    return Backtest(compared, chosen, _score(panel, past, origins.test), whole, origins)


def split(panel: Panel) -> Origins:
    """The origins of the three parts. Raises CitywellError when one of them has too few."""
    rhythm, periods = panel.rhythm, panel.values.shape[1]
    every = np.arange(periods - 1 - rhythm.horizon, int(FIRST_ORIGIN * periods), -rhythm.spacing)[::-1]
    every = every[-MOST_ORIGINS[panel.grain] :]
    first, second = (int(share * len(every)) for share in PARTS)
    compare, test = every[first:second], every[second:]
    calibrate, compare = (
        before[before + rhythm.horizon <= after[:1]]
        for before, after in ((every[:first], compare), (compare, test))
    )
    if min(len(part) for part in (calibrate, compare, test)) < LEAST_ORIGINS:
        raise CitywellError(
            f"The history of {periods} periods ({panel.grain}) is too short to compare forecasts on.",
            where=f"forecasts of {panel.family}",
            do="train again when there is more",
        )
    return Origins(calibrate, compare, test)


def naive_scale(panel: Panel, until: int) -> np.ndarray:
    """Mean absolute error of the seasonal naive forecast within the first ``until`` periods, of each series; NaN where
    it is 0 or unknown, so that nothing is measured by it."""
    m = season(panel)
    gaps = np.abs(panel.values[:, m:until] - panel.values[:, : until - m])
    is_known = ~np.isnan(gaps)
    count = is_known.sum(axis=1)
    total = np.where(is_known, gaps, 0.0).sum(axis=1)
    return np.where((count > 0) & (total > 0), total / np.maximum(count, 1), np.nan)


def pinball(quantiles: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Mean over QUANTILES (the first axis) of the loss of each; shape of ``actual``."""
    tau = np.array(QUANTILES).reshape(-1, *[1] * actual.ndim)
    gap = actual[None] - quantiles
    return np.maximum(tau * gap, (tau - 1) * gap).mean(axis=0)


def _past(panel: Panel, kind: str, origins: np.ndarray) -> Past:
    nth = (origins - origins[0]) // panel.rhythm.refit
    blocks = tuple(np.flatnonzero(nth == block) for block in np.unique(nth))
    base = [
        FITS[kind](panel.until(int(origins[block[0]]) + 1)).predict(panel, origins[block]) for block in blocks
    ]
    return Past(kind, origins, np.concatenate(base, axis=1), blocks)


def _calibrated(panel: Panel, past: Past, known: np.ndarray) -> tuple[np.ndarray, Calibration]:
    """Weights that reconcile, and the calibration, from base forecasts at places ``known`` of the origins."""
    base, actual = past.base[:, known], panel.targets(past.origins[known])
    weights = reconcile.weights((actual - base).reshape(len(panel.names), -1), panel.summing)
    expected = reconcile.reconciled(base, weights, panel.summing)
    return weights, conformal.calibrate(expected, actual, panel.levels)


def _quantiles(panel: Panel, past: Past, part: np.ndarray) -> np.ndarray:
    """(5, series, origins, horizon) at the origins of a part, each block calibrated on what had come before it."""
    found = []
    for block in past.blocks:
        asked = block[np.isin(past.origins[block], part)]
        if asked.size:
            known = np.flatnonzero(past.origins + panel.rhythm.horizon <= past.origins[asked[0]])
            weights, calibration = _calibrated(panel, past, known)
            expected = reconcile.reconciled(past.base[:, asked], weights, panel.summing)
            found.append(calibration.quantiles(expected, panel.levels))
    return np.concatenate(found, axis=2)


def _score(panel: Panel, past: Past, part: np.ndarray) -> Score:
    """Of what would have been forecast at the origins of a part."""
    quantiles, actual = _quantiles(panel, past, part), panel.targets(part)
    unit = naive_scale(panel, int(part[0]) + 1)[:, None, None]
    by_case = {
        "mase": np.abs(actual - quantiles[MIDDLE]) / unit,
        "naive": np.abs(actual - FITS[NAIVE](panel).predict(panel, part)) / unit,
        "coverage": np.where(np.isnan(actual), np.nan, (actual >= quantiles[0]) & (actual <= quantiles[4])),
        "inside": np.where(np.isnan(actual), np.nan, (actual > quantiles[0]) & (actual < quantiles[4])),
        "pinball": pinball(quantiles, actual) / unit,
    }
    by_origin = {name: _sums(cases) for name, cases in by_case.items()}
    draws = _blocks(len(part), -(-panel.rhythm.horizon // panel.rhythm.spacing))
    means = {name: _estimate(sums, draws) for name, sums in by_origin.items() if name != "naive"}
    return Score(
        **means,
        against_naive=_estimate(by_origin["mase"], draws, by_origin["naive"]),
        targets=int((~np.isnan(actual)).sum()),
        naive=naive_name(panel),
    )


def _sums(cases: np.ndarray) -> np.ndarray:
    """(2, origins): sum and number of what is known at each origin."""
    return np.stack([np.nansum(cases, axis=(0, 2)), (~np.isnan(cases)).sum(axis=(0, 2))]).astype(float)


def _blocks(origins: int, length: int) -> np.ndarray:
    """(REPLICATES + 1, origins): how often each origin counts; the first row once each."""
    rng = np.random.default_rng(SEED)
    length = min(length, origins)
    blocks = -(-origins // length)
    starts = rng.integers(0, origins - length + 1, size=(REPLICATES, blocks))
    drawn = (starts[:, :, None] + np.arange(length)).reshape(REPLICATES, -1)[:, :origins]
    counts = np.zeros((REPLICATES, origins))
    np.add.at(counts, (np.arange(REPLICATES)[:, None], drawn), 1.0)
    return np.concatenate([np.ones((1, origins)), counts])


def _estimate(sums: np.ndarray, draws: np.ndarray, against: np.ndarray | None = None) -> Estimate:
    """Ratio of sums over all origins; of the means of ``sums`` and ``against`` where that is given."""
    over = sums if against is None else against
    value = (draws @ sums[0]) / np.maximum(draws @ (sums[1] if against is None else over[0]), 1e-12)
    low, high = np.quantile(value[1:], [0.025, 0.975])
    return Estimate(float(value[0]), float(low), float(high))
