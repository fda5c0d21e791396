"""Dwellings, who lived in them from when to when, and how crowded and damp they are.

The stock of dwellings follows from the seed and the number of people the city began with. Everybody's address is that
of the Patient records (``population.identities``); the dwelling is one of those in its postal sector. The register
hears of a move after 1 to 14 days, and makes mistakes: see ``residences``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.city.places import SECTOR_CODES, SECTOR_COUNT, sectors_of
from infra.city.population import NEVER, People
from infra.city.surroundings.chance import draws, uniform
from infra.city.surroundings.clock import DAY_MS, HOUR_MS
from infra.city.surroundings.events import public_ids

HEATINGS = ("gas", "district_heating", "oil", "heat_pump", "wood", "electric")
_HEATING_SHARES = np.cumsum([0.42, 0.24, 0.14, 0.08, 0.07, 0.05])
ENERGY_CLASSES = "ABCDEFGH"
_PEOPLE_PER_DWELLING = 1.9
_VACANT_SHARE = 0.08
DAYS_PER_MOVE_LIMIT = 64
WRONG_DATE_RATE, PHANTOM_RATE = 0.02, 0.01
RENOVATED_PER_YEAR, DEMOLISHED_PER_YEAR = 0.01, 0.01


@dataclass(frozen=True)
class Stock:
    """All dwellings, sector by sector. lived_in: of the sector's first so many people live in one; the rest is
    vacant."""

    sector: np.ndarray
    nth: np.ndarray
    built: np.ndarray
    heating: np.ndarray
    energy_class: np.ndarray
    damp: np.ndarray
    floor_area_m2: np.ndarray
    rooms: np.ndarray
    renovated: np.ndarray
    demolished: np.ndarray
    per_sector: int
    lived_in: int

    def ids(self, rows: np.ndarray) -> list[str]:
        codes = [c.replace(" ", "") for c in SECTOR_CODES]
        return [
            f"DW-{codes[s]}-{n + 1:04d}"
            for s, n in zip(self.sector[rows].tolist(), self.nth[rows].tolist(), strict=True)
        ]


def stock(seed: int, population: int, first_day: int) -> Stock:
    """renovated, demolished: when (ms, NEVER): the heating becomes a heat pump and the damp ends; vacant ones are torn
    down."""
    lived_in = max(2, round(population / SECTOR_COUNT / _PEOPLE_PER_DWELLING))
    per_sector = lived_in + max(1, round(lived_in * _VACANT_SHARE))
    sector, nth = np.divmod(np.arange(SECTOR_COUNT * per_sector), per_sector)
    number = np.arange(len(sector))
    u = uniform(seed, "dwelling", np.arange(7)[:, None], sector[None], nth[None])
    quarter = uniform(seed, "quarter", sector)
    built = (1880 + 140 * np.clip(0.65 * quarter + 0.5 * u[0] - 0.08, 0, 1)).astype(np.int64)
    age = (2020 - built) / 140
    rooms = 1 + np.searchsorted([0.12, 0.38, 0.72, 0.92], u[1], side="right")
    years = uniform(seed, "renovated", number) / RENOVATED_PER_YEAR
    gone = uniform(seed, "demolished", number) / DEMOLISHED_PER_YEAR
    since = first_day * DAY_MS + 10 * HOUR_MS
    return Stock(
        sector=sector,
        nth=nth,
        built=built,
        heating=np.searchsorted(_HEATING_SHARES, u[2], side="right"),
        energy_class=np.clip((age * 6.5 + 2.2 * u[3]).astype(np.int64), 0, len(ENERGY_CLASSES) - 1),
        damp=u[4] < 0.03 + 0.28 * age**2,
        floor_area_m2=np.round(16 + rooms * (15 + 9 * u[5])).astype(np.int64),
        rooms=rooms,
        renovated=_after(since, years),
        demolished=np.where(nth >= lived_in, _after(since, gone), NEVER),
        per_sector=per_sector,
        lived_in=lived_in,
    )


def _after(since_ms: int, years: np.ndarray) -> np.ndarray:
    at = since_ms + np.round(np.minimum(years, 90) * 365.25).astype(np.int64) * DAY_MS
    return np.where(years < 90, at, NEVER)


@dataclass(frozen=True)
class Residences:
    """Who lived where: one row per person and address, in the order of person and time.

    nth: the person's address number (moves before it). dwelling: row of the stock. start, end: days (end NEVER while it
    lasts). told, end_told: when the register knows (ms). wrong_start: the day it said at first (equal to start where
    right). corrected: when it is put right (ms, NEVER). phantom: a row that never was true, deleted at ``deleted``
    (ms, NEVER).
    """

    person: np.ndarray
    nth: np.ndarray
    dwelling: np.ndarray
    start: np.ndarray
    end: np.ndarray
    told: np.ndarray
    end_told: np.ndarray
    wrong_start: np.ndarray
    corrected: np.ndarray
    phantom: np.ndarray
    deleted: np.ndarray

    def __len__(self) -> int:
        return len(self.person)

    def take(self, rows: np.ndarray) -> Residences:
        return Residences(**{name: values[rows] for name, values in vars(self).items()})

    def updated(self, as_of_ms: int) -> np.ndarray:
        """When each row last changed, as far as the register knows by then."""
        changes = np.stack([self.told, self.end_told, self.corrected, self.deleted])
        return np.asarray(np.where(changes <= as_of_ms, changes, -1).max(axis=0))


@dataclass(frozen=True)
class Moves:
    """Who moved and when (first instant of the day, ms), in the order of the calendar."""

    person: np.ndarray
    at_ms: np.ndarray


def residences(
    seed: int, homes: Stock, people: People, moves: Moves, first_day: int, dirt: float
) -> Residences:
    """All residences that began, known to the register or not; 2 % were first told with a wrong day (put right 3 to 20
    days later), and beside 1 % stands a phantom: the same person at another dwelling, deleted after 2 to 9 days."""
    people_count = len(people)
    person = np.concatenate([np.arange(people_count), moves.person]).astype(np.int64)
    arrived = people.registered_ms.min(axis=1) // DAY_MS
    before = (uniform(seed, "lives here", np.arange(people_count)) ** 2 * 9000).astype(np.int64)
    settled = np.maximum(arrived - before, people.birth_day)
    start = np.concatenate([np.where(arrived < first_day, settled, arrived), moves.at_ms // DAY_MS])
    order = np.lexsort((np.arange(len(person)), person))
    person, start = person[order], start[order]
    is_first = np.append(True, person[1:] != person[:-1])
    row = np.arange(len(person))
    nth = row - np.maximum.accumulate(np.where(is_first, row, 0))
    start = np.maximum(start, np.where(is_first, start, np.append(0, start[:-1]) + 1))
    died = people.dead_ms[person]
    is_last = np.append(is_first[1:], True)
    death_day = np.maximum(np.where(died < NEVER, died // DAY_MS, NEVER), start)
    end = np.where(is_last, death_day, np.append(start[1:], NEVER))
    key = person * DAYS_PER_MOVE_LIMIT + nth
    told = (start + 1) * DAY_MS + (uniform(seed, "told", key) * 13 * 24).astype(np.int64) * HOUR_MS
    death_told = np.where(end < NEVER, (np.minimum(end, NEVER // DAY_MS - 99) + 2) * DAY_MS, NEVER)
    death_told = np.where(
        death_told < NEVER,
        death_told + (uniform(seed, "death told", key) * 8 * 24).astype(np.int64) * HOUR_MS,
        NEVER,
    )
    end_told = np.where(is_last, np.maximum(death_told, told), np.append(told[1:], NEVER))
    is_wrong = uniform(seed, "wrong date", key) < WRONG_DATE_RATE * dirt
    off = 1 + (uniform(seed, "off by", key) * 28).astype(np.int64)
    sector = sectors_of(seed, person, nth)
    lives = (draws(seed, "dwelling of", key) % np.uint64(homes.lived_in)).astype(np.int64)
    found = Residences(
        person=person,
        nth=nth,
        dwelling=sector * homes.per_sector + lives,
        start=start,
        end=end,
        told=told,
        end_told=end_told,
        wrong_start=np.where(is_wrong, start - off, start),
        corrected=np.where(is_wrong, told + (3 + off % 18) * DAY_MS + 5 * HOUR_MS, NEVER),
        phantom=np.zeros(len(person), dtype=bool),
        deleted=np.full(len(person), NEVER),
    )
    rows = np.flatnonzero(uniform(seed, "phantom", key) < PHANTOM_RATE * dirt)
    return _with_phantoms(seed, found, rows, homes)


def _with_phantoms(seed: int, r: Residences, rows: np.ndarray, homes: Stock) -> Residences:
    p = r.take(rows)
    key = p.person * DAYS_PER_MOVE_LIMIT + p.nth
    elsewhere = (draws(seed, "phantom at", key) % np.uint64(len(homes.sector))).astype(np.int64)
    never = np.full(len(rows), NEVER)
    days = 2 + (uniform(seed, "phantom for", key) * 7).astype(np.int64)
    ghosts = Residences(
        person=p.person,
        nth=p.nth,
        dwelling=elsewhere,
        start=p.start,
        end=never,
        told=p.told,
        end_told=never,
        wrong_start=p.start,
        corrected=never,
        phantom=np.ones(len(rows), dtype=bool),
        deleted=p.told + days * DAY_MS + 3 * HOUR_MS,
    )
    return Residences(**{n: np.concatenate([v, getattr(ghosts, n)]) for n, v in vars(r).items()})


def residence_ids(seed: int, r: Residences) -> list[str]:
    return public_ids(seed, "RS", (r.person * DAYS_PER_MOVE_LIMIT + r.nth) * 2 + r.phantom)


@dataclass(frozen=True)
class YearOfDistricts:
    """Each array: one element per district of the administration, on 31 December."""

    dwellings: np.ndarray
    residents: np.ndarray
    crowded_share: np.ndarray
    damp_share: np.ndarray
    mean_built: np.ndarray


def year_of_districts(
    homes: Stock, r: Residences, district: np.ndarray, count: int, day: int
) -> YearOfDistricts:
    """crowded: lived in by more people than it has rooms; shares are of dwellings that are lived in. ``district`` is
    that of each sector, ``count`` how many there are."""
    there = ~r.phantom & (r.start <= day) & (r.end > day)
    people = np.bincount(r.dwelling[there], minlength=len(homes.sector))
    standing = homes.demolished > day * DAY_MS
    where = district[homes.sector]
    damp = homes.damp & (homes.renovated > day * DAY_MS)
    lived = people > 0

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(where, weights=values.astype(float), minlength=count)

    lived_in = np.maximum(total(lived), 1)
    dwellings = total(standing)
    return YearOfDistricts(
        dwellings=dwellings.astype(np.int64),
        residents=total(people).astype(np.int64),
        crowded_share=np.round(total(lived & (people > homes.rooms)) / lived_in, 4),
        damp_share=np.round(total(lived & damp) / lived_in, 4),
        mean_built=np.round(total(homes.built * standing) / np.maximum(dwellings, 1), 1),
    )
