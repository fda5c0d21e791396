"""How good probabilities are, with intervals that know that people come more than once.

All metrics are weighted, so that a bootstrap over *people* (Davison and Hinkley 1997, section 3.8: the
cluster is the unit that is drawn) is a matter of weights: every function takes weights of shape (replicates,
cases) and gives one value per replicate. An interval is the central 95 % of the replicates.

Expected calibration error (Naeini et al., AAAI 2015): cases in ten bins of equal size by predicted
probability, the mean over cases of |mean predicted - observed share| of the bin. It is above zero by chance
alone, so it is given together with the value that a perfectly calibrated model would stay below 19 times out
of 20 on as many cases; and without an interval: resampling adds chance to what is a sum of absolute values, so that
all replicates may lie above the value itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from ml import decision
from ml.calibration import calibration_intercept, calibration_slope

REPLICATES = 500
LEVEL = 0.95
BINS = 10
ROC_POINTS = 100
FEWEST_EVENTS = 10
"""A group with fewer events, or fewer cases without the event, is left out: its metrics would be noise, and
could tell of a person."""
_CELLS_AT_ONCE = 4_000_000

Array = np.ndarray
Metric = Callable[[Array, Array, Array], Array]


@dataclass(frozen=True)
class Estimate:
    """A value with its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Value:
    """A value that has no honest interval."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:.3f}"


@dataclass(frozen=True)
class Bin:
    """One point of a reliability plot; low and high: 95 % Wilson interval of the observed share."""

    cases: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True)
class Result:
    """Metrics of one group of test cases; none overall when there are too few events (FEWEST_EVENTS). One that means
    nothing there, such as precision without an alert, is missing."""

    group: str
    cases: int
    people: int
    events: int
    metrics: Mapping[str, Estimate | Value]


@dataclass(frozen=True)
class Baseline:
    """A published score on the test cases for which it is known.

    cases: how many those are. auroc: of the score. difference: AUROC of the model minus the score's, on these cases.
    """

    name: str
    cases: int
    auroc: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Evaluation:
    """A model on its test part: overall, by group that is large enough, and how its probabilities compare with what
    happened.

    roc: up to ROC_POINTS points (false positive rate, recall) of the curve, from (0, 0) to (1, 1).
    threshold: cases at or above it count as alerts in accuracy, recall, precision and F1. ece_by_chance: 95th
    percentile of the expected calibration error of a perfectly calibrated model on as many cases. alert_share: of the
    cases, at or above the threshold. decision_curve, at_line: what the model is worth over thresholds, and at its own.
    """

    threshold: float
    overall: Result
    groups: tuple[Result, ...]
    reliability: tuple[Bin, ...]
    roc: tuple[tuple[float, float], ...]
    ece_by_chance: float
    alert_share: float
    decision_curve: tuple[decision.Point, ...]
    at_line: decision.Point
    baselines: tuple[Baseline, ...] = field(default=())


def auroc(y: Array, p: Array, weights: Array) -> Array:
    """Area under the receiver operating characteristic; ties count one half."""
    order, starts = _tie_groups(p)
    w, events = weights[:, order], y[order]
    positive = np.add.reduceat(w * events, starts, axis=1)
    negative = np.add.reduceat(w * (1 - events), starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    with np.errstate(invalid="ignore", divide="ignore"):
        return (positive * (below + negative / 2)).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))


def average_precision(y: Array, p: Array, weights: Array) -> Array:
    """Area under the precision-recall curve as the mean precision over the events (AUPRC)."""
    order, starts = _tie_groups(-p)
    w = weights[:, order]
    positive = np.add.reduceat(w * y[order], starts, axis=1)
    alerts = np.cumsum(np.add.reduceat(w, starts, axis=1), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(alerts > 0, np.cumsum(positive, axis=1) / alerts, 0.0)
        return (positive * precision).sum(axis=1) / positive.sum(axis=1)


def brier(y: Array, p: Array, weights: Array) -> Array:
    """Mean squared difference of probability and outcome."""
    return weights @ np.square(p - y) / weights.sum(axis=1)


def calibration_error(y: Array, p: Array, weights: Array) -> Array:
    """Expected calibration error over BINS bins of equal size."""
    bins = _bins(p)
    gaps = [np.abs(weights[:, rows] @ (p[rows] - y[rows])) for rows in bins]
    return np.sum(gaps, axis=0) / weights.sum(axis=1)


def calibration_in_the_large(y: Array, p: Array, weights: Array) -> Array:
    """Mean probability minus observed share: above zero, risks are overstated."""
    return weights @ (p - y) / weights.sum(axis=1)


def expected_to_observed(y: Array, p: Array, weights: Array) -> Array:
    """Events foretold by events that came (E/O): above one, risks are overstated; NaN where none came. Of rare events
    it tells what a difference of shares is too small to tell (Debray and others, BMJ 2017; 356: i6460)."""
    return _share(weights, p, y)


def times_off(y: Array, p: Array, weights: Array) -> Array:
    """How many times as many events are foretold as come, or come as are foretold: the absolute logarithm of
    ``expected_to_observed``, 0 where as many come as are foretold; NaN where none came."""
    with np.errstate(divide="ignore"):
        return np.abs(np.log(expected_to_observed(y, p, weights)))


def at_threshold(threshold: float) -> dict[str, Metric]:
    """accuracy, recall (sensitivity), precision (positive predictive value) and F1 of alerts at or above
    ``threshold``."""

    def alerts(p: Array) -> Array:
        return (p >= threshold).astype(float)

    return {
        "accuracy": lambda y, p, w: _share(w, 1 - np.abs(alerts(p) - y), np.ones(len(y))),
        "recall": lambda y, p, w: _share(w, y * alerts(p), y),
        "precision": lambda y, p, w: _share(w, y * alerts(p), alerts(p)),
        "f1": lambda y, p, w: _share(w, 2 * y * alerts(p), y + alerts(p)),
    }


RANKING: dict[str, Metric] = {"auroc": auroc, "auprc": average_precision}
PROBABILITY: dict[str, Metric] = {
    "brier": brier,
    "calibration_in_the_large": calibration_in_the_large,
}
CALIBRATION_LINE: dict[str, Metric] = {
    "calibration_intercept": calibration_intercept,
    "calibration_slope": calibration_slope,
}
"""Given overall alone: a line through the few events of a group says little."""


def estimate(
    metric: Metric,
    y: Array,
    p: Array,
    person: Array,
    *,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """``metric`` of probabilities ``p`` with its bootstrap interval over persons."""
    return estimates({"it": metric}, y, p, person, replicates=replicates, level=level, seed=seed)["it"]


def estimates(
    metrics: Mapping[str, Metric],
    y: Array,
    p: Array,
    person: Array,
    *,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Each metric with its interval; all from the same replicates. Left out is one that is NaN for these cases."""
    whole = np.ones((1, len(y)))
    values = {name: float(metric(y, p, whole)[0]) for name, metric in metrics.items()}
    drawn: dict[str, list[Array]] = {name: [] for name in metrics}
    for weights in _person_weights(person, replicates, seed):
        for name, metric in metrics.items():
            drawn[name].append(metric(y, p, weights))
    return {
        name: _interval(value, np.concatenate(drawn[name]), level)
        for name, value in values.items()
        if not np.isnan(value)
    }


