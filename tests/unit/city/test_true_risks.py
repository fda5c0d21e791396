"""The published risks are those that the city draws from: they come true as often as they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from infra.city import true_risks
from infra.city.constitution import PHENOTYPES
from infra.city.people_notes import rules
from infra.city.simulation import Columns, World
from infra.city.surroundings.clock import DAY_MS, day_of
from infra.city.true_risks import RISKS
from infra.city.vocabulary import ATC, CHRONIC_KEYS, ELECTIVE, EMER, ICD10, IMP, REASONS, TRANSFER_IN
from tests.unit.city.test_population import key

HORIZON_DAYS = {"90d": 90, "180d": 180, "2y": 730, "5y": 1826}
ADMISSIONS = {
    "pneumonia_90d": ("J18.9",),
    "gastrointestinal_180d": ("K92.2",),
    "cardiovascular_5y": ("I21.4", "I63.9"),
}
SLACK, SLACK_OF_YEARS = 0.02, 0.05
"""What the forms leave out may shift a mean so far (share of it); over five years more."""


@dataclass(frozen=True)
class Lived:
    """A world after its days, and what happened in them."""

    world: World
    risks: list[Columns]
    encounters: Columns
    last_day: int


def live(population: int, first: int, last: int, seed: int) -> Lived:
    world = World(seed, admission_factor=1.0, day=first)
    world.settle(population)
    encounters, _ = world.live(last - first)
    return Lived(world, world.true_risks, encounters, last)


def horizon_ms(name: str) -> int:
    return HORIZON_DAYS[name.rsplit("_", 1)[1]] * DAY_MS


def outcomes(lived: Lived, name: str, risks: Columns) -> np.ndarray:
    """Who of the people of ``risks`` had the event within its horizon."""
    at, who = int(risks["at"][0]), risks["person"]
    until, p, e = at + horizon_ms(name), lived.world.people, lived.encounters
    if name in ADMISSIONS or name == "emergency_90d":
        begins = (e["start"] >= at) & (e["start"] < until)
        unplanned = (e["class_"] == IMP) & (e["priority"] != ELECTIVE) & (e["admit_source"] != TRANSFER_IN)
        if name == "emergency_90d":
            counts = unplanned | (e["class_"] == EMER)
        else:
            counts = unplanned & np.isin(np.array([r.code for r in REASONS])[e["reason"]], ADMISSIONS[name])
        return np.isin(who, e["person"][begins & counts])
    onset = p.onset_ms[who, CHRONIC_KEYS.index(name.rsplit("_", 1)[0])]
    return (onset >= at) & (onset < until) & (onset <= p.dead_ms[who])


def apart(lived: Lived, name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Risks and outcomes of people at risk, at instants whose horizons do not overlap."""
    free_from = 0
    for risks in lived.risks:
        at = int(risks["at"][0])
        if at >= free_from and at + horizon_ms(name) <= lived.last_day * DAY_MS:
            free_from = at + horizon_ms(name)
            is_at_risk = ~np.isnan(risks[name])
            yield risks[name][is_at_risk], outcomes(lived, name, risks)[is_at_risk]


def come_true(lived: Lived, name: str, least_events: int) -> None:
    """The mean, and that of each tenth of people by risk, within sampling error and SLACK."""
    found = list(apart(lived, name))
    risk, outcome = (np.concatenate(part) for part in zip(*found, strict=True))
    assert outcome.sum() >= least_events
    spread = np.sqrt((risk * (1 - risk)).sum())
    slack = SLACK_OF_YEARS if name.endswith("5y") else SLACK
    assert abs(outcome.sum() - risk.sum()) < 3 * spread + slack * risk.sum(), name
    tenth = np.argsort(np.argsort(risk, kind="stable"), kind="stable") * 10 // len(risk)
    for n in range(10):
        expected, mine = risk[tenth == n].sum(), outcome[tenth == n].sum()
        assert abs(mine - expected) < 4 * np.sqrt(expected) + 2 * slack * expected + 1, (name, n)
    assert roc_auc_score(outcome, risk) > 0.7, name


@cache
def two_years() -> Lived:
    return live(9000, day_of(2023, 12, 1), day_of(2025, 7, 1), seed=6)


@pytest.mark.parametrize(
    ("name", "least"), [("emergency_90d", 3000), ("pneumonia_90d", 200), ("gastrointestinal_180d", 100)]
)
def test_risks_of_the_coming_months_come_true(name: str, least: int) -> None:
    come_true(two_years(), name, least)


@pytest.mark.slow
def test_all_risks_come_true_in_a_large_city() -> None:
    lived = live(24_000, day_of(2018, 12, 20), day_of(2026, 1, 1), seed=12)
    for name, least in zip(RISKS, (30_000, 2500, 1200, 1500, 800, 1200, 80, 8), strict=True):
        come_true(lived, name, least)


