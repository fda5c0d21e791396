"""Inpatient stays, settled on the day they begin: length, laboratory, way home, transfers, true risk, drawn
outcome.

The label agrees with the draw by construction:

* Drawn "readmitted": the person comes back, unplanned, to the *same hospital* between 1.25 and 29.5 days
  after the discharge, is alive until then and is admitted nowhere else before.
* Drawn "not readmitted": no unplanned admission anywhere for 31 days. A planned admission (priority EL) may
  fall into that time, from day 11; if the stay it starts is itself drawn "readmitted", that readmission waits
  until the 31 days are over and still lies within 30 days of its own discharge.
* An *index stay* ends alive, not in hospice care and not by transfer out. Two encounters of one stay within a
  hospital (the first ends with ``other-hcf``, the second starts with ``hosp-trans`` at that moment) are one
  stay, whose discharge is that of the second. After a transfer to another hospital, the stay there is the
  index stay of that hospital; the first hospital has none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.city.population import DAY_MS, HOSPITAL_COUNT, NEVER, People
from infra.city.risk import RiskInputs, true_risk
from infra.city.vocabulary import (
    AGAINST_ADVICE,
    CHRONIC_KEYS,
    DIED,
    ELECTIVE,
    EMD,
    EMERGENCY,
    GP,
    HOME,
    HOSPICE,
    IMP,
    OUTPATIENT,
    REASONS,
    REHAB,
    SNF,
    TRANSFER_IN,
    TRANSFER_OUT,
    URGENT,
)

HOUR_MS = 3_600_000
QUIET_DAYS = 31.0
EARLIEST_RETURN_DAYS, LATEST_RETURN_DAYS = 1.25, 29.5
RETURN_SHAPE = (0.95, 1.5)
"""Of the beta distribution of the days until a return, from the earliest to the latest."""
REASON_CODES = np.array([r.code for r in REASONS])
REASON_DAYS = np.array([r.days for r in REASONS])
_BLEEDING = np.isin(REASON_CODES, ["K92.2", "S72.001A", "M16.11", "M17.11"])
IS_SEVERE = np.isin(REASON_CODES, ["A41.9", "I63.9", "I50.23", "C78.00", "I21.4"])
_LEARNING_TO_WALK = np.isin(REASON_CODES, ["I63.9", "S72.001A", "M16.11", "M17.11"])
_SPREAD_CANCER = REASON_CODES == "C78.00"
_LOW_SODIUM = REASON_CODES == "E87.1"
_FAILING_KIDNEY = REASON_CODES == "N17.9"
Events = dict[int, list[int]]
Table = dict[str, np.ndarray]


@dataclass(frozen=True)
class Arrivals:
    """Who is admitted today; one element per admission. start in ms, reason indexes REASONS, ill is arrivals
    x lasting conditions."""

    who: np.ndarray
    hospital: np.ndarray
    start: np.ndarray
    reason: np.ndarray
    planned: np.ndarray
    age: np.ndarray
    ill: np.ndarray

    def __len__(self) -> int:
        return len(self.who)


@dataclass(frozen=True)
class Stays:
    """How the stays go on and end. second_start is -1 without a transfer; known_start and last_hospital
    belong to the part that ends in the discharge; laboratory is (haemoglobin g/dL, sodium mmol/L, creatinine
    mg/dL)."""

    end: np.ndarray
    disposition: np.ndarray
    second_start: np.ndarray
    second_hospital: np.ndarray
    is_away: np.ndarray
    known_start: np.ndarray
    last_hospital: np.ndarray
    laboratory: tuple[np.ndarray, np.ndarray, np.ndarray]

    @property
    def is_split(self) -> np.ndarray:
        return self.second_start >= 0


@dataclass(frozen=True)
class Outcomes:
    """Of each stay: its true risk and what it was computed from, whether it is an index stay, and the
    draw."""

    inputs: RiskInputs
    risk: np.ndarray
    is_index: np.ndarray
    readmitted: np.ndarray
    due: np.ndarray


def settle_stays(people: People, a: Arrivals, rng: np.random.Generator) -> Stays:
    """Everything about the stays but the outcome after discharge."""
    count, burden = len(a), a.ill.sum(axis=1)
    days = REASON_DAYS[a.reason] * np.exp(rng.normal(0, 0.5, count) + 0.004 * (a.age - 60) + 0.04 * burden)
    end = a.start + (np.clip(days, 0.7, 45) * DAY_MS).astype(np.int64)
    end = end - end % DAY_MS + (rng.uniform(9, 18, count) * HOUR_MS).astype(np.int64)
    end = np.where(end - a.start < 12 * HOUR_MS, end + DAY_MS, end)
    second_start, second_hospital = _transfers(people, a, end, rng)
    is_away = (second_start >= 0) & (second_hospital != a.hospital)
    return Stays(
        end=end,
        disposition=_ways_home(a, burden, rng),
        second_start=second_start,
        second_hospital=second_hospital,
        is_away=is_away,
        known_start=np.where(is_away, second_start, a.start),
        last_hospital=np.where(is_away, second_hospital, a.hospital).astype(np.int8),
        laboratory=_last_values(people, a, rng),
    )


def draw_outcomes(
    people: People, a: Arrivals, s: Stays, visits: Events, stays: Events, rng: np.random.Generator
) -> Outcomes:
    """The true risk at each discharge, and the readmission drawn from it."""
    count = len(a)
    inputs = RiskInputs(
        age_years=(s.end / DAY_MS - people.birth_day[a.who]) / 365.25,
        stay_days=(s.end - s.known_start) / DAY_MS,
        is_emergency=~a.planned,
        conditions=a.ill,
        emergency_visits_180d=_count_before(visits, a.who, s.last_hospital, s.known_start, 180),
        stays_365d=_count_before(stays, a.who, s.last_hospital, s.known_start, 365),
        haemoglobin_g_dl=s.laboratory[0],
        sodium_mmol_l=s.laboratory[1],
        creatinine_mg_dl=s.laboratory[2],
        disposition=s.disposition,
    )
    risk = true_risk(inputs)
    is_index = (s.disposition != DIED) & (s.disposition != HOSPICE)
    readmitted = is_index & (rng.random(count) < risk)
    span = LATEST_RETURN_DAYS - EARLIEST_RETURN_DAYS
    after = EARLIEST_RETURN_DAYS + span * rng.beta(*RETURN_SHAPE, count)
    due = s.end + (after * DAY_MS).astype(np.int64)
    earliest = people.quiet_until[a.who] + 6 * HOUR_MS
    latest = s.end + int(LATEST_RETURN_DAYS * DAY_MS)
    put_off = earliest + (rng.random(count) * (latest - earliest)).astype(np.int64)
    return Outcomes(inputs, risk, is_index, readmitted, np.where(due < earliest, put_off, due))


def encounter_rows(a: Arrivals, s: Stays, numbers: np.ndarray, rng: np.random.Generator) -> list[Table]:
    """Encounters of the stays: the first parts, then the second parts of those transferred."""
    count = len(a)
    haemoglobin, sodium, creatinine = s.laboratory
    first_end = np.where(s.is_away, s.second_start - HOUR_MS, s.second_start)
    first: Table = {
        "person": a.who,
        "hospital": a.hospital,
        "class_": np.full(count, IMP),
        "start": a.start,
        "end": np.where(s.is_split, first_end, s.end),
        "priority": np.where(a.planned, ELECTIVE, np.where(rng.random(count) < 0.55, EMERGENCY, URGENT)),
        "reason": a.reason,
        "admit_source": np.where(a.planned, OUTPATIENT, np.where(rng.random(count) < 0.75, EMD, GP)),
        "disposition": np.where(s.is_split, TRANSFER_OUT, s.disposition),
        "stay": numbers,
        "haemoglobin": np.where(
            s.is_split, np.round(haemoglobin + rng.normal(0, 0.4, count), 1), haemoglobin
        ),
        "sodium": np.where(s.is_split, sodium - 1, sodium),
        "creatinine": creatinine,
    }
    whole_second: Table = {
        **first,
        "hospital": s.second_hospital,
        "start": s.second_start,
        "end": s.end,
        "admit_source": np.full(count, TRANSFER_IN),
        "disposition": s.disposition,
        "haemoglobin": haemoglobin,
        "sodium": sodium,
    }
    rows = np.flatnonzero(s.is_split)
    return [first, {name: values[rows] for name, values in whole_second.items()}]


def index_rows(a: Arrivals, s: Stays, o: Outcomes, numbers: np.ndarray) -> Table:
    """The index stays among them. ``conditions`` becomes a bit mask over CHRONIC_KEYS."""
    columns: Table = {
        "stay": numbers,
        "person": a.who,
        "hospital": s.last_hospital,
        "admitted": s.known_start,
        "discharged": s.end,
        "true_risk": o.risk,
        "readmitted": o.readmitted,
        "readmission_due": np.where(o.readmitted, o.due, -1),
        **vars(o.inputs),
        "conditions": (a.ill * (1 << np.arange(len(CHRONIC_KEYS)))).sum(axis=1),
    }
    rows = np.flatnonzero(o.is_index)
    return {name: values[rows] for name, values in columns.items()}


def _transfers(
    people: People, a: Arrivals, end: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Second start (ms, -1 for none) and its hospital. Of the longer unplanned stays 3 % move within the
    hospital, and 10 % of people known elsewhere move there."""
    count = len(a)
    long = ~a.planned & (end - a.start > 2.5 * DAY_MS)
    known = people.known[a.who].copy()
    known[np.arange(count), a.hospital] = False
    away = long & known.any(axis=1) & (rng.random(count) < 0.10)
    within = long & ~away & (rng.random(count) < 0.03)
    middle = a.start + ((end - a.start) * rng.uniform(0.3, 0.6, count)).astype(np.int64)
    other = np.where(known, rng.random((count, HOSPITAL_COUNT)), -1.0).argmax(axis=1)
    return np.where(away | within, middle, -1), np.where(away, other, a.hospital).astype(np.int8)


