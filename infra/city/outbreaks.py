"""Outbreaks: more people of one postal district than usual come with one syndrome, for one to two weeks.

About one begins in a postal district in 14 months (see ``rare``). The curve is that of a point source, all exposed
within hours (Centers for Disease Control and Prevention, Principles of Epidemiology in Public Health Practice, 3rd ed.,
lesson 1, section 11): sharp at first, then falling. Its numbers are ours: on the first day FIRST_DAY_SHARE of the
residents fall ill enough to come, and on each later one exp(-FALL / length) times as many as on the one before, for
LENGTH_DAYS. A resident comes at most once in an outbreak, and not on a day of another visit or in hospital.

Syndromes are told by the reason of the visit (ICD-10-CM): gastro A09; respiratory J06.9, R05.9, R06.02. Days are UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from infra.city import rhythms
from infra.city.local_time import dates
from infra.city.places import SECTORS_PER_DISTRICT, sectors_of
from infra.city.population import DAY_MS, People
from infra.city.rare import ExtraVisits, Rarity, beginnings, reasons
from infra.city.surroundings.chance import uniform
from infra.city.vocabulary import AMB, DISTRICTS, EMER

RARITY = Rarity("outbreak", turn_days=61, chance=1 / 7, rest_days=15)
FIRST_DAY_SHARE = (0.006, 0.012)
LENGTH_DAYS = (7, 14)
FALL = 3.0
SYNDROMES = ("gastro", "respiratory")
CODES = {"gastro": ("A09",), "respiratory": ("J06.9", "R05.9", "R06.02")}
EMERGENCY_SHARE, DAY_OFF_EMERGENCY_SHARE = 0.5, 0.9
"""Who goes to an emergency department on a working day, and at a weekend or on a public holiday."""


@dataclass(frozen=True)
class Outbreak:
    """number: its own. area: index of DISTRICTS. began: first day (since 1970). length: days."""

    number: int
    syndrome: str
    area: int
    began: int
    length: int
    first_day_share: float

    @property
    def last_day(self) -> int:
        return self.began + self.length - 1

    def come_before(self, day: int) -> float:
        """Share of the residents who have come before that day."""
        fall = np.exp(-FALL / self.length)
        lived = min(max(day - self.began, 0), self.length)
        return float(self.first_day_share * (1 - fall**lived) / (1 - fall))


def outbreaks(seed: int, first_day: int, last_day: int) -> list[Outbreak]:
    """Those under way on any of the days asked for, both ends included, in the order in which they began."""
    begun = beginnings(seed, RARITY, len(DISTRICTS), first_day - LENGTH_DAYS[1] + 1, last_day)
    u = uniform(seed, "outbreak attribute", np.arange(3)[:, None], begun.number[None])
    shortest, longest = LENGTH_DAYS
    mildest, worst = FIRST_DAY_SHARE
    found = [
        Outbreak(
            number=number,
            syndrome=SYNDROMES[int(kind * len(SYNDROMES))],
            area=area,
            began=began,
            length=shortest + int(length * (longest - shortest + 1)),
            first_day_share=mildest + share * (worst - mildest),
        )
        for number, area, began, (kind, length, share) in zip(
            *(values.tolist() for values in begun), u.T.tolist(), strict=True
        )
    ]
    return [one for one in found if one.last_day >= first_day]


def visits(
    seed: int, day: int, people: People, is_free: np.ndarray, can_go: np.ndarray
) -> Iterator[ExtraVisits]:
    """What outbreaks add on a day. is_free: may come (people); can_go: and find an open emergency department."""
    running = outbreaks(seed, day, day)
    if not running:
        return
    number = np.arange(len(people))
    area = sectors_of(seed, number, people.moves) // SECTORS_PER_DISTRICT
    is_off = rhythms.kind_of(day) >= rhythms.DAY_KINDS.index("saturday")
    share = DAY_OFF_EMERGENCY_SHARE if is_off else EMERGENCY_SHARE
    for one in running:
        turn = uniform(seed, "outbreak ill", one.number, number)
        falls_ill = (turn >= one.come_before(day)) & (turn < one.come_before(day + 1))
        comes = np.flatnonzero(is_free & falls_ill & (area == one.area))
        to_emergency = uniform(seed, "outbreak to emergency", one.number, comes) < share
        for class_, kind, who in (
            (EMER, "emergency_room", comes[to_emergency & can_go[comes]]),
            (AMB, "outpatient", comes[~to_emergency]),
        ):
            why = reasons(kind, CODES[one.syndrome], uniform(seed, "outbreak reason", one.number, who))
            yield ExtraVisits(class_, who, why, outbreak=one.number)


def yearly_emergency_visits() -> float:
    """Emergency visits that outbreaks add per person and year, in the mean; weekends are two days in seven."""
    length = np.arange(LENGTH_DAYS[0], LENGTH_DAYS[1] + 1)
    times = ((1 - np.exp(-FALL)) / (1 - np.exp(-FALL / length))).mean()
    share = (5 * EMERGENCY_SHARE + 2 * DAY_OFF_EMERGENCY_SHARE) / 7
    return float(RARITY.per_year * np.mean(FIRST_DAY_SHARE) * times * share)


def notes(
    seed: int, first_day: int, last_day: int, extra_visits: Mapping[int, int]
) -> Iterator[dict[str, Any]]:
    """Rows of the answer key for the days [first_day, last_day]: one per outbreak under way. extra_visits: of these
    days, by number of the outbreak."""
    for one in outbreaks(seed, first_day, last_day):
        began_on, ended_on = dates(np.array([one.began, one.last_day]))
        yield {
            "outbreak_id": f"OB-{one.number:06d}",
            "syndrome": one.syndrome,
            "area_code": DISTRICTS[one.area],
            "began_on": began_on,
            "ended_on": ended_on if one.last_day <= last_day else None,
            "extra_visits": extra_visits.get(one.number, 0),
            "visible_at": (one.began + 1) * DAY_MS,
        }
