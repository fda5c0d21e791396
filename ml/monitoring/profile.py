"""How the values of cases are spread: counts by bin, which say how a feature looks and nothing of a person.

Numbers are cut at their deciles, rounded to three digits; a value that a tenth of the cases or more share is a bin by
itself, and so is what lies on either side of it. Codes are bins. A bin of the reference that holds some cases holds at
least SMALLEST_SHOWN. What is kept is counts as they may be shown (``jobs.writeback.disclosure``): to the nearest five,
and which of one to four it was is withheld.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from jobs.writeback.disclosure import SMALLEST_SHOWN, shown
from ml.question import Feature, Kind

BINS = 10
OTHER = "other"
WITHHELD = 2
"""Stands for every count from one to four."""
PROBABILITY = Feature("probability", "number", "predicted probability")


@dataclass(frozen=True)
class Column:
    """The values of a feature. cuts: where the bins of a number begin, but the first, k of them for k + 1 counts; a bin
    holds its begin. codes: of a category, the last being ``other``. missing: cases without a value. people: how many
    persons the cases are of."""

    name: str
    kind: Kind
    cuts: tuple[float, ...]
    codes: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int
    people: int

    @property
    def cases(self) -> int:
        return sum(self.counts) + self.missing

    @property
    def is_ordered(self) -> bool:
        return self.kind in ("number", "count")

    @property
    def labels(self) -> list[str]:
        """A name for each count."""
        if self.kind == "category":
            return list(self.codes)
        if not self.cuts:
            return ["any"]
        ends = [f"{cut:.4g}" for cut in self.cuts]
        between = [a if a == b else f"{a} to {b}" for a, b in pairwise(ends)]
        return [f"below {ends[0]}", *between, f"from {ends[-1]}"]


@dataclass(frozen=True)
class Profile:
    """Columns by name. built_for: instant that the cases were made for, ISO 8601."""

    built_for: str
    columns: Mapping[str, Column]


def profile(frame: pd.DataFrame, features: Iterable[Feature], people: int, built_for: str) -> Profile:
    """The profile of a reference, which chooses its bins. frame: one row per case, one column per feature; people: how
    many persons they are of."""
    return Profile(built_for, {f.name: _column(f, frame[f.name], people) for f in features})


def counted(frame: pd.DataFrame, like: Profile, people: int, built_for: str) -> Profile:
    """The profile of other cases in the bins of ``like``; of the columns that ``frame`` has."""
    columns = {n: _counted(column, frame[n], people) for n, column in like.columns.items() if n in frame}
    return Profile(built_for, columns)


def to_json(found: Profile) -> str:
    """The profile as it may be kept, its counts as they may be shown."""
    kept = {
        name: asdict(
            replace(c, counts=tuple(map(_told, c.counts)), missing=_told(c.missing), people=_told(c.people))
        )
        for name, c in found.columns.items()
    }
    return json.dumps({"built_for": found.built_for, "columns": kept})


def from_json(text: str) -> Profile:
    """What :func:`to_json` wrote."""
    kept = json.loads(text)
    columns = {
        name: Column(**column | {k: tuple(column[k]) for k in ("cuts", "codes", "counts")})
        for name, column in kept["columns"].items()
    }
    return Profile(kept["built_for"], columns)


def _told(count: int) -> int:
    told = shown(count)
    return WITHHELD if told is None else told


def _column(feature: Feature, values: pd.Series, people: int) -> Column:
    empty = Column(feature.name, feature.kind, (), (), (), 0, 0)
    if feature.kind == "category":
        counts = values.value_counts()
        codes = sorted(map(str, counts.index[counts >= SMALLEST_SHOWN]))
        return _counted(replace(empty, codes=(*codes, OTHER)), values, people)
    known = values.dropna().to_numpy(dtype=float)
    return _counted(replace(empty, cuts=_cuts(known)), values, people)


def _counted(column: Column, values: pd.Series, people: int) -> Column:
    known = values.dropna()
    if column.kind == "category":
        place = pd.Index(column.codes).get_indexer(known.astype(str))
        place = np.where(place < 0, len(column.codes) - 1, place)
        bins = len(column.codes)
    else:
        place = np.searchsorted(column.cuts, known.to_numpy(dtype=float), side="right")
        bins = len(column.cuts) + 1
    counts = np.bincount(place, minlength=bins)
    missing = len(values) - len(known)
    return replace(column, counts=tuple(map(int, counts)), missing=missing, people=people)


def _cuts(known: np.ndarray) -> tuple[float, ...]:
    """Deciles, and both ends of what is shared by so many; none that would leave a bin of a few."""
    if not len(known):
        return ()
    values, counts = np.unique(known, return_counts=True)
    shared = values[counts >= max(SMALLEST_SHOWN, len(known) / BINS)]
    parts = np.linspace(0, 1, BINS + 1)[1:-1]
    deciles = [float(f"{cut:.3g}") for cut in np.quantile(known, parts, method="inverted_cdf")]
    apart = [cut for cut in deciles if not np.isclose(shared, cut, rtol=1e-2).any()]
    wanted = np.unique(np.concatenate([apart, shared, np.nextafter(shared, np.inf)]))
    return tuple(_of_enough(wanted, np.sort(known)))


def _of_enough(wanted: np.ndarray, known: np.ndarray) -> list[float]:
    """Of the ``wanted`` cuts those between which lie no case at all, or enough."""
    kept: list[float] = []
    below = 0
    for cut in wanted:
        place = int(np.searchsorted(known, cut, side="left"))
        if _is_enough(place - below):
            kept.append(float(cut))
            below = place
    while kept and not _is_enough(len(known) - int(np.searchsorted(known, kept[-1], side="left"))):
        kept.pop()
    return kept


def _is_enough(count: int) -> bool:
    return count == 0 or count >= SMALLEST_SHOWN
