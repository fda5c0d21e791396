"""Days on which a hospital's emergency department is not itself: about two a year and hospital, as often of each kind.

closed   It takes nobody in: who would come for an emergency visit or an unplanned admission goes to another hospital
         that knows them, or does not come at all. Whom it has discharged and readmits (``risk``) it takes all the same.
surge    An accident: FACTOR times the usual emergency visits. Those beside the usual are of people whose home hospital
         it is, anyone as likely as the next, with an injury (ICD-10-CM chapter XIX: S codes); one in a hundred goes to
         another one that knows them.

Days are UTC. Which, comes from seed and calendar alone (see ``rare``); the rates are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from infra.city.habits import HOSPITALS
from infra.city.local_time import dates
from infra.city.population import DAY_MS, HOSPITAL_COUNT, People
from infra.city.rare import ExtraVisits, Rarity, beginnings, reasons
from infra.city.surroundings.chance import uniform
from infra.city.vocabulary import EMER

RARITY = Rarity("facility day", turn_days=61, chance=1 / 3, rest_days=7)
FACTOR = (3.0, 5.0)
CLOSED, SURGE = "closed", "surge"


@dataclass(frozen=True)
class FacilityDay:
    """hospital: index of HOSPITALS. day: since 1970. factor: emergency visits by the usual; 0 if closed."""

    hospital: int
    day: int
    kind: str
    factor: float


@lru_cache(maxsize=64)
def facility_days(seed: int, first_day: int, last_day: int) -> tuple[FacilityDay, ...]:
    """Those among the days asked for, both ends included, in the order of time."""
    begun = beginnings(seed, RARITY, HOSPITAL_COUNT, first_day, last_day)
    u = uniform(seed, "facility day attribute", np.arange(2)[:, None], begun.number[None])
    least, most = FACTOR
    return tuple(
        FacilityDay(hospital, day, CLOSED, 0.0)
        if kind < 0.5
        else FacilityDay(hospital, day, SURGE, least + factor * (most - least))
        for hospital, day, (kind, factor) in zip(
            begun.place.tolist(), begun.day.tolist(), u.T.tolist(), strict=True
        )
    )


def closed(seed: int, day: int) -> np.ndarray:
    """Which hospitals' emergency departments are closed on a day (hospitals)."""
    shut = np.zeros(HOSPITAL_COUNT, dtype=bool)
    shut[[one.hospital for one in facility_days(seed, day, day) if one.kind == CLOSED]] = True
    return shut


def visits(
    seed: int, day: int, people: People, is_free: np.ndarray, yearly_rate: np.ndarray
) -> Iterator[ExtraVisits]:
    """What accidents add on a day. is_free: may come (people); yearly_rate: usual emergency visits of each person."""
    for one in facility_days(seed, day, day):
        if one.kind == SURGE:
            mine = np.flatnonzero(is_free & (people.home == one.hospital))
            extra = int(np.ceil((one.factor - 1) * yearly_rate[mine].sum() / 365.25))
            who = np.sort(mine[uniform(seed, "injured", day, mine).argsort(kind="stable")[:extra]])
            why = reasons("emergency_room", ("S",), uniform(seed, "injury", day, who))
            yield ExtraVisits(EMER, who, why)


def yearly_injuries(yearly_rate: np.ndarray) -> float:
    """Emergency visits that accidents add per person and year, in the mean; yearly_rate: usual ones of each person."""
    return float(RARITY.per_year / 2 * (np.mean(FACTOR) - 1) * yearly_rate.mean() / 365.25)


def notes(seed: int, first_day: int, last_day: int) -> Iterator[dict[str, Any]]:
    """Rows of the answer key for the days [first_day, last_day]."""
    for one in facility_days(seed, first_day, last_day):
        yield {
            "source": HOSPITALS[one.hospital].source,
            "date": dates(np.array([one.day]))[0],
            "kind": one.kind,
            "factor": one.factor,
            "visible_at": (one.day + 1) * DAY_MS,
        }
