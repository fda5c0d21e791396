"""Rare things: on which day each begins, by place, from seed and calendar alone.

The calendar of a place is cut into *turns* of equal length, shifted from place to place. In a turn the thing begins at
most once, with a fixed chance, on any of its days but the last ``rest_days`` with equal probability. So any stretch
asked for gives the same, and two of one place never begin within ``rest_days`` of each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from infra.city.surroundings.chance import uniform
from infra.city.vocabulary import REASON_RANGES, REASONS

PLACES = 16
"""At most: numbers count turns by so many."""


@dataclass(frozen=True)
class Rarity:
    """What is rare. name: tells draws apart. chance: per turn."""

    name: str
    turn_days: int
    chance: float
    rest_days: int

    @property
    def per_year(self) -> float:
        """How many begin at a place in a year, in the mean."""
        return 365.25 / self.turn_days * self.chance


class Beginnings(NamedTuple):
    """Arrays of one length, in the order of days. number: the thing's own, however it is asked for. day: since 1970."""

    number: np.ndarray
    place: np.ndarray
    day: np.ndarray


class ExtraVisits(NamedTuple):
    """Visits of a day beside the usual. class_: AMB or EMER. who: people's numbers. reason: indexes REASONS. outbreak:
    its number, None for none."""

    class_: int
    who: np.ndarray
    reason: np.ndarray
    outbreak: int | None = None


def beginnings(seed: int, rarity: Rarity, places: int, first_day: int, last_day: int) -> Beginnings:
    """What begins at the first so many places on the days asked for, both ends included."""
    turn_days, place = rarity.turn_days, np.arange(places)
    turn = np.arange(first_day // turn_days, last_day // turn_days + 2)[:, None]
    shift = (uniform(seed, f"{rarity.name} shift", place) * turn_days).astype(np.int64)
    within = uniform(seed, f"{rarity.name} day", turn, place) * (turn_days - rarity.rest_days)
    day = turn * turn_days - shift + within.astype(np.int64)
    begins = uniform(seed, f"{rarity.name} begins", turn, place) < rarity.chance
    row, column = np.nonzero(begins & (day >= first_day) & (day <= last_day))
    order = np.argsort(day[row, column], kind="stable")
    row, column = row[order], column[order]
    return Beginnings(turn[row, 0] * PLACES + column, column, day[row, column])


def reasons(kind: str, codes: tuple[str, ...], drawn: np.ndarray) -> np.ndarray:
    """Index into REASONS for each number in [0, 1): among the reasons of ``kind`` (of REASON_RANGES) whose codes begin
    with one of ``codes``, by their base weights."""
    first, last = REASON_RANGES[kind]
    fitting = [n for n in range(first, last) if REASONS[n].code.startswith(codes)]
    cumulative = np.cumsum([REASONS[n].weight for n in fitting])
    return np.array(fitting)[np.searchsorted(cumulative, drawn * cumulative[-1], side="right")]
