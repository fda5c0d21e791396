"""The true risk of every person at the beginning of every quarter: what a model could know at best.

Follows from the rates the city draws from (``hazards``) and from what has happened until that instant. ``of`` gives one
row per person alive; a risk is null (NaN) below 18 years and for who is not at risk.

    emergency_90d          an emergency visit or an unplanned admission begins; not at risk: who is in hospital
    pneumonia_90d          an admission for pneumonia (J18.9) begins; not at risk: who is in hospital
    gastrointestinal_180d  the same of bleeding in the gut (K92.2)
    cardiovascular_5y      a first admission for heart attack or stroke (I21.4, I63.9); not at risk: who had one
    diabetes_2y            onset; not at risk: who has it
    hypertension_2y        the same
    lung_cancer_180d       diagnosis, given the reasons of all visits (``undiagnosed``); not at risk: who has it
    tuberculosis_180d      the same

**Form.** Time goes in steps; with a rate h of the event and d of death in a step of length t the risk grows by
S * h / (h + d) * (1 - exp(-(h + d) t)), where S = exp(-(sum of earlier (h + d) t)): the cumulative incidence under
competing death (Kalbfleisch and Prentice 2002, 8.2), as an event counts only before it. Age grows from step to step.

**Readmissions** count as admissions. For who was discharged within 30 days: the true risk at that discharge, less what
would have come back by now; otherwise nothing unplanned begins for 31 days. Later admissions bring back a share of
people, for reasons in the proportions of their rates, and keep them for the stay and the quiet days after.

**Outbreaks and accidents** add to everybody's emergency visits what they add in the mean over all years (``unusual``).

**Left out**: exposures to come (weather, air), whose yearly mean is 1, and weekdays; that a new lasting condition
raises other rates, but those of heart attack and stroke over five years; that a stay is longer or shorter than usual;
falling weight, which tells of lung cancer and tuberculosis. What a hospital measures is near what the rates follow from
and not the same: no model can quite reach these risks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import beta

from infra.city import hazards, rhythms, undiagnosed, unusual
from infra.city.admissions import (
    EARLIEST_RETURN_DAYS,
    IS_SEVERE,
    LATEST_RETURN_DAYS,
    QUIET_DAYS,
    RETURN_SHAPE,
    death_logit,
)
from infra.city.constitution import ADULT_AGE
from infra.city.hazards import CARDIOVASCULAR, DEATHS_AFTER_DISCHARGE, GUT_BLEEDING, PNEUMONIA, Standing
from infra.city.population import DAY_MS, NEVER, People
from infra.city.risk import RiskInputs, true_risk
from infra.city.vocabulary import CHRONIC, HOME, UNPLANNED

YEAR = 365.25
QUARTERS = ((1, 1), (4, 1), (7, 1), (10, 1))
"""Month and day of the instants (UTC midnight)."""
RISKS = (
    "emergency_90d",
    "pneumonia_90d",
    "gastrointestinal_180d",
    "cardiovascular_5y",
    "diabetes_2y",
    "hypertension_2y",
    "lung_cancer_180d",
    "tuberculosis_180d",
)
STEP_DAYS = 30
STAY_DAYS = 5.0
"""Usual length of a stay."""
USUAL_FALL = {"haemoglobin": 1.05, "sodium": 2.0}
"""How far values usually lie below the person's own at a discharge (g/dL, mmol/L), see ``admissions``."""
HOSPICE_SHARE = 0.012
SEVERE = IS_SEVERE[: len(UNPLANNED)]


def is_instant(day: int) -> bool:
    """Whether risks are told of the first instant of that day (days since 1970)."""
    when = np.datetime64(day, "D").astype(object)
    return (when.month, when.day) in QUARTERS


def of(people: People, day: int, admission_factor: float) -> dict[str, np.ndarray]:
    """``person`` (numbers of who is alive), ``at`` (ms), and RISKS."""
    alive = np.flatnonzero(people.dead_ms >= day * DAY_MS)
    now = _Now.of(people.those(alive), day, admission_factor)
    found = {
        **_admissions(now),
        "cardiovascular_5y": _cardiovascular(now),
        **{f"{key}_2y": _onset(now, key) for key in ("diabetes", "hypertension")},
        **_diagnoses(now),
    }
    grown = now.standing.age >= ADULT_AGE
    risks = {name: np.where(grown, found[name], np.nan) for name in RISKS}
    return {"person": alive, "at": np.full(len(alive), day * DAY_MS), **risks}


