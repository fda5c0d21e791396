"""Versions of records as columns, and the lines they become.

A table of columns has a row per version: ``ordinal`` identifies the record, ``version`` counts from 1, ``updated`` is
what the record says and ``visible`` the time from which an export has it, both in ms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from infra.city.population import NEVER
from infra.city.simulation import Columns
from infra.city.vocabulary import MEASURE_INDEX


@dataclass
class Lines:
    """Lines of one type at one hospital, before they are put in order.

    keys are ordinals; ``stays`` marks an older version that is left in the feed beside the newer one.
    """

    keys: np.ndarray
    versions: np.ndarray
    visible: np.ndarray
    stays: np.ndarray
    lines: list[bytes]

    def add(self, other: Lines) -> None:
        self.lines += other.lines
        for name in ("keys", "versions", "visible", "stays"):
            setattr(self, name, np.concatenate([getattr(self, name), getattr(other, name)]))

    def add_copies(self, rows: np.ndarray) -> None:
        self.lines += [self.lines[row] for row in rows.tolist()]
        self.keys = np.concatenate([self.keys, self.keys[rows]])
        self.versions = np.concatenate([self.versions, self.versions[rows]])
        self.visible = np.concatenate([self.visible, self.visible[rows]])
        self.stays = np.concatenate([self.stays, self.stays[rows]])


def again(table: Columns, at: np.ndarray, version: int, status: str | None = None) -> Columns:
    """A further version of the rows whose ``at`` is not NEVER, updated and visible then."""
    rows = np.flatnonzero(at < NEVER)
    further = {n: a[rows].copy() for n, a in table.items()}
    further["updated"], further["visible"] = at[rows], at[rows]
    further["version"] = np.full(len(rows), version, dtype=np.int64)
    if status is not None:
        further["status"][:] = status
    return further


def at_rows(count: int, rows: np.ndarray, times: np.ndarray) -> np.ndarray:
    """``times`` at ``rows``, NEVER elsewhere."""
    at = np.full(count, NEVER)
    at[rows] = times[rows]
    return at


def written(table: Columns, write: Callable[[Columns], list[str]]) -> Lines:
    """The table's lines, written some at a time, so that the text is not held twice."""
    count = len(table["ordinal"])
    lines: list[bytes] = []
    for first in range(0, count, 20_000):
        part = {name: values[first : first + 20_000] for name, values in table.items()}
        lines += [line.encode() for line in write(part)]
    return Lines(table["ordinal"], table["version"], table["visible"], np.zeros(count, dtype=bool), lines)


def stacked(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def newest(keys: np.ndarray, versions: np.ndarray) -> np.ndarray:
    """Mask of rows that are of the highest version of their key."""
    if not len(keys):
        return np.zeros(0, dtype=bool)
    order = np.lexsort((versions, keys))
    sorted_keys, sorted_versions = keys[order], versions[order]
    last = np.flatnonzero(np.append(sorted_keys[1:] != sorted_keys[:-1], True))
    highest = np.repeat(sorted_versions[last], np.diff(np.append(-1, last)))
    mask = np.empty(len(keys), dtype=bool)
    mask[order] = sorted_versions == highest
    return mask


def amended(values: np.ndarray, measures: np.ndarray) -> np.ndarray:
    """What a second version of observations says: a little more, but of what has an upper end."""
    has_end = np.isin(measures, [MEASURE_INDEX[name] for name in ("oxygen", "coma_scale")])
    return np.where((values > 10) & ~has_end, values * 1.04 + 0.1, values)
