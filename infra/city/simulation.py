"""The calendar: what happens to people, one day at a time, vectorised over everyone.

A day draws outpatient visits, emergency visits that end at home, unplanned and planned admissions, illnesses, moves, deaths
and newcomers. A stay is settled when it begins (length, last laboratory values, way home, transfers, true risk, drawn
readmission), and written as it unfolds.

The label agrees with the draw by construction:

* Drawn "readmitted": the person comes back, unplanned, to the *same hospital* between 1.25 and 29.5 days after discharge, is
  alive until then and is admitted nowhere else before.
* Drawn "not readmitted": no unplanned admission anywhere for 31 days. A planned admission (priority EL) may fall into that
  time, from day 11; if the stay it starts is itself drawn "readmitted", that readmission waits until the 31 days are over and
  still lies within 30 days of its own discharge.
* An *index stay* ends alive, not in hospice care and not by transfer out. Two encounters of one stay within a hospital (the
  first ends with ``other-hcf``, the second starts with ``hosp-trans`` when the first ends) are one stay, whose discharge is
  that of the second. After a transfer to another hospital, the stay there is the index stay of that hospital; the first
  hospital has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from infra.city.population import (
    DAY_MS,
    HOSPITAL_COUNT,
    NEVER,
    People,
    make_people,
    yearly_rates,
)
from infra.city.risk import RiskInputs, true_risk
from infra.city.vocabulary import (
    AGAINST_ADVICE,
    AMB,
    CHRONIC,
    CHRONIC_KEYS,
    DIED,
    ELECTIVE,
    EMD,
    EMER,
    EMERGENCY,
    GP,
    HOME,
    HOSPICE,
    IMP,
    NO_DISPOSITION,
    NO_SOURCE,
    OUTPATIENT,
    REASON_RANGES,
    REASONS,
    REHAB,
    ROUTINE,
    SNF,
    TRANSFER_IN,
    TRANSFER_OUT,
    URGENT,
)

HOUR_MS = 3_600_000
QUIET_DAYS = 31.0
EARLIEST_RETURN_DAYS, LATEST_RETURN_DAYS = 1.25, 29.5
NEWCOMERS_PER_YEAR = 0.015
MOVES_PER_YEAR = 0.06

ENCOUNTER_COLUMNS: dict[str, type] = {
    "person": np.int64,
    "hospital": np.int8,
    "class_": np.int8,
    "start": np.int64,
    "end": np.int64,
    "priority": np.int8,
    "reason": np.int16,
    "admit_source": np.int8,
    "disposition": np.int8,
    "stay": np.int64,
    "haemoglobin": np.float64,
    "sodium": np.float64,
    "creatinine": np.float64,
}
STAY_COLUMNS: dict[str, type] = {
    "stay": np.int64,
    "person": np.int64,
    "hospital": np.int8,
    "admitted": np.int64,
    "discharged": np.int64,
    "true_risk": np.float64,
    "readmitted": np.bool_,
    "readmission_due": np.int64,
    "age_years": np.float64,
    "stay_days": np.float64,
    "is_emergency": np.bool_,
    "emergency_visits_180d": np.int64,
    "stays_365d": np.int64,
    "haemoglobin_g_dl": np.float64,
    "sodium_mmol_l": np.float64,
    "creatinine_mg_dl": np.float64,
    "disposition": np.int8,
    "conditions": np.int64,
}
Columns = dict[str, np.ndarray]


class Ledger:
    """Rows of one table, collected a day at a time."""

    def __init__(self, columns: dict[str, type]) -> None:
        self._dtypes = columns
        self._parts: list[Columns] = []

    def add(self, **columns: np.ndarray | int | float) -> None:
        """Append rows; scalars are spread over the rows of ``person``."""
        rows = len(np.atleast_1d(columns["person"]))
        self._parts.append(
            {
                name: np.broadcast_to(np.asarray(columns[name], dtype=dtype), (rows,))
                for name, dtype in self._dtypes.items()
            }
        )

    def table(self) -> Columns:
        return {
            name: np.concatenate([p[name] for p in self._parts]) if self._parts else np.zeros(0, dtype=dtype)
            for name, dtype in self._dtypes.items()
        }


@dataclass
class World:
    """The city between two days. ``day`` is the next day to live (days since 1970).

    visits, stays: start times (ms) of emergency visits and inpatient stays by person * HOSPITAL_COUNT + hospital.
    """

    seed: int
    admission_factor: float
    day: int
    people: People
    visits: dict[int, list[int]] = field(default_factory=dict)
    stays: dict[int, list[int]] = field(default_factory=dict)
    stay_count: int = 0
    _rates: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def create(cls, seed: int, population: int, first_day: int, admission_factor: float) -> World:
        people = make_people(population, np.random.default_rng([seed, 0]), first_day)
        return cls(seed=seed, admission_factor=admission_factor, day=first_day, people=people)

    def live(self, days: int) -> tuple[Columns, Columns]:
        """Live so many days; returns the encounters and the index stays that began in them."""
        encounters, stays = Ledger(ENCOUNTER_COLUMNS), Ledger(STAY_COLUMNS)
        for _ in range(days):
            self._live_day(encounters, stays)
        return encounters.table(), stays.table()

    def _live_day(self, encounters: Ledger, stays: Ledger) -> None:
        rng = np.random.default_rng([self.seed, 1, self.day])
        day_start, day_end = self.day * DAY_MS, (self.day + 1) * DAY_MS
        self._receive_newcomers(rng)
        if self.day % 30 == 0:
            self._fall_ill(rng)
        if self.day % 30 == 0 or len(self._rates.get("death", ())) != len(self.people):
            self._rates = yearly_rates(self.people, self.day - self.day % 30, self.admission_factor)
        p, rates = self.people, self._rates
        count = len(p)
        chance = rng.random((6, count)) * 365.25

        alive = p.dead_ms >= day_end
        free = alive & (p.busy_until < day_start)
        pending = p.readmission_ms < NEVER
        since_discharge = (day_start - p.discharged_ms) / DAY_MS
        returning = alive & (p.readmission_ms >= day_start) & (p.readmission_ms < day_end)
        open_ = free & ~pending
        fragile = np.where(since_discharge < 30, 5.0, 1.0)
        dying = open_ & (chance[0] < rates["death"] * fragile)
        open_ &= ~dying
        quiet = p.quiet_until > day_start
        unplanned = open_ & ~quiet & (chance[1] < rates["unplanned"])
        planned = open_ & ~unplanned & (~quiet | (since_discharge > 11)) & (chance[2] < rates["planned"])
        visiting = free & ~dying & ~returning & ~unplanned & ~planned
        follow_up = np.where(since_discharge < 14, 5.0, 1.0)
        outpatient = np.flatnonzero(visiting & (chance[3] < rates["outpatient"] * follow_up))
        emergency_room = np.flatnonzero(visiting & (chance[4] < rates["emergency_room"]))
        moving = np.flatnonzero(alive & (chance[5] < MOVES_PER_YEAR))

        emergency_room = np.setdiff1d(emergency_room, outpatient)
        self._visit(encounters, outpatient, AMB, rng, day_start)
        self._visit(encounters, emergency_room, EMER, rng, day_start)
        self._admit(
            encounters, stays, np.flatnonzero(returning | unplanned | planned), planned, rng, day_start
        )
        self._die(
            np.flatnonzero(dying), day_start + rng.integers(20 * HOUR_MS, 23 * HOUR_MS, dying.sum()), rng
        )
        self._move(moving, rng, day_start)
        self._learn_of_deaths(day_start, day_end)
        self.day += 1

    def _receive_newcomers(self, rng: np.random.Generator) -> None:
        newcomers = int(rng.poisson(len(self.people) * NEWCOMERS_PER_YEAR / 365.25))
        if newcomers:
            self.people = self.people.joined(make_people(newcomers, rng, self.day, newcomers=True))

    def _fall_ill(self, rng: np.random.Generator) -> None:
        """New lasting conditions of the coming 30 days, at a yearly rate of 6 % of the prevalence at that age."""
        p = self.people
        age = p.age_years(self.day)
        for i, chronic in enumerate(CHRONIC):
            prevalence = 1 / (1 + np.exp(-(chronic.at60 + chronic.per10 * (age - 60) / 10)))
            falls = (
                (rng.random(len(p)) < 0.06 * prevalence * 30 / 365.25)
                & (age >= 18)
                & (p.onset_ms[:, i] == NEVER)
            )
            p.onset_ms[falls, i] = self.day * DAY_MS

    def _hospital_for(self, who: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The home hospital three times of four; otherwise another one that knows the person, if any."""
        p = self.people
        preference = rng.random((len(who), HOSPITAL_COUNT)) + 0.6 * (
            np.arange(HOSPITAL_COUNT) == p.home[who, None]
        )
        return np.where(p.known[who], preference, -1.0).argmax(axis=1).astype(np.int8)

    def _reason_for(self, who: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
        """Index into REASONS, drawn by weight; a reason that goes with a lasting condition is likelier in who has it."""
        first, last = REASON_RANGES[kind]
        ill = self.people.has(self.day * DAY_MS)[who]
        weights = np.empty((len(who), last - first))
        for j, reason in enumerate(REASONS[first:last]):
            weights[:, j] = reason.weight
            if reason.chronic:
                weights[:, j] *= np.where(ill[:, CHRONIC_KEYS.index(reason.chronic)], reason.boost, 1.0)
        cumulative = weights.cumsum(axis=1)
        drawn = rng.random(len(who)) * cumulative[:, -1]
        return first + (cumulative < drawn[:, None]).sum(axis=1)

    def _visit(
        self, encounters: Ledger, who: np.ndarray, class_: int, rng: np.random.Generator, day_start: int
    ) -> None:
        """Outpatient visits in office hours; emergency visits at any hour that end at home."""
        if not len(who):
            return
        hospital = self._hospital_for(who, rng)
        if class_ == AMB:
            start = day_start + rng.integers(8 * HOUR_MS, 17 * HOUR_MS, len(who))
            end = start + rng.integers(10, 50, len(who)) * 60_000
            kind, priority = "outpatient", np.full(len(who), ROUTINE)
        else:
            start = day_start + rng.integers(0, 24 * HOUR_MS, len(who))
            end = start + rng.integers(60, 420, len(who)) * 60_000
            kind, priority = "emergency_room", np.where(rng.random(len(who)) < 0.4, EMERGENCY, URGENT)
            self.people.busy_until[who] = end
            for key, at in zip((who * HOSPITAL_COUNT + hospital).tolist(), start.tolist(), strict=True):
                self.visits.setdefault(key, []).append(at)
        encounters.add(
            person=who,
            hospital=hospital,
            class_=class_,
            start=start,
            end=end,
            priority=priority,
            reason=self._reason_for(who, kind, rng),
            admit_source=NO_SOURCE,
            disposition=HOME if class_ == EMER else NO_DISPOSITION,
            stay=-1,
            haemoglobin=np.nan,
            sodium=np.nan,
            creatinine=np.nan,
        )

    def _admit(
        self,
        encounters: Ledger,
        stays: Ledger,
        who: np.ndarray,
        planned_by_person: np.ndarray,
        rng: np.random.Generator,
        day_start: int,
    ) -> None:
        """Admissions of the day, settled to their end."""
        if not len(who):
            return
        p, k = self.people, len(who)
        planned = planned_by_person[who]
        returning = p.readmission_ms[who] < NEVER
        age = (self.day - p.birth_day[who]) / 365.25
        ill = p.has(day_start)[who]
        burden = ill.sum(axis=1)
        hospital = np.where(returning, p.readmission_hospital[who], self._hospital_for(who, rng)).astype(
            np.int8
        )
        hour = np.where(planned, rng.uniform(7, 11, k), rng.uniform(0, 24, k))
        start = np.where(returning, p.readmission_ms[who], day_start + (hour * HOUR_MS).astype(np.int64))
        reason = np.where(
            planned, self._reason_for(who, "planned", rng), self._reason_for(who, "unplanned", rng)
        )
        typical = np.array([r.days for r in REASONS])[reason]
        days = typical * np.exp(rng.normal(0, 0.5, k) + 0.004 * (age - 60) + 0.04 * burden)
        end = start + (np.clip(days, 0.7, 45) * DAY_MS).astype(np.int64)
        end = end - end % DAY_MS + (rng.uniform(9, 18, k) * HOUR_MS).astype(np.int64)
        end = np.where(end - start < 12 * HOUR_MS, end + DAY_MS, end)

        disposition = _ways_home(age, burden, planned, reason, rng)
        second_start, second_hospital = self._transfers(who, hospital, start, end, planned, rng)
        is_split = second_start >= 0
        is_away = is_split & (second_hospital != hospital)
        last_hospital = np.where(is_split, second_hospital, hospital).astype(np.int8)
        known_start = np.where(is_away, second_start, start)
        laboratory = self._last_values(who, ill, planned, reason, rng)
        inputs = RiskInputs(
            age_years=(end / DAY_MS - p.birth_day[who]) / 365.25,
            stay_days=(end - known_start) / DAY_MS,
            is_emergency=~planned,
            conditions=ill,
            emergency_visits_180d=_count_before(self.visits, who, last_hospital, known_start, 180),
            stays_365d=_count_before(self.stays, who, last_hospital, known_start, 365),
            haemoglobin_g_dl=laboratory[0],
            sodium_mmol_l=laboratory[1],
            creatinine_mg_dl=laboratory[2],
            disposition=disposition,
        )
        risk = true_risk(inputs)
        is_index = (disposition != DIED) & (disposition != HOSPICE)
        readmitted = is_index & (rng.random(k) < risk)
        back_after = EARLIEST_RETURN_DAYS + (LATEST_RETURN_DAYS - EARLIEST_RETURN_DAYS) * rng.beta(
            0.95, 1.5, k
        )
        due = end + (back_after * DAY_MS).astype(np.int64)
        earliest = np.maximum(p.quiet_until[who] + 6 * HOUR_MS, end + int(EARLIEST_RETURN_DAYS * DAY_MS))
        latest = end + int(LATEST_RETURN_DAYS * DAY_MS)
        due = np.where(due < earliest, earliest + (rng.random(k) * (latest - earliest)).astype(np.int64), due)

        numbers = self.stay_count + np.arange(k)
        self.stay_count += k
        priority = np.where(planned, ELECTIVE, np.where(rng.random(k) < 0.55, EMERGENCY, URGENT))
        source = np.where(planned, OUTPATIENT, np.where(rng.random(k) < 0.75, EMD, GP))
        shift = rng.normal(0, 0.4, k)
        common = {"class_": IMP, "reason": reason, "priority": priority, "stay": numbers, "person": who}
        encounters.add(
            **common,
            hospital=hospital,
            start=start,
            end=np.where(is_split, np.where(is_away, second_start - HOUR_MS, second_start), end),
            admit_source=source,
            disposition=np.where(is_split, TRANSFER_OUT, disposition),
            haemoglobin=np.where(is_split, np.round(laboratory[0] + shift, 1), laboratory[0]),
            sodium=np.where(is_split, laboratory[1] - 1, laboratory[1]),
            creatinine=laboratory[2],
        )
        second = np.flatnonzero(is_split)
        encounters.add(
            **{name: np.broadcast_to(value, (k,))[second] for name, value in common.items()},
            hospital=second_hospital[second],
            start=second_start[second],
            end=end[second],
            admit_source=TRANSFER_IN,
            disposition=disposition[second],
            haemoglobin=laboratory[0][second],
            sodium=laboratory[1][second],
            creatinine=laboratory[2][second],
        )
        keep = np.flatnonzero(is_index)
        stays.add(
            stay=numbers[keep],
            person=who[keep],
            hospital=last_hospital[keep],
            admitted=known_start[keep],
            discharged=end[keep],
            true_risk=risk[keep],
            readmitted=readmitted[keep],
            readmission_due=np.where(readmitted, due, -1)[keep],
            conditions=(ill[keep] * (1 << np.arange(len(CHRONIC)))).sum(axis=1),
            **{name: value[keep] for name, value in vars(inputs).items() if name != "conditions"},
        )
        for key, at in zip((who * HOSPITAL_COUNT + hospital).tolist(), start.tolist(), strict=True):
            self.stays.setdefault(key, []).append(at)
        for i in np.flatnonzero(is_away).tolist():
            key = int(who[i]) * HOSPITAL_COUNT + int(second_hospital[i])
            self.stays.setdefault(key, []).append(int(second_start[i]))

        p.busy_until[who] = end
        p.discharged_ms[who] = end
        p.quiet_until[who] = np.where(readmitted, p.quiet_until[who], end + int(QUIET_DAYS * DAY_MS))
        p.readmission_ms[who] = np.where(readmitted, due, NEVER)
        p.readmission_hospital[who] = np.where(readmitted, last_hospital, -1)
        died, hospice = np.flatnonzero(disposition == DIED), np.flatnonzero(disposition == HOSPICE)
        self._die(who[died], end[died], rng, told_first=last_hospital[died])
        last_days = end[hospice] + (rng.uniform(1, 45, len(hospice)) * DAY_MS).astype(np.int64)
        self._die(who[hospice], last_days, rng)
        p.busy_until[who[hospice]] = last_days

    def _transfers(
        self,
        who: np.ndarray,
        hospital: np.ndarray,
        start: np.ndarray,
        end: np.ndarray,
        planned: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Second start (ms, -1 for none) and its hospital: 3 % move within, 10 % of those known elsewhere move there."""
        k = len(who)
        long = ~planned & (end - start > 2.5 * DAY_MS)
        known = self.people.known[who].copy()
        known[np.arange(k), hospital] = False
        away = long & known.any(axis=1) & (rng.random(k) < 0.10)
        within = long & ~away & (rng.random(k) < 0.03)
        share = rng.uniform(0.3, 0.6, k)
        middle = start + ((end - start) * share).astype(np.int64)
        other = np.where(known, rng.random((k, HOSPITAL_COUNT)), -1.0).argmax(axis=1)
        return np.where(away | within, middle, -1), np.where(away, other, hospital).astype(np.int8)

    def _last_values(
        self,
        who: np.ndarray,
        ill: np.ndarray,
        planned: np.ndarray,
        reason: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Last haemoglobin (g/dL), sodium (mmol/L), creatinine (mg/dL) of each stay, as the laboratory reports them."""
        p, k = self.people, len(who)
        codes = np.array([r.code for r in REASONS])[reason]
        failing = ill[:, CHRONIC_KEYS.index("heart_failure")]
        bleeding = np.isin(codes, ["K92.2", "S72.001A", "M16.11", "M17.11"])
        haemoglobin = (
            p.haemoglobin[who] - rng.gamma(1.4, 0.75, k) * np.where(planned, 0.5, 1.0) - 1.3 * bleeding
        )
        sodium = p.sodium[who] - rng.gamma(1.2, 1.7, k) * np.where(planned, 0.4, 1.0)
        sodium -= 2.2 * failing + 5.0 * (codes == "E87.1")
        creatinine = p.creatinine[who] * np.exp(rng.normal(0.05, 0.2, k)) + 0.7 * (codes == "N17.9")
        return (
            np.round(np.clip(haemoglobin, 5.5, 18.5), 1),
            np.round(np.clip(sodium, 116, 150)),
            np.round(np.clip(creatinine, 0.3, 9.0), 2),
        )

    def _die(
        self, who: np.ndarray, at: np.ndarray, rng: np.random.Generator, told_first: np.ndarray | None = None
    ) -> None:
        """Set the time of death; hospitals hear of it after 1 to 12 days, the one where it happened within the hour."""
        p = self.people
        p.dead_ms[who] = at
        p.readmission_ms[who] = NEVER
        notice = at[:, None] + rng.integers(DAY_MS, 12 * DAY_MS, (len(who), HOSPITAL_COUNT))
        if told_first is not None:
            notice[np.arange(len(who)), told_first] = at + rng.integers(10, 55, len(who)) * 60_000
        p.notice_ms[who] = np.where(p.known[who], notice, NEVER)

    def _move(self, who: np.ndarray, rng: np.random.Generator, day_start: int) -> None:
        """New address and phone; every hospital that knows the person hears of it in the course of the day."""
        p = self.people
        told = day_start + rng.integers(9 * HOUR_MS, 17 * HOUR_MS, (len(who), HOSPITAL_COUNT))
        p.moves[who] = (p.moves[who] + 1) % 64
        self._update_patients(p.known[who], who, told)

    def _learn_of_deaths(self, day_start: int, day_end: int) -> None:
        p = self.people
        who = np.flatnonzero(((p.notice_ms >= day_start) & (p.notice_ms < day_end)).any(axis=1))
        notice = p.notice_ms[who]
        self._update_patients((notice >= day_start) & (notice < day_end), who, notice)

    def _update_patients(self, touched: np.ndarray, who: np.ndarray, at: np.ndarray) -> None:
        p = self.people
        p.updated_ms[who] = np.where(touched, np.maximum(at, p.updated_ms[who] + 1), p.updated_ms[who])
        p.patient_version[who] += touched


def _ways_home(
    age: np.ndarray, burden: np.ndarray, planned: np.ndarray, reason: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Index into DISPOSITIONS of each stay: deaths and hospice rise with age and illness, nursing care with age."""
    k = len(age)
    codes = np.array([r.code for r in REASONS])[reason]
    severe = np.isin(codes, ["A41.9", "I63.9", "I50.23", "C78.00", "I21.4"])
    dies = 1 / (1 + np.exp(-(-5.6 + 0.03 * (age - 65) + 0.12 * burden + 1.1 * severe - 2.5 * planned)))
    hospice = np.where(planned, 0.0, 0.008 + 0.06 * (codes == "C78.00") + 0.012 * (age > 80))
    nursing = 1 / (1 + np.exp(-(-3.2 + 0.07 * (age - 72) - 1.0 * planned)))
    rehabilitation = np.where(np.isin(codes, ["I63.9", "S72.001A", "M16.11", "M17.11"]), 0.3, 0.01)
    draw = rng.random((5, k))
    way = np.full(k, HOME)
    way = np.where(draw[0] < nursing, SNF, way)
    way = np.where(draw[1] < rehabilitation, REHAB, way)
    way = np.where((draw[2] < 0.015) & ~planned, AGAINST_ADVICE, way)
    way = np.where(draw[3] < hospice, HOSPICE, way)
    return np.where(draw[4] < dies, DIED, way)


def _count_before(
    events: dict[int, list[int]], who: np.ndarray, hospital: np.ndarray, before_ms: np.ndarray, days: int
) -> np.ndarray:
    """Events of each person at that hospital in [before - days, before)."""
    counts = np.zeros(len(who), dtype=np.int64)
    keys = (who * HOSPITAL_COUNT + hospital).tolist()
    for i, (key, before) in enumerate(zip(keys, before_ms.tolist(), strict=True)):
        counts[i] = sum(before - days * DAY_MS <= at < before for at in events.get(key, ()))
    return counts