def _last_values(
    people: People, a: Arrivals, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Last haemoglobin (g/dL), sodium (mmol/L), creatinine (mg/dL) of each stay, as the laboratory reports
    them."""
    count = len(a)
    failing = a.ill[:, CHRONIC_KEYS.index("heart_failure")]
    haemoglobin = people.haemoglobin[a.who] - rng.gamma(1.4, 0.75, count) * np.where(a.planned, 0.5, 1.0)
    haemoglobin -= 1.3 * _BLEEDING[a.reason]
    sodium = people.sodium[a.who] - rng.gamma(1.2, 1.7, count) * np.where(a.planned, 0.4, 1.0)
    sodium -= 2.2 * failing + 5.0 * _LOW_SODIUM[a.reason]
    creatinine = people.creatinine[a.who] * np.exp(rng.normal(0.05, 0.2, count))
    creatinine += 0.7 * _FAILING_KIDNEY[a.reason]
    return (
        np.round(np.clip(haemoglobin, 5.5, 18.5), 1),
        np.round(np.clip(sodium, 116, 150)),
        np.round(np.clip(creatinine, 0.3, 9.0), 2),
    )


def _ways_home(a: Arrivals, burden: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Index into DISPOSITIONS: deaths and hospice rise with age and illness, nursing care with age."""
    died = death_logit(a.age, burden, IS_SEVERE[a.reason]) - 2.5 * a.planned
    nursing = -3.2 + 0.07 * (a.age - 72) - 1.0 * a.planned
    hospice = np.where(a.planned, 0.0, 0.008 + 0.06 * _SPREAD_CANCER[a.reason] + 0.012 * (a.age > 80))
    draw = rng.random((5, len(a)))
    way = np.full(len(a), HOME)
    way = np.where(draw[0] < 1 / (1 + np.exp(-nursing)), SNF, way)
    way = np.where(draw[1] < np.where(_LEARNING_TO_WALK[a.reason], 0.3, 0.01), REHAB, way)
    way = np.where((draw[2] < 0.015) & ~a.planned, AGAINST_ADVICE, way)
    way = np.where(draw[3] < hospice, HOSPICE, way)
    return np.where(draw[4] < 1 / (1 + np.exp(-died)), DIED, way)


def death_logit(age: np.ndarray, burden: np.ndarray, is_severe: np.ndarray) -> np.ndarray:
    """Of dying in an unplanned stay: by age in years, number of lasting conditions and the reason."""
    return np.asarray(-4.9 + 0.03 * (age - 65) + 0.12 * burden + 1.1 * is_severe)


def _count_before(
    events: Events, who: np.ndarray, hospital: np.ndarray, before_ms: np.ndarray, days: int
) -> np.ndarray:
    """Events of each person at that hospital in [before - days, before)."""
    counts = np.zeros(len(who), dtype=np.int64)
    keys = (who * HOSPITAL_COUNT + hospital).tolist()
    for i, (key, before) in enumerate(zip(keys, before_ms.tolist(), strict=True)):
        counts[i] = sum(before - days * DAY_MS <= at < before for at in events.get(key, ()))
    return counts


def add_events(events: Events, who: np.ndarray, hospital: np.ndarray, at: np.ndarray) -> None:
    """Remember when something happened to people at hospitals."""
    keys = (who * HOSPITAL_COUNT + hospital).tolist()
    for key, time in zip(keys, at.tolist(), strict=True):
        events.setdefault(key, []).append(time)


def apply_outcomes(people: People, a: Arrivals, s: Stays, o: Outcomes) -> None:
    """What the stays mean for the days to come; deaths are the caller's."""
    people.busy_until[a.who] = s.end
    people.discharged_ms[a.who] = s.end
    people.quiet_until[a.who] = np.where(
        o.readmitted, people.quiet_until[a.who], s.end + int(QUIET_DAYS * DAY_MS)
    )
    people.readmission_ms[a.who] = np.where(o.readmitted, o.due, NEVER)
    people.readmission_hospital[a.who] = np.where(o.readmitted, s.last_hospital, -1)
    people.readmission_risk[a.who] = np.where(o.is_index, o.risk, 0.0)