@dataclass(frozen=True)
class _Now:
    """What is known at an instant. returns: chance that a readmission after the last discharge is still to come;
    quiet_days: without unplanned admission otherwise; readmission: chance after a further stay."""

    people: People
    day: int
    admission_factor: float
    standing: Standing
    rates: dict[str, np.ndarray]
    death: np.ndarray
    readmission: np.ndarray
    returns: np.ndarray
    quiet_days: np.ndarray

    @classmethod
    def of(cls, people: People, day: int, admission_factor: float) -> _Now:
        standing = Standing.of(people, day)
        rates = hazards.yearly_rates(standing, admission_factor)
        since = day - people.discharged_ms / DAY_MS
        span = LATEST_RETURN_DAYS - EARLIEST_RETURN_DAYS
        to_come = people.readmission_risk * beta.sf((since - EARLIEST_RETURN_DAYS) / span, *RETURN_SHAPE)
        return cls(
            people=people,
            day=day,
            admission_factor=admission_factor,
            standing=standing,
            rates=rates,
            death=_death(standing, rates),
            readmission=_readmission(people, standing, rates),
            returns=to_come / (1 - people.readmission_risk + to_come),
            quiet_days=np.clip(QUIET_DAYS - since, 0, QUIET_DAYS),
        )

    @property
    def is_in_hospital(self) -> np.ndarray:
        return self.people.busy_until > self.day * DAY_MS

    def ageing(self, years: float) -> Standing:
        """Everybody so many years older, and otherwise the same."""
        return replace(self.standing, age=self.standing.age + years)

    def share_of(self, codes: tuple[str, ...]) -> np.ndarray:
        """Of each person's unplanned admissions, the share for some reasons."""
        total = self.rates["unplanned"].sum(axis=1)
        return hazards.of_reasons(self.rates["unplanned"], codes) / np.maximum(total, 1e-12)

    def share_free(self, step: int) -> np.ndarray:
        """Of each person, the share of that step after the quiet days."""
        return 1 - np.clip(self.quiet_days / STEP_DAYS - step, 0, 1)


def _readmission(people: People, s: Standing, rates: dict[str, np.ndarray]) -> np.ndarray:
    """True risk at the discharge from a usual unplanned stay."""
    inputs = RiskInputs(
        age_years=s.age,
        stay_days=np.full(len(people), STAY_DAYS),
        is_emergency=np.ones(len(people), dtype=bool),
        conditions=s.ill,
        emergency_visits_180d=rates["emergency_room"] * 180 / YEAR,
        stays_365d=rates["unplanned"].sum(axis=1),
        haemoglobin_g_dl=people.haemoglobin - USUAL_FALL["haemoglobin"],
        sodium_mmol_l=people.sodium - USUAL_FALL["sodium"],
        creatinine_mg_dl=people.creatinine,
        disposition=np.full(len(people), HOME),
    )
    return true_risk(inputs)


def _death(s: Standing, rates: dict[str, np.ndarray]) -> np.ndarray:
    """Deaths per person and year, in hospital and outside."""
    stays = rates["unplanned"].sum(axis=1) + rates["planned"]
    outside = rates["death"] * (1 + (DEATHS_AFTER_DISCHARGE - 1) * np.minimum(stays * 30 / YEAR, 1))
    logit = death_logit(s.age[:, None], s.ill.sum(axis=1)[:, None], SEVERE)
    inside = (rates["unplanned"] / (1 + np.exp(-logit))).sum(axis=1)
    return np.asarray(outside + inside + HOSPICE_SHARE * rates["unplanned"].sum(axis=1))


def _incidence(event: list[np.ndarray], death: list[np.ndarray], years: list[float]) -> np.ndarray:
    """Cumulative incidence under competing death; rates per year and lengths of the steps."""
    risk, gone = np.zeros(len(event[0])), np.zeros(len(event[0]))
    for h, d, t in zip(event, death, years, strict=True):
        either = np.maximum(h + d, 1e-12)
        risk += np.exp(-gone) * h / either * -np.expm1(-either * t)
        gone += either * t
    return risk


