"""Outbreaks and unusual days of hospitals: where and when the answer key says, and in the visits that people make."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.city import unusual
from infra.city.facility_days import CLOSED, RARITY, SURGE, closed, facility_days
from infra.city.facility_days import visits as facility_visits
from infra.city.habits import HOSPITALS
from infra.city.local_time import dates
from infra.city.options import Options
from infra.city.outbreaks import CODES, FIRST_DAY_SHARE, LENGTH_DAYS, SYNDROMES, outbreaks, visits
from infra.city.places import SECTORS_PER_DISTRICT, sectors_of
from infra.city.population import DAY_MS, HOSPITAL_COUNT, People
from infra.city.rare import beginnings
from infra.city.simulation import Columns, World
from infra.city.vocabulary import AMB, DISTRICTS, ELECTIVE, EMER, IMP, REASONS, TRANSFER_IN
from tests.unit.city.conftest import SMALL
from tests.unit.city.test_population import key

SEED, FIRST, DAYS = 4, 19_723, 500
LAST = FIRST + DAYS - 1
CODE = np.array([r.code for r in REASONS])


class Lived(NamedTuple):
    world: World
    encounters: Columns
    stays: Columns

    @property
    def day(self) -> np.ndarray:
        return np.asarray(self.encounters["start"] // DAY_MS)


@pytest.fixture(scope="module")
def lived() -> Lived:
    world = World(SEED, admission_factor=1.0, day=FIRST)
    world.settle(12_000)
    return Lived(world, *world.live(DAYS))


def areas(people: People) -> np.ndarray:
    return sectors_of(SEED, np.arange(len(people)), people.moves) // SECTORS_PER_DISTRICT


stretch = st.tuples(
    st.integers(0, 500), st.integers(15_000, 25_000), st.integers(1, 900), st.integers(1, 900)
)


@given(stretch)
def test_any_stretch_has_the_same_outbreaks_and_facility_days(drawn: tuple[int, int, int, int]) -> None:
    seed, first, days, more = drawn
    middle, last = first + days, first + days + more - 1
    whole = facility_days(seed, first, last)
    assert whole == facility_days(seed, first, middle - 1) + facility_days(seed, middle, last)
    before, after = outbreaks(seed, first, middle - 1), outbreaks(seed, middle, last)
    going_on = [one for one in before if one.last_day >= middle]
    assert after[: len(going_on)] == going_on
    assert outbreaks(seed, first, last) == before + after[len(going_on) :]


def test_a_district_has_an_outbreak_in_14_months_and_a_hospital_two_unusual_days_a_year() -> None:
    years = 40
    last = FIRST + int(years * 365.25)
    found = [one for seed in range(10) for one in outbreaks(seed, FIRST, last)]
    assert len(found) == pytest.approx(10 * len(DISTRICTS) * years * 12 / 14, rel=0.08)
    assert sum(one.syndrome == "gastro" for one in found) == pytest.approx(len(found) / 2, rel=0.1)
    assert {one.length for one in found} == set(range(LENGTH_DAYS[0], LENGTH_DAYS[1] + 1))
    assert all(FIRST_DAY_SHARE[0] <= one.first_day_share < FIRST_DAY_SHARE[1] for one in found)
    for area in range(len(DISTRICTS)):
        mine = [one for one in outbreaks(SEED, FIRST, last) if one.area == area]
        assert all(a.last_day < b.began for a, b in pairwise(mine)), "one at a time"
    days = [one for seed in range(10) for one in facility_days(seed, FIRST, last)]
    assert len(days) == pytest.approx(10 * HOSPITAL_COUNT * years * 2, rel=0.08)
    assert sum(one.kind == CLOSED for one in days) == pytest.approx(len(days) / 2, rel=0.1)


@given(st.integers(0, 2**31), st.integers(0, 30_000))
def test_what_is_rare_begins_with_a_rest_between(seed: int, first: int) -> None:
    begun = beginnings(seed, RARITY, 3, first, first + 2000)
    assert (begun.day >= first).all()
    assert (np.diff(begun.day) >= 0).all()
    assert len(set(begun.number.tolist())) == len(begun.number)
    for place in range(3):
        assert (np.diff(begun.day[begun.place == place]) >= RARITY.rest_days).all()


def test_an_outbreak_is_sharp_at_first_and_falls_and_takes_nobody_twice(lived: Lived) -> None:
    people = lived.world.people
    everybody, area = np.ones(len(people), dtype=bool), areas(people)
    on_day: Counter[int] = Counter()
    expected: Counter[int] = Counter()
    to_emergency: list[bool] = []
    for one in outbreaks(SEED, FIRST, FIRST + 6000):
        came: list[int] = []
        for nth in range(one.length):
            for extra in visits(SEED, one.began + nth, people, everybody, everybody):
                if extra.outbreak == one.number:
                    assert set(CODE[extra.reason]) <= set(CODES[one.syndrome])
                    came += extra.who.tolist()
                    to_emergency += [extra.class_ == EMER] * len(extra.who)
                    on_day[nth] += len(extra.who)
            residents = int((area == one.area).sum())
            expected[nth] += (
                one.come_before(one.began + nth + 1) - one.come_before(one.began + nth)
            ) * residents
        assert len(came) == len(set(came))
        assert (area[came] == one.area).all()
        assert one.come_before(one.last_day + 1) == one.come_before(one.last_day + 50)
        assert one.come_before(one.began + 1) == pytest.approx(one.first_day_share)
    for nth, mean in expected.items():
        assert abs(on_day[nth] - mean) < 4 * mean**0.5, nth
    counts = [on_day[nth] for nth in range(LENGTH_DAYS[0])]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 2 * counts[3]
    assert 0.5 < np.mean(to_emergency) < 0.75


def test_the_extra_visits_of_the_key_are_visits_of_the_city(lived: Lived) -> None:
    """Stomach infections are rare otherwise: those of a district in an outbreak's days are the outbreak's."""
    area = areas(lived.world.people)[lived.encounters["person"]]
    rows = list(
        unusual.notes(*noted(lived.world), FIRST * DAY_MS, (LAST + 1) * DAY_MS, lived.world.outbreak_visits)
    )
    told = {row["outbreak_id"]: row for name, row in rows if name == "outbreaks"}
    gut = CODE[lived.encounters["reason"]] == "A09"
    found = [one for one in outbreaks(SEED, FIRST, LAST) if one.last_day <= LAST and one.began >= FIRST]
    assert {one.syndrome for one in found} == set(SYNDROMES)
    usual = gut.sum() / DAYS / len(DISTRICTS)
    assert usual < 0.4
    for one in found:
        extra = told[f"OB-{one.number:06d}"]["extra_visits"]
        residents = (areas(lived.world.people) == one.area).sum()
        assert 0.5 < extra / (one.come_before(LAST + 50) * residents) < 1.4
        within = (area == one.area) & (lived.day >= one.began) & (lived.day <= one.last_day)
        if one.syndrome == "gastro":
            assert abs((gut & within).sum() - extra) <= 6, "but for moves and the usual"
    assert {row["area_code"] for row in told.values()} <= set(DISTRICTS)


def noted(world: World) -> tuple[Options, People]:
    now = f"{dates(np.array([LAST + 1]))[0]}T00:00:00Z"
    return Options(population=1000, seed=SEED, years=DAYS / 365.25, now=now), world.people


def test_the_key_is_the_same_in_one_go_and_in_pieces() -> None:
    def live(*pieces: int) -> tuple[dict[str, list[dict[str, Any]]], list[np.ndarray]]:
        world = World(SEED, admission_factor=1.0, day=FIRST)
        world.settle(1000)
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in unusual.SCHEMAS}
        starts = []
        for days in pieces:
            before = world.day
            encounters, _ = world.live(days)
            starts.append(encounters["start"])
            found = unusual.notes(*noted(world), before * DAY_MS, world.day * DAY_MS, world.outbreak_visits)
            for name, row in found:
                rows[name].append(row)
        return {name: unusual.merged(name, found) for name, found in rows.items()}, starts

    at_once, starts = live(240)
    in_pieces, parts = live(100, 1, 1, 38, 60, 40)
    assert np.array_equal(starts[0], np.concatenate(parts))
    for name, found in at_once.items():
        assert found, name
        assert sorted(map(repr, found)) == sorted(map(repr, in_pieces[name]))
    assert any(row["extra_visits"] for row in at_once["outbreaks"])
    going_on, _ = live(one_day_into_an_outbreak())
    assert [row["ended_on"] for row in going_on["outbreaks"]][-1] is None


def one_day_into_an_outbreak() -> int:
    """How many days to live so that the last of them is some outbreak's first."""
    return next(one.began for one in outbreaks(SEED, FIRST + 30, LAST) if one.began > FIRST + 30) - FIRST + 1


