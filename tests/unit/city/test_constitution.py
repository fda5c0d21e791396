"""What people are like for good, and how hospitals come to see it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.city import clinical, constitution
from infra.city.constitution import DAILY_SMOKER, NEIGHBOURHOOD_OF, PHENOTYPES, prevalence, prevalence_of
from infra.city.population import DAY_MS, NEVER, People, make_people, postal_hashes
from infra.city.simulation import Columns, World
from infra.city.vocabulary import AMB, CHRONIC, CHRONIC_KEYS, DISTRICTS, IMP, MEASURE_INDEX

DAY, SEED = 20_000, 3
KEYS = {p.key: n for n, p in enumerate(PHENOTYPES)}


@cache
def people() -> People:
    return make_people(40_000, np.random.default_rng(1), DAY, seed=SEED)


@cache
def lived() -> tuple[People, Columns, Columns]:
    """People, encounters and observations of a year and a half."""
    world = World(SEED, admission_factor=2.0, day=DAY)
    world.settle(6000)
    encounters, _ = world.live(540)
    return world.people, encounters, clinical.observations(encounters, world.people, np.random.default_rng(2))


@given(st.sampled_from(CHRONIC), st.floats(18, 100))
def test_phenotypes_keep_the_prevalence_at_every_age(chronic: constitution.Chronic, age: float) -> None:
    """The mean over phenotypes is the condition's own prevalence: of Newton's method nothing is left."""
    each = prevalence_of(chronic, np.full(len(PHENOTYPES), age), np.arange(len(PHENOTYPES)))
    assert each @ constitution.SHARES == pytest.approx(prevalence(chronic, np.array([age]))[0], abs=1e-9)


def test_clusters_and_neighbourhoods_are_there() -> None:
    p = people()
    ill, age = p.has(DAY * DAY_MS), p.age_years(DAY)
    for phenotype, keys in (("metabolic", ("diabetes", "coronary")), ("lung", ("copd", "asthma"))):
        both = ill[:, [CHRONIC_KEYS.index(k) for k in keys]].all(axis=1)
        mine = p.phenotype == KEYS[phenotype]
        assert both[mine].mean() > 3 * both[~mine].mean(), phenotype
    for i, chronic in enumerate(CHRONIC):
        expected = prevalence(chronic, age).mean()
        assert abs(ill[:, i].mean() - expected) < 4 * np.sqrt(expected / len(p)), chronic.key
    district, _ = postal_hashes(SEED, np.arange(len(p)), np.zeros(len(p), dtype=np.int64))
    smokes = [(p.smoking == DAILY_SMOKER)[NEIGHBOURHOOD_OF[district] == n].mean() for n in range(3)]
    assert smokes[0] > 1.2 * smokes[1] > 1.2 * 1.2 * smokes[2]
    assert sorted(np.bincount(NEIGHBOURHOOD_OF)) == [len(DISTRICTS) // 3] * 3
    grown = age >= 18
    assert p.frailty.mean() == pytest.approx(1.0, abs=0.02)
    assert (p.weight / (p.height / 100) ** 2)[grown].mean() == pytest.approx(26.0, abs=0.3)
    assert p.glucose[grown].mean() == pytest.approx(97, abs=1)
    assert p.cholesterol[grown].mean() == pytest.approx(189, abs=2)
    assert not p.smoking[age < 15].any()


def test_newcomers_live_in_the_neighbourhood_of_their_number() -> None:
    late = make_people(9000, np.random.default_rng(4), DAY, seed=SEED, first=40_000, newcomers=True)
    district, _ = postal_hashes(SEED, 40_000 + np.arange(9000), np.zeros(9000, dtype=np.int64))
    frail = [late.frailty[NEIGHBOURHOOD_OF[district] == n].mean() for n in range(3)]
    assert frail[0] > frail[1] > frail[2]


def of_measure(name: str) -> Columns:
    _, _, table = lived()
    rows = np.flatnonzero(table["measure"] == MEASURE_INDEX[name])
    return {column: values[rows] for column, values in table.items()}


def test_smoking_and_care_need_are_told_as_they_are() -> None:
    p, encounters, _ = lived()
    told = of_measure("smoking")
    assert (told["value"] == p.smoking[told["person"]]).all()
    need = of_measure("care_need")
    assert set(need["value"]) == {0, 1, 2, 3, 4, 5}
    assert np.corrcoef(need["value"], np.log(p.frailty[need["person"]]))[0, 1] > 0.85
    grown = (encounters["start"] / DAY_MS - p.birth_day[encounters["person"]]) / 365.25 >= 18
    for name, class_, share in (
        ("smoking", AMB, 0.20),
        ("care_need", AMB, 0.35),
        ("height", AMB, 0.20),
        ("care_need", IMP, 1.0),
        ("smoking", IMP, 0.85),
    ):
        found = np.zeros(len(grown), dtype=bool)
        found[of_measure(name)["encounter"]] = True
        among = grown & (encounters["class_"] == class_)
        assert found[among].mean() == pytest.approx(share, abs=0.02), (name, class_)


def test_values_rise_with_the_disease_and_not_before() -> None:
    """Otherwise a measurement would tell of an illness to come."""
    p, _, _ = lived()
    for name, key, least in (("glucose", "diabetes", 30), ("blood_pressure", "hypertension", 6)):
        onset = p.onset_ms[:, CHRONIC_KEYS.index(key)]
        t = of_measure(name)
        fell = (onset > DAY * DAY_MS) & (onset < NEVER)
        is_late = t["at"] >= onset[t["person"]]
        before, after = fell[t["person"]] & ~is_late, fell[t["person"]] & is_late
        usual = p.glucose if name == "glucose" else p.systolic
        of_no_one_ill = t["value"] - usual[t["person"]]
        never = onset[t["person"]] == NEVER
        assert before.sum() > 50
        assert after.sum() > 50
        assert of_no_one_ill[before].mean() == pytest.approx(of_no_one_ill[never].mean(), abs=5)
        assert of_no_one_ill[after].mean() > of_no_one_ill[before].mean() + least