def _admissions(now: _Now) -> dict[str, np.ndarray]:
    """emergency_90d, pneumonia_90d, gastrointestinal_180d, by steps of 30 days."""
    usual, planned = now.rates["emergency_room"], now.rates["planned"]
    visits = usual + unusual.yearly_emergency_visits(usual)
    any_event: list[np.ndarray] = []
    of_code: dict[str, list[np.ndarray]] = {PNEUMONIA: [], GUT_BLEEDING: []}
    for step in range(180 // STEP_DAYS):
        fresh = _in_season(now, step) * now.share_free(step)[:, None]
        total = fresh.sum(axis=1)
        come_back = planned * now.readmission * (step > 0)
        any_event.append(visits + total + come_back)
        again = _again(now, total, step)
        for code, rates in of_code.items():
            rates.append(hazards.of_reasons(fresh, (code,)) * again)
    returns = {code: now.returns * now.share_of((code,)) for code in of_code}
    length = [STEP_DAYS / YEAR] * len(any_event)
    deaths = [now.death] * len(any_event)
    first = _incidence(any_event[:3], deaths[:3], length[:3])
    found = {
        "emergency_90d": now.returns + (1 - now.returns) * first,
        "pneumonia_90d": _or(returns[PNEUMONIA], _incidence(of_code[PNEUMONIA][:3], deaths[:3], length[:3])),
        "gastrointestinal_180d": _or(
            returns[GUT_BLEEDING], _incidence(of_code[GUT_BLEEDING], deaths, length)
        ),
    }
    return {name: np.where(now.is_in_hospital, np.nan, risk) for name, risk in found.items()}


def _in_season(now: _Now, step: int) -> np.ndarray:
    """Rates of unplanned admissions by reason in that step."""
    season = rhythms.mean_season(now.day + step * STEP_DAYS, STEP_DAYS)
    return now.rates["unplanned"] * np.where([r.is_respiratory for r in UNPLANNED], season, 1.0)


def _again(now: _Now, unplanned: np.ndarray, step: int | None = None) -> np.ndarray:
    """What multiplies fresh admissions for a reason: readmissions come in addition, and stays and quiet days keep
    people from fresh ones. In the first step half of both has come about."""
    stays = unplanned + now.rates["planned"]
    kept = stays * (STAY_DAYS + QUIET_DAYS * (1 - now.readmission)) / YEAR
    free = 1 / (1 + kept)
    more = now.readmission / (1 - now.readmission) * (unplanned * free + now.rates["planned"])
    factor = free + more / np.maximum(unplanned, 1e-12)
    return np.where(unplanned > 0, (1 + factor) / 2 if step == 0 else factor, 1.0)


def _cardiovascular(now: _Now) -> np.ndarray:
    """By steps of a year: older by its middle, with the further lasting conditions to be expected by then."""
    further = (
        hazards.onsets(now.standing) * (now.people.onset_ms == NEVER) @ [c.admission - 1 for c in CHRONIC]
    )
    events, deaths = [], []
    for year in range(5):
        s = now.ageing(year + 0.5)
        fresh = hazards.unplanned(s, now.admission_factor) * (1 + further * (year + 0.5))[:, None]
        again = _again(now, fresh.sum(axis=1))
        events.append(hazards.of_reasons(fresh, CARDIOVASCULAR) * again)
        deaths.append(_death(s, {**now.rates, "unplanned": fresh, "death": hazards.death(s)}))
    risk = _incidence(events, deaths, [1.0] * 5)
    risk = _or(now.returns * now.share_of(CARDIOVASCULAR), risk)
    return np.where(now.people.cardiovascular_ms < now.day * DAY_MS, np.nan, risk)


def _further(now: _Now) -> np.ndarray:
    """By how much the rate of heart attack and stroke is expected to grow in a year with new lasting conditions, as a
    share: of each, the chance that it begins times what it adds."""
    s, usual = now.standing, hazards.of_reasons(now.rates["unplanned"], CARDIOVASCULAR)
    begins = hazards.onsets(s) * (now.people.onset_ms == NEVER)
    growth = np.zeros(len(usual))
    for i in range(len(CHRONIC)):
        then = hazards.unplanned(s.falling_ill(i), now.admission_factor)
        growth += begins[:, i] * (hazards.of_reasons(then, CARDIOVASCULAR) / np.maximum(usual, 1e-12) - 1)
    return growth


def _onset(now: _Now, key: str) -> np.ndarray:
    """By the months in which the city draws onsets, within 730 days."""
    rate_of = {"diabetes": hazards.diabetes_onset, "hypertension": hazards.hypertension_onset}[key]
    month = undiagnosed.MONTH
    days = np.arange(-(-now.day // month) * month, now.day + 730, month)
    risk, left, before = np.zeros(len(now.people)), np.ones(len(now.people)), now.day
    for day in days.tolist():
        years = (day - now.day) / YEAR
        left *= np.exp(-now.death * (day - before) / YEAR)
        falls = rate_of(now.ageing(years)) * month / YEAR
        risk += left * falls
        left *= 1 - falls
        before = day
    return np.where(now.standing.has(key), np.nan, risk)


def _diagnoses(now: _Now) -> dict[str, np.ndarray]:
    """Of each of HIDDEN within 180 days; death by then at its usual rate."""
    s, places = now.standing, undiagnosed.PLACES
    rates = np.stack([hazards.lung_cancer_onset(s), hazards.tuberculosis_onset(s)], axis=1)
    is_diagnosed = s.ill[:, places]
    if_alive = undiagnosed.diagnosis_within(rates, now.people.evidence, is_diagnosed, now.day, 180)
    risks = np.where(is_diagnosed, np.nan, if_alive * np.exp(-now.death * 90 / YEAR)[:, None])
    return {f"{hidden.key}_180d": risks[:, h] for h, hidden in enumerate(undiagnosed.HIDDEN)}


def _or(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Chance of one or the other of two independent events."""
    return one + (1 - one) * other
