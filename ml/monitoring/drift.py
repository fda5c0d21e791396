"""Whether values are spread otherwise than they were, beyond chance and by enough to matter.

Two measures of the counts of two profiles in the same bins:

* PSI, the population stability index, sum of (p - r) ln(p / r) over bins, p and r the shares of a bin now and in the
  reference; missing values are a bin. Below 0.1 nothing has moved, from 0.25 on it has moved much (N. Siddiqi, Credit
  Risk Scorecards, Wiley 2006). Where nothing has moved it is about (1/n + 1/m) times a chi-square variable with
  bins - 1 degrees of freedom (B. Yurdakul, Statistical Properties of Population Stability Index, dissertation, Western
  Michigan University 2018), n and m people: the line is put higher by what chance adds in the mean, and the p-value is
  that of this distribution.
* KS, the largest difference of the cumulative shares (Kolmogorov 1933, Smirnov 1939; asymptotic p-value), of ordered
  values alone. It is taken at the bins' ends, so it is at most the KS of the values themselves. Of two normal
  distributions that lie half a standard deviation apart the PSI is 0.25 and the KS 0.197: its line, 0.2, means as much.

A feature has moved when a measure is at its line or above, and its p-value, adjusted for all features and measures of
the question (Benjamini and Hochberg 1995), is at most MOST_Q. Cases are counted as people, who are independent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from ml.metrics import wilson
from ml.monitoring.figures import ALL, Figure, Kind
from ml.monitoring.profile import Column, Profile

SMALL_PSI, LARGE_PSI = 0.1, 0.25
LARGE_KS = 0.2
MOST_Q = 0.001
"""Looked at every day, a question on which nothing moves gives a false alarm in about three years."""
FEWEST_PEOPLE = 50
"""Fewer on either side are not compared: deciles would hold fewer than five, where the chi-square distribution is none
(W. G. Cochran, Biometrics 1954)."""
_PSEUDO_COUNT = 0.5

Array = np.ndarray


@dataclass(frozen=True)
class Measure:
    """A measure of one feature. p: how likely as much is by chance. line: from which on it is large."""

    subject: str
    metric: str
    value: float
    p: float
    line: float
    n: int


def psi(reference: Array, now: Array) -> float:
    """Population stability index of two rows of counts by bin.

    Half a case is added to each bin, so that an empty one makes it not infinite; bins empty in both are left out.
    """
    is_used = (reference + now) > 0
    r, p = (_shares(counts[is_used] + _PSEUDO_COUNT) for counts in (reference, now))
    return float(np.sum((p - r) * np.log(p / r)))


def ks(reference: Array, now: Array) -> float:
    """Largest difference of the cumulative shares of two rows of counts by ordered bin."""
    return float(np.abs(np.cumsum(_shares(reference)) - np.cumsum(_shares(now))).max())


def measures(reference: Column, now: Column) -> Iterator[Measure]:
    """The measures of one feature; none where people are too few, or all there is lies in one bin."""
    if min(reference.people, now.people) < FEWEST_PEOPLE:
        return
    before, after = (np.array([*column.counts, column.missing], dtype=float) for column in (reference, now))
    bins = int(((before + after) > 0).sum())
    if bins < 2:
        return
    chance = 1 / reference.people + 1 / now.people
    value = psi(before, after)
    p = float(stats.chi2.sf(value / chance, bins - 1))
    yield Measure(reference.name, "psi", value, p, LARGE_PSI + chance * (bins - 1), now.cases)
    if reference.is_ordered and before[:-1].sum() and after[:-1].sum():
        value = ks(before[:-1], after[:-1])
        known, known_now = _known_people(reference), _known_people(now)
        p = float(stats.kstwobign.sf(value * np.sqrt(known * known_now / (known + known_now))))
        yield Measure(reference.name, "ks", value, p, LARGE_KS, sum(now.counts))


def judged(kind: Kind, target: str, version: str | None, reference: Profile, now: Profile) -> list[Figure]:
    """Figures of all columns of ``now``: each measure, the share that is missing, and the shares of columns that have
    moved (``share_moved``), or moved a little at least (``share_moving``). None where people are too few."""
    columns = {name: column for name, column in now.columns.items() if column.cases}
    found = [one for name, column in columns.items() for one in measures(reference.columns[name], column)]
    if not found:
        return []
    adjusted = stats.false_discovery_control([one.p for one in found], method="bh")
    whole = Figure(kind, target, version, ALL, "", 0.0, max(column.cases for column in columns.values()))
    figures = [
        replace(
            whole,
            subject=one.subject,
            metric=one.metric,
            value=one.value,
            n=one.n,
            line=one.line,
            q=float(q),
            is_crossed=bool(one.value >= one.line and q <= MOST_Q),
        )
        for one, q in zip(found, adjusted, strict=True)
    ]
    moving = {
        one.subject
        for one, q in zip(found, adjusted, strict=True)
        if one.metric == "psi" and one.value - (one.line - LARGE_PSI) >= SMALL_PSI and q <= MOST_Q
    }
    moved = {figure.subject for figure in figures if figure.is_crossed}
    for column in columns.values():
        low, high = wilson(column.missing, column.cases)
        share = column.missing / column.cases
        figures.append(
            replace(whole, subject=column.name, metric="missing_share", value=share, low=low, high=high)
        )
    shares = {"share_moved": moved, "share_moving": moved | moving}
    return figures + [
        replace(whole, metric=name, value=len(subjects) / len(columns)) for name, subjects in shares.items()
    ]


def _shares(counts: Array) -> Array:
    return counts / counts.sum()


def _known_people(column: Column) -> float:
    """How many people have a value, if those who come more than once lack it as often as the others."""
    return column.people * sum(column.counts) / column.cases