def test_nobody_has_a_risk_of_what_has_happened_or_as_a_child() -> None:
    lived = two_years()
    p = lived.world.people
    for risks in lived.risks:
        at, who = int(risks["at"][0]), risks["person"]
        grown = p.age_years(at // DAY_MS)[who] >= 18
        assert (p.dead_ms[who] >= at).all()
        for name in RISKS:
            is_at_risk = ~np.isnan(risks[name])
            assert not is_at_risk[~grown].any()
            assert (risks[name][is_at_risk] > 0).all()
            assert (risks[name][is_at_risk] < 1).all()
        for key_ in ("diabetes", "hypertension"):
            has = p.onset_ms[who, CHRONIC_KEYS.index(key_)] < at
            assert np.isnan(risks[f"{key_}_2y"][has]).all()
            assert not np.isnan(risks[f"{key_}_2y"][~has & grown]).any()
        struck = p.cardiovascular_ms[who] < at
        assert np.isnan(risks["cardiovascular_5y"][struck]).all()


def test_risks_know_nothing_of_what_comes() -> None:
    """Days lived later change nothing, and neither does whether they are lived one by one."""
    first = day_of(2024, 3, 1)
    once, daily = (World(9, admission_factor=3.0, day=first) for _ in range(2))
    for world in (once, daily):
        world.settle(400)
    once.live(400)
    told = []
    for _ in range(130):
        daily.live(1)
        told += daily.true_risks
    assert [int(r["at"][0]) // DAY_MS for r in told] == [day_of(2024, 4, 1), day_of(2024, 7, 1)]
    for early, late in zip(told, once.true_risks, strict=False):
        for name in early:
            assert np.array_equal(early[name], late[name], equal_nan=name in RISKS), name


def test_a_discharge_raises_the_risk_of_an_emergency_and_a_stay_ends_it() -> None:
    world = World(2, admission_factor=1.0, day=day_of(2025, 1, 1))
    world.settle(3000)
    day = world.day
    usual = true_risks.of(world.people, day, 1.0)["emergency_90d"]
    grown = np.flatnonzero(~np.isnan(usual))[:3]
    world.people.discharged_ms[grown] = np.array([day - 2, day - 29, day - 200]) * DAY_MS
    world.people.readmission_risk[grown] = 0.3
    later = true_risks.of(world.people, day, 1.0)["emergency_90d"]
    assert later[grown[0]] > usual[grown[0]] + 0.15
    assert later[grown[0]] < usual[grown[0]] + 0.3
    assert later[grown[1]] < usual[grown[1]] + 0.01, "who has not come back in 29 days does not"
    assert later[grown[2]] == pytest.approx(usual[grown[2]])
    world.people.busy_until[grown] = (day + 3) * DAY_MS
    assert np.isnan(true_risks.of(world.people, day, 1.0)["emergency_90d"][grown]).all()


def test_in_a_city_without_admissions_nobody_is_at_risk_of_one() -> None:
    world = World(2, admission_factor=0.0, day=day_of(2025, 1, 1))
    world.settle(300)
    found = true_risks.of(world.people, world.day, 0.0)
    grown = world.people.age_years(world.day) >= 18
    assert (found["pneumonia_90d"][grown] == 0).all()
    assert (found["cardiovascular_5y"][grown] == 0).all()
    assert (found["emergency_90d"][grown] > 0).all()


def test_the_answer_key_tells_risks_phenotypes_and_rules(made_home: Path) -> None:
    told = key(made_home, "true_risks")
    instants = sorted({r["at"] for r in told})
    assert instants == [datetime(2025, m, 1, tzinfo=UTC) for m in (4, 7, 10)] + [
        datetime(2026, 1, 1, tzinfo=UTC)
    ]
    persons = {r["person_id"] for r in key(made_home, "persons")}
    assert {r["person_id"] for r in told} <= persons
    risky = [r["emergency_90d"] for r in told if r["emergency_90d"] is not None]
    assert 0.5 < len(risky) / len(told) < 0.95
    phenotypes = {r["person_id"]: r["phenotype"] for r in key(made_home, "phenotypes")}
    assert phenotypes.keys() == persons
    assert set(phenotypes.values()) == {p.key for p in PHENOTYPES}
    types = [r["type"] for r in key(made_home, "district_types")]
    assert {t: types.count(t) for t in types} == {"deprived": 4, "average": 4, "affluent": 4}
    found = {(r["antecedent"], r["consequent"]): r["kind"] for r in key(made_home, "rules")}
    assert len(found) == len(rules())
    assert found[f"{ICD10}|E11.9", f"{ATC}|A10BA02"] == "treatment"
    assert found[f"{ICD10}|J45.909", f"{ATC}|A02BC01"] == "planted"
    assert found[f"{ICD10}|E11.9", f"{ICD10}|I10"] == "companion"
    assert found[f"{ICD10}|R04.2", f"{ICD10}|C34.11"] == "symptom"