def test_a_closed_emergency_department_takes_in_nobody_but_whom_it_readmits(lived: Lived) -> None:
    e, day = lived.encounters, lived.day
    returns = set(zip(lived.stays["person"].tolist(), lived.stays["readmission_due"].tolist(), strict=True))
    unplanned = (e["class_"] == IMP) & (e["priority"] != ELECTIVE) & (e["admit_source"] != TRANSFER_IN)
    closures = [one for one in facility_days(SEED, FIRST, LAST) if one.kind == CLOSED]
    assert len(closures) >= 3
    elsewhere = planned = others = 0
    for one in closures:
        assert closed(SEED, one.day)[one.hospital]
        here, today = e["hospital"] == one.hospital, day == one.day
        assert not (here & today & (e["class_"] == EMER)).any()
        admitted = np.flatnonzero(here & today & unplanned)
        assert {(int(e["person"][n]), int(e["start"][n])) for n in admitted} <= returns
        planned += (here & today & (e["class_"] == IMP) & (e["priority"] == ELECTIVE)).sum()
        others += (here & today & (e["class_"] == AMB)).sum()
        elsewhere += (
            today & (e["class_"] == EMER) & (lived.world.people.home[e["person"]] == one.hospital)
        ).sum()
    assert elsewhere > 0
    assert planned > 0
    assert others > 0


