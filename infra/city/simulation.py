"""The calendar: what happens to people, one day at a time, vectorised over everyone.

A day draws outpatient visits, emergency visits that end at home, unplanned and planned admissions (see
``admissions``), illnesses, moves, deaths and newcomers. Emergency visits and unplanned admissions follow what people
are exposed to (``surroundings.exposure``); everything else does not. Weekdays, holidays and seasons are those of
``rhythms``. Outbreaks and accidents add visits, and emergency departments close (``unusual``). Each day has its own
random stream, so that a day is the same whether it is lived as part of the history or by an advance of the clock."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from infra.city import facility_days, hazards, rhythms, true_risks, undiagnosed, unusual
from infra.city.admissions import (
    HOUR_MS,
    Arrivals,
    Events,
    Table,
    add_events,
    apply_outcomes,
    draw_outcomes,
    encounter_rows,
    index_rows,
    settle_stays,
)
from infra.city.hazards import Standing
from infra.city.population import DAY_MS, HOSPITAL_COUNT, NEVER, People, make_people
from infra.city.surroundings import exposure
from infra.city.vocabulary import (
    AMB,
    CHRONIC_KEYS,
    DIED,
    EMER,
    EMERGENCY,
    HOME,
    HOSPICE,
    NO_DISPOSITION,
    NO_SOURCE,
    REASON_RANGES,
    REASONS,
    ROUTINE,
    UNPLANNED,
    URGENT,
)

NEWCOMERS_PER_YEAR = 0.015
MOVES_PER_YEAR = 0.06
MONTH = undiagnosed.MONTH
_CARDIOVASCULAR = [hazards.UNPLANNED_CODES.index(code) for code in hazards.CARDIOVASCULAR]

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
Columns = Table


class Ledger:
    """Rows of one table, collected a day at a time."""

    def __init__(self, columns: dict[str, type]) -> None:
        self._dtypes = columns
        self._parts: list[Columns] = []

    def add(self, rows: Columns) -> None:
        self._parts.append(rows)

    def table(self) -> Columns:
        return {
            name: np.concatenate([np.zeros(0, dtype=dtype), *(p[name] for p in self._parts)]).astype(dtype)
            for name, dtype in self._dtypes.items()
        }


@dataclass
class World:
    """The city between two days. ``day`` is the next day to live (days since 1970).

    visits, stays: start times (ms) of emergency visits and inpatient stays by person * HOSPITAL_COUNT +
    hospital. movers, moved_ms: who moved and when (the day's first instant), in the order of the calendar.
    true_risks: of the quarters that began with the end of a day lived last (see ``true_risks``). outbreak_visits: of
    the days lived last, visits that outbreaks added, by the outbreak's number."""

    seed: int
    admission_factor: float
    day: int
    people: People = field(default_factory=lambda: make_people(0, np.random.default_rng(0), 0))
    visits: Events = field(default_factory=dict)
    stays: Events = field(default_factory=dict)
    stay_count: int = 0
    movers: list[int] = field(default_factory=list)
    moved_ms: list[int] = field(default_factory=list)
    true_risks: list[Columns] = field(default_factory=list)
    outbreak_visits: Counter[int] = field(default_factory=Counter)
    _rates: dict[str, np.ndarray] = field(default_factory=dict)

    def settle(self, population: int) -> None:
        """The first people."""
        self.people = make_people(population, np.random.default_rng([self.seed, 0]), self.day, seed=self.seed)

    def forget(self) -> None:
        """Drop visits and stays of those whose last one is too old to count in any true risk."""
        horizon = (self.day - 366) * DAY_MS
        for events in (self.visits, self.stays):
            for key in [k for k, times in events.items() if times[-1] < horizon]:
                del events[key]

    def live(self, days: int) -> tuple[Columns, Columns]:
        """Live so many days; returns the encounters and the index stays that began in them."""
        encounters, stays = Ledger(ENCOUNTER_COLUMNS), Ledger(STAY_COLUMNS)
        self.true_risks = []
        self.outbreak_visits = Counter()
        for _ in range(days):
            self._live_day(encounters, stays)
            if true_risks.is_instant(self.day):
                self.true_risks.append(true_risks.of(self.people, self.day, self.admission_factor))
        return encounters.table(), stays.table()

    def _live_day(self, encounters: Ledger, stays: Ledger) -> None:
        rng = np.random.default_rng([self.seed, 1, self.day])
        day_start, day_end = self.day * DAY_MS, (self.day + 1) * DAY_MS
        self._receive_newcomers(rng)
        if self.day % MONTH == 0:
            self._fall_ill(rng)
        self._update_rates()
        p, rates = self.people, self._rates
        chance = rng.random((6, len(p))) * 365.25
        strain = exposure.strain(self.seed, self.day, p) * rhythms.acute(self.day)
        shut = facility_days.closed(self.seed, self.day)
        taken_in = (p.known & ~shut).any(axis=1)

        alive = p.dead_ms >= day_end
        free = alive & (p.busy_until < day_start)
        since_discharge = (day_start - p.discharged_ms) / DAY_MS
        returning = alive & (p.readmission_ms >= day_start) & (p.readmission_ms < day_end)
        unbound = free & (p.readmission_ms == NEVER)
        weakened = np.where(since_discharge < 30, hazards.DEATHS_AFTER_DISCHARGE, 1.0)
        dying = unbound & (chance[0] < rates["death"] * weakened)
        unbound &= ~dying
        quiet = p.quiet_until > day_start
        unplanned = (
            unbound
            & ~quiet
            & taken_in
            & (chance[1] < rates["unplanned"] @ self._season_of_reasons() * strain)
        )
        planned = (
            unbound
            & ~unplanned
            & (~quiet | (since_discharge > 11))
            & (chance[2] < rates["planned"] * rhythms.planned(self.day))
        )
        visiting = free & ~dying & ~returning & ~unplanned & ~planned
        follow_up = np.where(since_discharge < 14, 5.0, 1.0) * rhythms.outpatient(self.day)
        worried = np.ones(len(p))
        worried[p.has_symptoms(day_start).any(axis=1)] = undiagnosed.VISITS_TIMES
        visits = np.where(visiting, rates["outpatient"] * follow_up, 0.0)
        outpatient = chance[3] < visits * worried
        emergency_room = visiting & ~outpatient & taken_in & (chance[4] < rates["emergency_room"] * strain)
        moving = alive & (chance[5] < MOVES_PER_YEAR)

        p.evidence += undiagnosed.of_a_day(visits / 365.25)[:, None, None].astype(np.float32)
        self._visit(encounters, np.flatnonzero(outpatient), AMB, rng)
        self._visit(encounters, np.flatnonzero(emergency_room), EMER, rng)
        self._admit(encounters, stays, np.flatnonzero(returning | unplanned | planned), planned, rng)
        self._receive_extra(encounters, visiting & ~outpatient & ~emergency_room)
        self._die(
            np.flatnonzero(dying), day_start + rng.integers(20 * HOUR_MS, 23 * HOUR_MS, dying.sum()), rng
        )
        self._move(np.flatnonzero(moving), rng)
        self._learn_of_deaths()
        self.day += 1

    def _receive_newcomers(self, rng: np.random.Generator) -> None:
        newcomers = int(rng.poisson(len(self.people) * NEWCOMERS_PER_YEAR / 365.25))
        if newcomers:
            made = make_people(
                newcomers, rng, self.day, seed=self.seed, first=len(self.people), newcomers=True
            )
            self.people = self.people.joined(made)

    def _update_rates(self) -> None:
        """Everybody's rates once a month, as of its first day; newcomers' as well, on the day they come."""
        month = self.day - self.day % MONTH
        known = 0 if self.day == month else len(self._rates.get("death", ()))
        if known < len(self.people):
            some = Standing.of(self.people.those(slice(known, None)), month)
            new = hazards.yearly_rates(some, self.admission_factor)
            self._rates = {
                n: np.concatenate([self._rates[n][:known], v]) if known else v for n, v in new.items()
            }

    def _season_of_reasons(self) -> np.ndarray:
        """What multiplies each of UNPLANNED today."""
        return rhythms.season_of([reason.is_respiratory for reason in UNPLANNED], self.day)

    def _fall_ill(self, rng: np.random.Generator) -> None:
        """New lasting conditions of the coming month; some show symptoms first (``undiagnosed``)."""
        p, now = self.people, self.day * DAY_MS
        chance = hazards.onsets(Standing.of(p, self.day)) * MONTH / 365.25
        falls = (rng.random(chance.shape) < chance) & (p.onset_ms == NEVER)
        hidden = falls[:, undiagnosed.PLACES]
        p.onset_ms[falls] = now
        p.symptoms_ms[hidden] = now
        for h, place in enumerate(undiagnosed.PLACES):
            who = np.flatnonzero(hidden[:, h])
            p.onset_ms[who, place] = now + undiagnosed.days_to_diagnosis(len(who), rng) * DAY_MS
        p.evidence = undiagnosed.next_month(p.evidence)

    def _receive_extra(self, encounters: Ledger, is_free: np.ndarray) -> None:
        """Visits of accidents and outbreaks, in their own random stream."""
        rng = np.random.default_rng([self.seed, 3, self.day])
        usual = self._rates["emergency_room"]
        for extra in unusual.extra_visits(self.seed, self.day, self.people, is_free, usual):
            self._visit(encounters, extra.who, extra.class_, rng, extra.reason)
            if extra.outbreak is not None:
                self.outbreak_visits[extra.outbreak] += len(extra.who)

    def _hospital_for(self, who: np.ndarray, shut: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Mostly the home hospital; otherwise another one that knows the person, if any, and is not ``shut`` (people x
        hospitals, or hospitals)."""
        p = self.people
        preference = rng.random((len(who), HOSPITAL_COUNT)) + 0.6 * (
            np.arange(HOSPITAL_COUNT) == p.home[who, None]
        )
        return np.where(p.known[who] & ~shut, preference, -1.0).argmax(axis=1).astype(np.int8)

    def _reason_for(self, who: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
        """Index into REASONS of visits and planned admissions."""
        return REASON_RANGES[kind][0] + _drawn(self._reason_weights(who, kind), rng)

    def _reason_weights(self, who: np.ndarray, kind: str) -> np.ndarray:
        """people x reasons of that kind; a reason that goes with a lasting condition is likelier in who has it."""
        first, last = REASON_RANGES[kind]
        ill = self.people.onset_ms[who] <= self.day * DAY_MS
        season = rhythms.season_of([r.is_respiratory for r in REASONS[first:last]], self.day)
        weights = np.tile(season * [r.weight for r in REASONS[first:last]], (len(who), 1))
        for j, reason in enumerate(REASONS[first:last]):
            if reason.chronic:
                weights[ill[:, CHRONIC_KEYS.index(reason.chronic)], j] *= reason.boost
        return weights

    def _outpatient_reason_for(self, who: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Index into REASONS of outpatient visits: symptoms of what is not diagnosed come first. Keeps what the visits
        tell of it."""
        p, usual = self.people, self._reason_weights(who, "outpatient")
        symptoms = p.has_symptoms(self.day * DAY_MS, who)
        times = np.where(symptoms[:, :, None], undiagnosed.REASON_TIMES, 1.0).prod(axis=1)
        reason = _drawn(usual * times, rng)
        p.evidence[who] += undiagnosed.ratios(usual, reason)[:, :, None]
        return REASON_RANGES["outpatient"][0] + reason

    def _unplanned_reason_for(self, who: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Index into REASONS of unplanned admissions, by their rates."""
        weights = self._rates["unplanned"][who] * self._season_of_reasons()
        return REASON_RANGES["unplanned"][0] + _drawn(weights, rng)

    def _visit(
        self,
        encounters: Ledger,
        who: np.ndarray,
        class_: int,
        rng: np.random.Generator,
        reason: np.ndarray | None = None,
    ) -> None:
        """Outpatient visits in office hours; emergency visits at any hour, that end at home. ``reason``: indexes
        REASONS; the usual ones are drawn without it."""
        count = len(who)
        if not count:
            return
        shut = facility_days.closed(self.seed, self.day) & (class_ == EMER)
        hospital = self._hospital_for(who, shut, rng)
        if class_ == AMB:
            start = rhythms.local_ms(self.day, rng.uniform(8, 17, count))
            end = start + rng.integers(10, 50, count) * 60_000
            priority = np.full(count, ROUTINE)
            if reason is None:
                reason = self._outpatient_reason_for(who, rng)
        else:
            if reason is None:
                reason = self._reason_for(who, "emergency_room", rng)
            start = rhythms.arrival_ms(self.day, count, rng)
            end = start + rng.integers(60, 420, count) * 60_000
            priority = np.where(rng.random(count) < 0.4, EMERGENCY, URGENT)
            self.people.busy_until[who] = end
            add_events(self.visits, who, hospital, start)
        unknown = np.full(count, np.nan)
        encounters.add(
            {
                "person": who,
                "hospital": hospital,
                "class_": np.full(count, class_),
                "start": start,
                "end": end,
                "priority": priority,
                "reason": reason,
                "admit_source": np.full(count, NO_SOURCE),
                "disposition": np.full(count, HOME if class_ == EMER else NO_DISPOSITION),
                "stay": np.full(count, -1),
                "haemoglobin": unknown,
                "sodium": unknown,
                "creatinine": unknown,
            }
        )

    def _admit(
        self,
        encounters: Ledger,
        stays: Ledger,
        who: np.ndarray,
        planned_by_person: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        """Admissions of the day, settled to their end."""
        count = len(who)
        if not count:
            return
        p, day_start = self.people, self.day * DAY_MS
        planned, returning = planned_by_person[who], p.readmission_ms[who] < NEVER
        booked = rhythms.local_ms(self.day, rng.uniform(7, 11, count))
        fresh = np.where(planned, booked, rhythms.arrival_ms(self.day, count, rng))
        shut = facility_days.closed(self.seed, self.day) & ~planned[:, None]
        usual = self._hospital_for(who, shut, rng)
        arrivals = Arrivals(
            who=who,
            hospital=np.where(returning, p.readmission_hospital[who], usual).astype(np.int8),
            start=np.where(returning, p.readmission_ms[who], fresh),
            reason=np.where(
                planned, self._reason_for(who, "planned", rng), self._unplanned_reason_for(who, rng)
            ),
            planned=planned,
            age=(self.day - p.birth_day[who]) / 365.25,
            ill=p.has(day_start)[who],
        )
        settled = settle_stays(p, arrivals, rng)
        outcomes = draw_outcomes(p, arrivals, settled, self.visits, self.stays, rng)
        numbers = self.stay_count + np.arange(count)
        self.stay_count += count
        for rows in encounter_rows(arrivals, settled, numbers, rng):
            encounters.add(rows)
        stays.add(index_rows(arrivals, settled, outcomes, numbers))
        add_events(self.stays, who, arrivals.hospital, arrivals.start)
        away = np.flatnonzero(settled.is_away)
        add_events(self.stays, who[away], settled.second_hospital[away], settled.second_start[away])
        apply_outcomes(p, arrivals, settled, outcomes)
        struck = np.flatnonzero(np.isin(arrivals.reason, _CARDIOVASCULAR))
        p.cardiovascular_ms[who[struck]] = np.minimum(
            p.cardiovascular_ms[who[struck]], arrivals.start[struck]
        )

        died = np.flatnonzero(settled.disposition == DIED)
        self._die(who[died], settled.end[died], rng, told_first=settled.last_hospital[died])
        hospice = np.flatnonzero(settled.disposition == HOSPICE)
        last_days = settled.end[hospice] + (rng.uniform(1, 45, len(hospice)) * DAY_MS).astype(np.int64)
        self._die(who[hospice], last_days, rng)
        p.busy_until[who[hospice]] = last_days

    def _die(
        self, who: np.ndarray, at: np.ndarray, rng: np.random.Generator, told_first: np.ndarray | None = None
    ) -> None:
        """Set the time of death; hospitals hear of it after 1 to 12 days, the one where it happened in the
        hour."""
        p = self.people
        p.dead_ms[who] = at
        p.readmission_ms[who] = NEVER
        notice = at[:, None] + rng.integers(DAY_MS, 12 * DAY_MS, (len(who), HOSPITAL_COUNT))
        if told_first is not None:
            notice[np.arange(len(who)), told_first] = at + rng.integers(10, 55, len(who)) * 60_000
        p.notice_ms[who] = np.where(p.known[who], notice, NEVER)

    def _move(self, who: np.ndarray, rng: np.random.Generator) -> None:
        """New address and phone; every hospital that knows the person hears of it in the course of the
        day."""
        p = self.people
        told = self.day * DAY_MS + rng.integers(9 * HOUR_MS, 17 * HOUR_MS, (len(who), HOSPITAL_COUNT))
        p.moves[who] += 1
        self.movers += who.tolist()
        self.moved_ms += [self.day * DAY_MS] * len(who)
        self._update_patients(p.known[who], who, told)

    def _learn_of_deaths(self) -> None:
        p = self.people
        due = (p.notice_ms >= self.day * DAY_MS) & (p.notice_ms < (self.day + 1) * DAY_MS)
        who = np.flatnonzero(due.any(axis=1))
        self._update_patients(due[who], who, p.notice_ms[who])

    def _update_patients(self, touched: np.ndarray, who: np.ndarray, at: np.ndarray) -> None:
        """A new version of the Patient records ``touched`` (people x hospitals)."""
        p = self.people
        later = np.maximum(at, p.updated_ms[who] + 1)
        p.updated_ms[who] = np.where(touched, later, p.updated_ms[who])
        p.patient_version[who] += touched


def _drawn(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A column of each row, by weight."""
    cumulative = weights.cumsum(axis=1)
    drawn = rng.random(len(weights)) * cumulative[:, -1]
    return np.asarray((cumulative < drawn[:, None]).sum(axis=1))