def difference(
    metric: Metric,
    y: Array,
    p: Array,
    other: Array,
    person: Array,
    *,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """``metric`` of ``p`` minus that of ``other`` on the same cases: a paired bootstrap over persons."""
    whole = np.ones((1, len(y)))
    drawn = [
        metric(y, p, weights) - metric(y, other, weights)
        for weights in _person_weights(person, replicates, seed)
    ]
    value = float((metric(y, p, whole) - metric(y, other, whole))[0])
    return _interval(value, np.concatenate(drawn), level)


def evaluate(
    y: Array,
    p: Array,
    person: Array,
    groups: Mapping[str, Array],
    threshold: float,
    *,
    baselines: Mapping[str, Array] | None = None,
    replicates: int = REPLICATES,
) -> Evaluation:
    """Everything that is reported of a model on its test cases.

    groups: name of a division (``sex``) -> the group of each case. Result groups are called ``sex=female``.
    baselines: name of a published score -> its value for each case, the higher the riskier, NaN where it is not known.
    """
    for_all = {**RANKING, **at_threshold(threshold), **PROBABILITY}

    def result(name: str, rows: Array, metrics: Mapping[str, Metric] = for_all) -> Result:
        events = int(y[rows].sum())
        found: dict[str, Estimate | Value] = {}
        if min(events, len(rows) - events) >= FEWEST_EVENTS:
            found |= estimates(metrics, y[rows], p[rows], person[rows], replicates=replicates)
            error = calibration_error(y[rows], p[rows], np.ones((1, len(rows))))
            found["calibration_error"] = Value(float(error[0]))
        return Result(name, len(rows), len(np.unique(person[rows])), events, found)

    divided = [
        result(f"{division}={group}", np.flatnonzero(values == group))
        for division, values in groups.items()
        for group in sorted(set(values.tolist()))
    ]
    return Evaluation(
        threshold=threshold,
        overall=result("all", np.arange(len(y)), {**for_all, **CALIBRATION_LINE}),
        groups=tuple(group for group in divided if group.metrics),
        reliability=reliability(y, p),
        roc=roc_points(y, p),
        ece_by_chance=error_by_chance(p),
        alert_share=float((p >= threshold).mean()),
        decision_curve=decision.curve(y, p),
        at_line=decision.point(y, p, min(threshold, 0.99)),
        baselines=tuple(
            found
            for name, score in (baselines or {}).items()
            if (found := against(name, y, p, score, person, replicates=replicates))
        ),
    )


def against(
    name: str, y: Array, p: Array, score: Array, person: Array, *, replicates: int = REPLICATES
) -> Baseline | None:
    """The model against a published score; None when the score is known of too few cases to tell."""
    rows = np.flatnonzero(~np.isnan(score))
    events = int(y[rows].sum())
    if min(events, len(rows) - events) < FEWEST_EVENTS:
        return None
    y, p, score, person = y[rows], p[rows], score[rows], person[rows]
    return Baseline(
        name,
        len(rows),
        estimate(auroc, y, score, person, replicates=replicates),
        difference(auroc, y, p, score, person, replicates=replicates),
    )


def reliability(y: Array, p: Array) -> tuple[Bin, ...]:
    """Predicted and observed share in bins of equal size, the lowest risk first."""
    points = []
    for rows in _bins(p):
        low, high = wilson(int(y[rows].sum()), len(rows))
        points.append(Bin(len(rows), float(p[rows].mean()), float(y[rows].mean()), low, high))
    return tuple(points)


def roc_points(y: Array, p: Array) -> tuple[tuple[float, float], ...]:
    """The receiver operating characteristic, thinned out evenly to at most ROC_POINTS points."""
    order, starts = _tie_groups(-p)
    hits = np.r_[0.0, np.cumsum(np.add.reduceat(y[order].astype(float), starts))]
    false = np.r_[0.0, np.cumsum(np.add.reduceat(1.0 - y[order], starts))]
    rows = np.unique(np.linspace(0, len(hits) - 1, min(ROC_POINTS, len(hits))).round().astype(int))
    return tuple(
        (float(x), float(t)) for x, t in zip(false[rows] / false[-1], hits[rows] / hits[-1], strict=True)
    )


def error_by_chance(p: Array, *, level: float = 0.95, draws: int = 200, seed: int = 0) -> float:
    """The quantile ``level`` of the calibration error if every probability in ``p`` were exactly right."""
    rng = np.random.default_rng(seed)
    whole = np.ones((1, len(p)))
    errors = [calibration_error((rng.random(len(p)) < p).astype(float), p, whole)[0] for _ in range(draws)]
    return float(np.quantile(errors, level))


def wilson(events: int, cases: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z = 1.959964
    share, spread = events / cases, z * z / cases
    centre = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / cases + spread / (4 * cases)) / (1 + spread)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def share_at_most(share: float, people: int, *, level: float = LEVEL) -> float:
    """Upper end of the exact interval (Clopper and Pearson 1934) of a share that was seen of so many people; where they
    come more than once, people and not cases are what was drawn (after Korn and Graubard, Survey Methodology 1998; 24:
    193-201). It is above zero for a share of 0, for which a bootstrap has no width."""
    if share >= 1:
        return 1.0
    return float(stats.beta.ppf((1 + level) / 2, share * people + 1, (1 - share) * people))


def _tie_groups(p: Array) -> tuple[Array, Array]:
    """The order of ``p`` and where each run of equal values starts in it."""
    order = np.argsort(p, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(p[order]) > 0])
    return order, starts


def _bins(p: Array) -> list[Array]:
    order = np.argsort(p, kind="stable")
    return [rows for rows in np.array_split(order, BINS) if len(rows)]


def _share(weights: Array, part: Array, whole: Array) -> Array:
    """Weighted part of a whole; NaN where the whole is nothing."""
    total = weights @ whole
    return np.divide(weights @ part, total, out=np.full(len(total), np.nan), where=total > 0)


def _person_weights(person: Array, replicates: int, seed: int) -> Iterator[Array]:
    """How often each case counts in each replicate, in blocks of bounded size."""
    _, who = np.unique(person, return_inverse=True)
    people = int(who.max()) + 1
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS_AT_ONCE // len(person))
    for start in range(0, replicates, block):
        count = min(block, replicates - start)
        drawn = rng.integers(0, people, (count, people)) + np.arange(count)[:, None] * people
        times = np.bincount(drawn.ravel(), minlength=count * people).reshape(count, people)
        yield times[:, who].astype(float)


def _interval(value: float, drawn: Array, level: float) -> Estimate:
    tail = (1 - level) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))