def test_an_accident_brings_three_to_five_times_the_usual_with_injuries(lived: Lived) -> None:
    e, day = lived.encounters, lived.day
    emergency = e["class_"] == EMER
    injured = np.char.startswith(CODE[e["reason"]], "S")
    accidents = [one for one in facility_days(SEED, FIRST, LAST) if one.kind == SURGE]
    assert len(accidents) >= 3
    people, seen, expected = lived.world.people, 0.0, 0.0
    everybody, yearly = np.ones(len(people), dtype=bool), np.full(len(people), 0.3)
    for one in accidents:
        added = list(facility_visits(SEED, one.day, people, everybody, yearly))
        assert len(added) == 1
        assert (people.home[added[0].who] == one.hospital).all()
        assert len(added[0].who) == np.ceil(
            (one.factor - 1) * 0.3 * (people.home == one.hospital).sum() / 365.25
        )
        here = (e["hospital"] == one.hospital) & emergency
        usual = (here & (day != one.day)).sum() / (DAYS - 1)
        today = here & (day == one.day)
        assert (today & injured).sum() >= 0.9 * (one.factor - 1) * usual
        seen, expected = seen + today.sum(), expected + one.factor * usual
        assert 3 <= one.factor <= 5
    assert seen == pytest.approx(expected, abs=4 * expected**0.5)


def test_the_answer_key_tells_what_has_happened(made_home: Path) -> None:
    first, last = SMALL.first_day, SMALL.now_day - 1
    told = [(row["source"], row["date"], row["kind"]) for row in key(made_home, "facility_days")]
    days = facility_days(SMALL.seed, first, last)
    assert told == [(HOSPITALS[one.hospital].source, dates(np.array([one.day]))[0], one.kind) for one in days]
    found = key(made_home, "outbreaks")
    assert len(found) == len(outbreaks(SMALL.seed, first, last))
    assert all(row["began_on"] < row["ended_on"] for row in found if row["ended_on"])
    assert sum(row["extra_visits"] for row in found) > 0
