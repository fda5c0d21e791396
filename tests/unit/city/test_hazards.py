"""The rates of the city: published forms, kept means, and what they depend on."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from infra.city import hazards, undiagnosed
from infra.city.constitution import DAILY_SMOKER, NEVER_SMOKER
from infra.city.hazards import CARDIOVASCULAR, GUT_BLEEDING, PNEUMONIA, UNPLANNED_CODES, Standing
from infra.city.population import NEVER, People, make_people
from infra.city.vocabulary import CHRONIC, CHRONIC_KEYS, OUTPATIENT_VISIT, UNPLANNED

DAY = 20_000
REASONS = {"pneumonia": (PNEUMONIA,), "cardiovascular": CARDIOVASCULAR, "bleeding": (GUT_BLEEDING,)}


@cache
def people() -> People:
    return make_people(40_000, np.random.default_rng(8), DAY, seed=5)


@cache
def standing() -> Standing:
    return Standing.of(people(), DAY)


def somebody(**differing: object) -> Standing:
    """One man of 60 without any condition."""
    usual = {
        "age": 60.0,
        "sex": 1,
        "smoking": NEVER_SMOKER,
        "frailty": 1.0,
        "bmi": 26.0,
        "glucose": 97.0,
        "systolic": 125.0,
        "cholesterol": 190.0,
        "hdl": 50.0,
        "haemoglobin": 14.0,
    }
    ill = np.isin(CHRONIC_KEYS, differing.pop("ill", ()))
    return Standing(ill=ill[None], **{name: np.array([v]) for name, v in {**usual, **differing}.items()})


def test_the_framingham_equation_gives_its_published_example() -> None:
    """D'Agostino and others 2008, case 1: a woman of 61, cholesterol 180, HDL 47, untreated 124, smokes: 10.48 %."""
    woman = somebody(age=61.0, sex=0, cholesterol=180.0, hdl=47.0, systolic=124.0, smoking=DAILY_SMOKER)
    assert 1 - np.exp(-10 * hazards.framingham(woman)[0]) == pytest.approx(0.1048, abs=5e-4)


def test_the_city_has_as_many_admissions_and_onsets_as_with_means_alone() -> None:
    s = standing()
    rates = hazards.unplanned(s, 1.0)
    base = 0.094 * np.exp(0.014 * s.adult_years) * s.burden * s.frailty
    weights = np.tile([r.weight for r in UNPLANNED], (len(base), 1))
    for j, reason in enumerate(UNPLANNED):
        if reason.chronic:
            weights[s.has(reason.chronic), j] *= reason.boost
    before = base[:, None] * weights / weights.sum(axis=1, keepdims=True)
    assert rates.mean(axis=0) == pytest.approx(before.mean(axis=0), rel=0.12)
    assert rates.sum() == pytest.approx(before.sum(), rel=0.03)
    onsets = hazards.onsets(s)
    for key in ("diabetes", "hypertension", "copd"):
        i, free = CHRONIC_KEYS.index(key), ~s.has(key) & (s.age >= 18)
        usual = hazards.ONSET_SHARE * hazards.prevalence(CHRONIC[i], s.age[free])
        assert onsets[free, i].sum() == pytest.approx(usual.sum(), rel=0.08), key
    grown = s.age >= 18
    lung, tuberculosis = (
        onsets[grown, CHRONIC_KEYS.index(k)].mean() for k in ("lung_cancer", "tuberculosis")
    )
    assert 0.0005 < lung < 0.002
    assert tuberculosis < lung / 2
    assert (onsets[~grown] == 0).all()


@pytest.mark.parametrize(
    ("what", "worse"),
    [
        ("pneumonia", {"age": 80.0}),
        ("pneumonia", {"smoking": DAILY_SMOKER}),
        ("pneumonia", {"frailty": 2.0}),
        ("pneumonia", {"ill": ("copd",)}),
        ("cardiovascular", {"systolic": 150.0}),
        ("cardiovascular", {"cholesterol": 240.0}),
        ("cardiovascular", {"hdl": 35.0}),
        ("cardiovascular", {"smoking": DAILY_SMOKER}),
        ("cardiovascular", {"ill": ("diabetes",)}),
        ("cardiovascular", {"ill": ("atrial_fibrillation",)}),
        ("bleeding", {"haemoglobin": 10.0}),
        ("bleeding", {"ill": ("liver",)}),
        ("bleeding", {"ill": ("atrial_fibrillation",)}),
        ("diabetes", {"bmi": 32.0}),
        ("diabetes", {"glucose": 115.0}),
        ("diabetes", {"ill": ("hypertension",)}),
        ("hypertension", {"systolic": 138.0}),
        ("hypertension", {"smoking": DAILY_SMOKER}),
        ("hypertension", {"ill": ("kidney",)}),
        ("copd", {"smoking": DAILY_SMOKER}),
        ("lung_cancer", {"smoking": DAILY_SMOKER}),
        ("lung_cancer", {"ill": ("copd",)}),
        ("tuberculosis", {"frailty": 2.0}),
    ],
)
def test_what_raises_a_rate(what: str, worse: dict[str, object]) -> None:
    def rate(s: Standing) -> float:
        if what in REASONS:
            return float(hazards.of_reasons(hazards.unplanned(s, 1.0), REASONS[what])[0])
        return float(hazards.onsets(s)[0, CHRONIC_KEYS.index(what)])

    assert rate(somebody(**worse)) > 1.15 * rate(somebody())


