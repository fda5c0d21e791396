"""People who buy an opioid again and again: as many as stated, the same however asked for, and sold by real tills."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.city.city import City
from infra.city.opioid_buyers import ATC_CODE, LENGTH_DAYS, Stretches, notes, purchases, stretches
from infra.city.options import Options
from infra.city.pharmacies.shops import SHOPS
from infra.city.places import PHARMACIES
from infra.city.population import DAY_MS
from infra.city.simulation import World
from tests.unit.city.test_population import key

OPTIONS = Options(population=600, years=1.5)
FIRST, LAST = OPTIONS.first_day, OPTIONS.now_day - 1


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    City.open(home / "city", OPTIONS).close()
    return home


def lived(options: Options, days: int) -> World:
    world = World(options.seed, options.admission_factor, options.first_day)
    world.settle(options.population)
    world.live(days)
    return world


def test_a_year_has_one_buyer_among_1500_adults_and_at_least_three() -> None:
    for population, least, most in ((400, 0, 0), (500, 3, 3), (4000, 3, 3), (20_000, 10, 12)):
        options = replace(OPTIONS, population=population, years=2.0)
        found = stretches(options, lived(options, 1).people, options.first_day, options.first_day + 364)
        assert least <= len(found.person) <= most, population
        assert len(set(found.person.tolist())) == len(found.person)


def test_buyers_are_the_same_before_and_after_further_days() -> None:
    world = lived(OPTIONS, 300)
    early = stretches(OPTIONS, world.people, FIRST, FIRST + 299)
    assert len(early.person) >= 2
    world.live(200)
    for options in (OPTIONS, replace(OPTIONS, now="2026-06-01T00:00:00Z", years=(151 + 548) / 365.25)):
        assert options.first_day == FIRST
        late = stretches(options, world.people, FIRST, FIRST + 299)
        assert all(np.array_equal(a, b) for a, b in zip(early, late, strict=True))
    later = replace(OPTIONS, now="2026-01-02T00:00:00Z", years=(LAST + 1 - int(early.began[0])) / 365.25)
    assert later.first_day == early.began[0] + 1
    assert early.began[0] not in stretches(later, world.people, FIRST, LAST).began
    length = early.last_day - early.began + 1
    assert ((length >= LENGTH_DAYS[0]) & (length <= LENGTH_DAYS[1])).all()
    age = (early.began - world.people.birth_day[early.person]) / 365.25
    assert ((age >= 18) & (age < 70)).all()


def test_a_stretch_ends_with_the_buyers_death_if_that_comes_first() -> None:
    people = lived(OPTIONS, OPTIONS.history_days).people
    found = stretches(OPTIONS, people, FIRST, LAST)
    person, died = int(found.person[0]), int(found.began[0]) + 10

    def ended_on(last_day: int) -> str | None:
        rows = notes(OPTIONS, people, FIRST, last_day)
        return next(str(row["ended_on"]) for row in rows if row["person_id"] == person and row["ended_on"])

    assert ended_on(LAST) == str(np.datetime64(int(found.last_day[0]), "D"))
    people.dead_ms[person] = died * DAY_MS + 1
    assert ended_on(died) == str(np.datetime64(died, "D"))
    assert all(row["ended_on"] is None for row in notes(OPTIONS, people, died - 1, died - 1))


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(45, 90), st.integers(0, 120))
def test_purchases_are_the_same_in_one_go_and_by_the_day(person: int, length: int, cut: int) -> None:
    one = Stretches(*(np.array([n]) for n in (person, 20_000, 20_000 + length - 1)))
    first, last = 19_990 * DAY_MS, 20_120 * DAY_MS
    middle = first + cut * DAY_MS
    whole = purchases(7, one, first, last)
    parts = zip(purchases(7, one, first, middle), purchases(7, one, middle, last), strict=True)
    assert all(np.array_equal(a, np.concatenate(b)) for a, b in zip(whole, parts, strict=True))
    day = whole.at // DAY_MS
    assert (day[0], day[-1]) == (20_000, 20_000 + length - 1)
    assert (np.diff(whole.at) > 0).all()
    assert len(set(whole.shop.tolist())) >= 3
    assert 0.15 * length < len(day) < 0.6 * length


def test_nobody_who_buys_nothing_makes_no_purchase() -> None:
    nobody = Stretches(*(np.zeros(0, dtype=np.int64) for _ in range(3)))
    assert len(purchases(7, nobody, 0, 20_000 * DAY_MS).at) == 0


def test_the_pharmacies_are_those_that_sell() -> None:
    assert [p.id for p in PHARMACIES] == [s.name for s in SHOPS]


def test_the_tills_show_whom_the_answer_key_names_and_nobody_else(home: Path) -> None:
    told = {row["person_id"]: row for row in key(home, "dispensing_anomalies")}
    assert len(told) >= 3
    sold = [r for r in key(home, "dispenses") if r["atc_code"] == ATC_CODE and r["kind"] == "sale"]
    bought = [r for r in sold if r["medication_request_id"] is None]
    assert {r["person_id"] for r in bought} == told.keys()
    for person, row in told.items():
        began = date.fromisoformat(row["began_on"])
        days = sorted(r["dispensed_at"].date() for r in bought if r["person_id"] == person)
        assert days[0] == began
        if row["ended_on"]:
            assert days[-1] == date.fromisoformat(row["ended_on"])
            assert 44 <= (days[-1] - began).days < 90
            assert len(days) >= 8
        assert all(day - began < timedelta(90) for day in days)
    often = Counter(r["person_id"] for r in sold)
    assert max(n for person, n in often.items() if person not in told) < 8
    keepers = {r["customer_no"][:2] for r in bought}
    assert keepers == {"CK", "LI", "AN"}
    assert all(row["atc_code"] == ATC_CODE for row in told.values())
