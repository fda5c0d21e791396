"""People who buy an opioid again and again, for 45 to 90 days, at whichever of the city's pharmacies.

Beside what hospitals prescribe them they buy tramadol without a number of a prescription, on the first and the last day
of the stretch and on every other with chance BUYING_CHANCE: a pack or two of 20 capsules, which last a week. In a year
it is about one adult in ADULTS_PER_BUYER, and at least LEAST_BUYERS in a city of LEAST_POPULATION; another one each
year. Many pharmacies in a short time are a known mark of overuse (pharmacy shopping: Peirce and others, Medical Care
2012); the rates are ours. Days are UTC.

A city has so many *places* for buyers, and each place begins anew on a day of its own in every span of 365 days, taken
by an adult who is then alive and registered. So a stretch gives the same however it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from infra.city.local_time import dates
from infra.city.options import Options
from infra.city.places import PHARMACIES
from infra.city.population import DAY_MS, People
from infra.city.surroundings.chance import draws, uniform
from infra.city.vocabulary import MEDICATIONS

ATC_CODE = "N02AX02"
MEDICATION = [code for code, _ in MEDICATIONS].index(ATC_CODE)
SPAN_DAYS = 365
LENGTH_DAYS = (45, 90)
ADULTS_PER_BUYER = 1500
LEAST_BUYERS, LEAST_POPULATION = 3, 500
ADULT_YEARS, OLDEST_YEARS = 18, 70
BUYING_CHANCE, TWO_PACKS_CHANCE = 0.35, 0.25
_OPEN_MS = (8 * 3_600_000, 18 * 3_600_000)


class Stretches(NamedTuple):
    """Arrays of one length. began, last_day: days since 1970 on which each person buys first and last, if they live so
    long."""

    person: np.ndarray
    began: np.ndarray
    last_day: np.ndarray


class Purchases(NamedTuple):
    """Arrays of one length. shop: index of PHARMACIES. packs: of MEDICATION. at: ms."""

    person: np.ndarray
    shop: np.ndarray
    packs: np.ndarray
    at: np.ndarray


def stretches(options: Options, people: People, first_day: int, last_day: int) -> Stretches:
    """Those that reach into the days asked for, both ends included; these must have been lived."""
    seed, (shortest, longest) = options.seed, LENGTH_DAYS
    count = _places(options, people)
    spans = np.arange((first_day - longest) // SPAN_DAYS, last_day // SPAN_DAYS + 1)
    span, place = (a.ravel() for a in np.meshgrid(spans, np.arange(count), indexing="ij"))
    began = span * SPAN_DAYS + (uniform(seed, "opioid began", place) * SPAN_DAYS).astype(np.int64)
    length = shortest + (uniform(seed, "opioid length", span, place) * (longest - shortest + 1)).astype(
        np.int64
    )
    last = began + length - 1
    asked = (began <= last_day) & (last >= first_day) & (began >= options.first_day)
    taken = [
        _taker(seed, people, p, count, day)
        for p, day in zip(place[asked].tolist(), began[asked].tolist(), strict=True)
    ]
    is_taken = np.array([person is not None for person in taken], dtype=bool)
    person = np.array([person for person in taken if person is not None], dtype=np.int64)
    return Stretches(person, began[asked][is_taken], last[asked][is_taken])


def purchases(seed: int, s: Stretches, before_ms: int, now_ms: int) -> Purchases:
    """What they buy in [before_ms, now_ms), whole days, in the order of time."""
    length = s.last_day - s.began + 1
    row = np.repeat(np.arange(len(length)), length)
    person, day = (
        s.person[row],
        s.began[row] + np.arange(len(row)) - np.repeat(length.cumsum() - length, length),
    )
    buys = uniform(seed, "opioid buys", person, day) < BUYING_CHANCE
    buys |= (day == s.began[row]) | (day == s.last_day[row])
    buys &= (day * DAY_MS >= before_ms) & (day * DAY_MS < now_ms)
    person, day = person[buys], day[buys]
    opens, closes = _OPEN_MS
    at = day * DAY_MS + opens + (uniform(seed, "opioid at", person, day) * (closes - opens)).astype(np.int64)
    order = np.argsort(at, kind="stable")
    person, day = person[order], day[order]
    shop = draws(seed, "opioid shop", person, day) % np.uint64(len(PHARMACIES))
    packs = 1 + (uniform(seed, "opioid packs", person, day) < TWO_PACKS_CHANCE)
    return Purchases(person, shop.astype(np.int64), packs, at[order])


def notes(options: Options, people: People, first_day: int, last_day: int) -> Iterator[dict[str, Any]]:
    """Rows of the answer key for the days [first_day, last_day], which have been lived: one per stretch under way.
    ended_on is the day of death where that comes first."""
    s = stretches(options, people, first_day, last_day)
    ends = np.minimum(s.last_day, people.dead_ms[s.person] // DAY_MS)
    for person, began, end in zip(s.person.tolist(), s.began.tolist(), ends.tolist(), strict=True):
        began_on, ended_on = dates(np.array([began, end]))
        yield {
            "person_id": person,
            "began_on": began_on,
            "ended_on": ended_on if end <= last_day else None,
            "atc_code": ATC_CODE,
            "visible_at": (began + 1) * DAY_MS,
        }


def _places(options: Options, people: People) -> int:
    """How many buyers a year has: by the adults whom the city began with."""
    age = (options.first_day - people.birth_day[: options.population]) / 365.25
    least = LEAST_BUYERS if options.population >= LEAST_POPULATION else 0
    return max(least, round(int((age >= ADULT_YEARS).sum()) / ADULTS_PER_BUYER))


def _taker(seed: int, people: People, place: int, places: int, day: int) -> int | None:
    """Who takes a place on that day; None if nobody can. Every place has its own share of the people, so that nobody
    takes two."""
    age, at_ms = people.age_years(day), day * DAY_MS
    can = (age >= ADULT_YEARS) & (age < OLDEST_YEARS) & (people.dead_ms >= at_ms + DAY_MS)
    can &= people.registered_ms.min(axis=1) < at_ms
    mine = np.flatnonzero(can & (np.arange(len(people)) % places == place))
    return int(mine[uniform(seed, "opioid taker", day, mine).argmin()]) if len(mine) else None