def test_falling_ill_is_as_having_been_ill() -> None:
    """Of hypertension comes the pressure that goes with it."""
    s, i = standing(), CHRONIC_KEYS.index("hypertension")
    new = s.falling_ill(i)
    had = s.has("hypertension")
    assert new.has("hypertension").all()
    assert not (s.systolic[had] != new.systolic[had]).any()
    assert (new.systolic - s.systolic)[~had] == pytest.approx(12)
    other = replace(s, ill=new.ill)
    others = [j for j, code in enumerate(UNPLANNED_CODES) if code not in CARDIOVASCULAR]
    assert np.array_equal(hazards.unplanned(other, 1.0)[:, others], hazards.unplanned(new, 1.0)[:, others])


def test_symptoms_tell_of_a_disease_and_silence_against_it() -> None:
    usual = np.array([[r.weight for r in OUTPATIENT_VISIT]])
    codes = [r.code for r in OUTPATIENT_VISIT]
    blood, ankle = (
        undiagnosed.ratios(usual, np.array([codes.index(code)]))[0] for code in ("R04.2", "L30.9")
    )
    assert (blood > np.log(10)).all()
    assert (ankle < blood - np.log(10)).all()
    mean = np.exp([undiagnosed.ratios(usual, np.array([n]))[0] for n in range(len(codes))])
    shares = usual[0] / usual.sum()
    assert shares @ mean == pytest.approx(undiagnosed.VISITS_TIMES), (
        "a visit is as much likelier as there are more"
    )
    assert undiagnosed.of_a_day(np.array([0.01]))[0] < 0


def test_the_chance_of_a_diagnosis_without_evidence_is_that_of_new_symptoms() -> None:
    """Of 1,000,000 people drawn month by month, without visits to tell them apart."""
    rng, rate, day = np.random.default_rng(1), 0.3, 20_010
    starts = np.arange(20_010 - 10 * 30, 20_010 + 180, 30)
    symptoms = np.full(1_000_000, NEVER)
    for start in starts:
        falls = (rng.random(len(symptoms)) < rate * 30 / 365.25) & (symptoms == NEVER)
        symptoms[falls] = start
    found = symptoms + undiagnosed.days_to_diagnosis(len(symptoms), rng)
    open_ = found >= day
    share = (open_ & (found < day + 180) & (symptoms < NEVER)).sum() / open_.sum()
    rates, nobody = np.array([[rate, 1e-9]]), np.zeros((1, 2), dtype=bool)
    evidence = np.zeros((1, 2, undiagnosed.COHORTS), dtype=np.float32)
    told = undiagnosed.diagnosis_within(rates, evidence, nobody, day, 180)[0, 0]
    assert told == pytest.approx(share, rel=0.06), "a rate so high that onsets compete; rare ones do not"
    unseen = undiagnosed.diagnosis_within(rates, undiagnosed.no_evidence(1), nobody, day, 180)[0, 0]
    assert unseen < told / 2


def test_what_one_disease_explains_speaks_less_for_the_other() -> None:
    evidence = np.full((1, 2, undiagnosed.COHORTS), 6.0, dtype=np.float32)
    nobody = np.zeros((1, 2), dtype=bool)

    def tuberculosis(lung_cancer_rate: float, is_diagnosed: np.ndarray) -> float:
        rates = np.array([[lung_cancer_rate, 0.0003]])
        return float(undiagnosed.diagnosis_within(rates, evidence, is_diagnosed, 20_000, 180)[0, 1])

    assert tuberculosis(0.01, nobody) < 0.8 * tuberculosis(1e-9, nobody)
    assert tuberculosis(0.01, np.array([[True, False]])) < 0.1 * tuberculosis(0.01, nobody)


def test_weight_falls_until_the_diagnosis() -> None:
    p = people().those(np.arange(2))
    place, day_ms = undiagnosed.PLACES[0], 86_400_000
    p.symptoms_ms[0, 0], p.onset_ms[0, place] = DAY * day_ms, (DAY + 100) * day_ms
    who = np.array([0, 0, 0, 0, 1])
    at = (DAY + np.array([-10, 50, 100, 300, 300])) * day_ms
    share = p.usual_weight(who, at) / p.weight[who]
    assert share == pytest.approx([1, 0.96, 0.92, 0.92, 1])
    assert p.has_symptoms((DAY + 99) * day_ms)[0, 0]
    assert not p.has_symptoms((DAY + 100) * day_ms)[0, 0]
