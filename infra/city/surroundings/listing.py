"""What an API holds at a moment: items in the order in which they last changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from infra.city.population import Identity, People
from infra.city.surroundings.energy import Supply
from infra.city.surroundings.housing import Moves

OPENED_MS = 1_420_070_400_000
"""2015-01-01: when what has always been there (stations, segments) was entered."""


@dataclass(frozen=True)
class Listing:
    """updated: ms, ascending, one per item. write: the items of these rows as JSON objects."""

    updated: np.ndarray
    write: Callable[[np.ndarray], list[str]]

    def __len__(self) -> int:
        return len(self.updated)


@dataclass(frozen=True)
class Register:
    """What the housing register knows of people, copied from the city. identity: of people (numbers) after so many
    moves."""

    people: People
    moves: Moves
    identity: Callable[[np.ndarray, np.ndarray], Identity]


@dataclass(frozen=True)
class Setting:
    """What the surroundings follow from. population: people at the start. first_day: of the history (days since 1970).
    register: gives what is known of people, as of the city's clock."""

    seed: int
    population: int
    first_day: int
    dirt: float
    register: Callable[[], Register]

    @property
    def supply(self) -> Supply:
        return Supply(self.seed, self.population, self.first_day, self.dirt)

    def hours(self, as_of_ms: int, since_ms: int | None, back_days: int) -> np.ndarray:
        """The hours whose items may have changed in (since, as_of], if an item changes at most so many days later."""
        first = self.first_day * 24
        if since_ms is not None:
            first = max(first, since_ms // 3_600_000 - back_days * 24)
        return np.arange(first, max(first, as_of_ms // 3_600_000))


def fixed(objects: list[dict[str, object]], updated_ms: int = OPENED_MS) -> Listing:
    """Items that never change."""
    return ordered(np.full(len(objects), updated_ms), [compact(o) for o in objects])


def ordered(updated: np.ndarray, texts: list[str]) -> Listing:
    """Few items, written already."""
    order = np.argsort(updated, kind="stable")
    return Listing(updated[order], lambda rows: [texts[n] for n in order[rows].tolist()])


def since(listing: Listing, since_ms: int | None) -> Listing:
    """What changed after that moment."""
    if since_ms is None:
        return listing
    first = int(np.searchsorted(listing.updated, since_ms, side="right"))
    return Listing(listing.updated[first:], lambda rows: listing.write(rows + first))


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def number(value: float) -> str:
    """JSON of a number that may be missing (NaN)."""
    return "null" if value != value else f"{value:g}" if abs(value) < 1e5 else f"{value:.1f}"
