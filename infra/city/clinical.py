"""What clinicians write down: from encounters to conditions, measurements, prescriptions, vaccinations,
procedures.

Every function takes the encounters of a stretch of days (a dict of equally long arrays, see ``simulation``)
and gives such a dict for one resource type. Common columns: ``encounter`` (row among those encounters),
``person``, ``hospital``, ``at`` (when the fact holds), ``recorded`` (when it was entered, ms) and what the
type needs. Whatever a stay's true risk uses is recorded before the stay ends."""

from __future__ import annotations

import numpy as np

from infra.city.admissions import HOUR_MS
from infra.city.constitution import ADULT_AGE, LEAST_SMOKING_AGE, care_need
from infra.city.population import DAY_MS, HOSPITAL_COUNT, People
from infra.city.simulation import Columns
from infra.city.vocabulary import (
    ACTIVITIES,
    ACUTE_MEDICATIONS,
    ALLERGENS,
    AMB,
    ASSOCIATED_MEDICATIONS,
    CHRONIC,
    CHRONIC_KEYS,
    ELECTIVE,
    EMER,
    IMP,
    MEASURE_INDEX,
    MEASURES,
    PROCEDURES,
    SEVERITIES,
    VACCINES,
)

MINUTE_MS = 60_000
LABORATORY = [i for i, measure in enumerate(MEASURES) if measure.category == "laboratory"]


def conditions(encounters: Columns, people: People, rng: np.random.Generator) -> Columns:
    """Problem-list items (a lasting condition, once per hospital, at the first encounter that meets it) and
    the reason of each encounter as its diagnosis. ``chronic`` is the lasting condition or -1, ``onset`` when
    it began. Marks ``people.recorded``."""
    parts: list[Columns] = []
    order = np.argsort(encounters["start"], kind="stable")
    person, hospital = encounters["person"][order], encounters["hospital"][order]
    start, end = encounters["start"][order], encounters["end"][order]
    entered = start + np.minimum((end - start) // 3, HOUR_MS)
    pair = person * HOSPITAL_COUNT + hospital
    for i in range(len(CHRONIC)):
        onset = people.onset_ms[person, i]
        rows = np.flatnonzero((onset <= start) & ~people.recorded[person, hospital, i])
        rows = rows[np.unique(pair[rows], return_index=True)[1]]
        people.recorded[person[rows], hospital[rows], i] = True
        parts.append(
            {
                "encounter": order[rows],
                "at": onset[rows],
                "recorded": entered[rows],
                "chronic": np.full(len(rows), i),
                "reason": np.full(len(rows), -1),
            }
        )
    diagnosed = np.flatnonzero((encounters["class_"] != AMB) | (rng.random(len(encounters["start"])) < 0.6))
    length = encounters["end"][diagnosed] - encounters["start"][diagnosed]
    parts.append(
        {
            "encounter": diagnosed,
            "at": encounters["start"][diagnosed],
            "recorded": encounters["start"][diagnosed] + length // 2,
            "chronic": np.full(len(diagnosed), -1),
            "reason": encounters["reason"][diagnosed],
        }
    )
    return _with_who(_stack(parts), encounters)


class _Measurements:
    """Collects rows of measurements: which encounter, which measure, when, and up to two numbers."""

    def __init__(self) -> None:
        self.parts: list[Columns] = []

    def add(
        self,
        measure: str,
        encounter: np.ndarray,
        at: np.ndarray,
        value: np.ndarray,
        second: np.ndarray | None = None,
    ) -> None:
        rows = len(encounter)
        self.parts.append(
            {
                "encounter": encounter,
                "measure": np.full(rows, MEASURE_INDEX[measure], dtype=np.int16),
                "at": at,
                "value": value.astype(np.float64),
                "second": np.full(rows, np.nan) if second is None else second.astype(np.float64),
            }
        )


def observations(encounters: Columns, people: People, rng: np.random.Generator) -> Columns:
    """Vital signs, laboratory values and answers. ``measure`` indexes MEASURES; ``value`` and ``second``
    (diastolic pressure, upper end of a range, denominator) are numbers in the measure's own unit, text kinds
    carry a variant number; ``decimals`` are the digits written after the point. ``issued`` is when the result was
    released, ``recorded`` a few seconds later."""
    into = _Measurements()
    every = np.arange(len(encounters["start"]))
    class_ = encounters["class_"]
    _office_values(into, every[class_ == AMB], encounters, people, rng)
    _emergency_values(into, every[class_ == EMER], encounters, people, rng)
    _ward_values(into, every[class_ == IMP], encounters, people, rng)
    table = _with_who(_stack(into.parts), encounters)
    table["decimals"] = np.array([measure.decimals for measure in MEASURES], dtype=np.int8)[table["measure"]]
    is_laboratory = np.isin(table["measure"], LABORATORY)
    rows = len(table["at"])
    delay = np.where(is_laboratory, rng.integers(15, 60, rows), rng.integers(0, 5, rows)) * MINUTE_MS
    table["issued"] = table["at"] + delay
    table["recorded"] = table["issued"] + rng.integers(500, 40_000, rows)
    return table


def _some(rows: np.ndarray, share: float | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rows[rng.random(len(rows)) < share]


def _pressure(
    into: _Measurements,
    rows: np.ndarray,
    at: np.ndarray,
    who: np.ndarray,
    people: People,
    rng: np.random.Generator,
) -> None:
    systolic = people.usual_systolic(who, at) + rng.normal(0, 9, len(rows))
    into.add(
        "blood_pressure",
        rows,
        at,
        np.clip(systolic, 82, 230),
        np.clip(systolic * 0.6 + rng.normal(6, 6, len(rows)), 40, 130),
    )


def _office_values(
    into: _Measurements, rows: np.ndarray, encounters: Columns, people: People, rng: np.random.Generator
) -> None:
    """One set of values per visit, five minutes in; blood is drawn at every third."""

    def chosen(share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        some = _some(rows, share, rng)
        return some, encounters["start"][some] + 5 * MINUTE_MS, encounters["person"][some], len(some)

    some, at, who, k = chosen(0.75)
    _pressure(into, some, at, who, people, rng)
    some, at, who, k = chosen(0.6)
    into.add("heart_rate", some, at, rng.normal(74, 10, k))
    some, at, who, k = chosen(0.45)
    into.add("weight", some, at, people.usual_weight(who, at) * (1 + rng.normal(0, 0.016, k)))
    some, at, who, k = chosen(0.2)
    into.add("height", some, at, people.height[who] + rng.normal(0, 0.4, k))
    some, at, who, k = chosen(0.2)
    into.add("temperature", some, at, rng.normal(36.8, 0.35, k))
    some, at, who, k = chosen(0.2)
    _habits(into, some, at, who, people)
    some, at, who, k = chosen(0.35)
    _care_need(into, some, at, who, people, rng)
    some, at, who, k = chosen(0.05)
    into.add("fever", some, at, rng.random(k) < 0.2)
    some, at, who, k = chosen(0.05)
    into.add("pain", some, at, rng.integers(0, 11, k))
    some, at, who, k = chosen(0.04)
    hours = rng.integers(4, 9, k)
    into.add("sleep", some, at, hours, hours + rng.integers(1, 3, k))
    some, at, who, k = chosen(0.012)
    into.add("antibody_titre", some, at, np.ones(k), 40 * 2.0 ** rng.integers(0, 6, k))
    some, at, who, k = chosen(0.05)
    into.add("complaint", some, at, rng.integers(0, 1000, k))
    some, at, who, k = chosen(0.06)
    fertile = (people.sex[who] == 0) & (np.abs(_age(people, who, at) - 30) < 17)
    into.add("last_period", some[fertile], at[fertile], rng.integers(1, 40, fertile.sum()))
    blood, at, who, k = chosen(0.33)
    into.add("haemoglobin", blood, at, people.haemoglobin[who] + rng.normal(0, 0.4, k))
    into.add("creatinine", blood, at, people.creatinine[who] * np.exp(rng.normal(0, 0.08, k)))
    into.add("glucose", blood, at, np.clip(people.usual_glucose(who, at) + rng.normal(0, 7, k), 45, 420))
    half = _some(np.arange(k), 0.5, rng)
    into.add("sodium", blood[half], at[half], people.sodium[who[half]] + rng.normal(0, 1.2, len(half)))
    half = _some(np.arange(k), 0.5, rng)
    fats = (blood[half], at[half])
    total = people.cholesterol[who[half]] + rng.normal(0, 10, len(half))
    into.add("cholesterol", *fats, np.clip(total, 90, 380))
    into.add("hdl", *fats, np.clip(people.hdl[who[half]] + rng.normal(0, 3, len(half)), 15, 120))
    half = _some(np.arange(k), 0.5, rng)
    into.add("hba1c", blood[half], at[half], _hba1c(people.usual_glucose(who[half], at[half]), rng))


def _habits(into: _Measurements, rows: np.ndarray, at: np.ndarray, who: np.ndarray, people: People) -> None:
    """Whether the person smokes, asked of those who could."""
    asked = _age(people, who, at) >= LEAST_SMOKING_AGE
    into.add("smoking", rows[asked], at[asked], people.smoking[who[asked]])


def _care_need(
    into: _Measurements,
    rows: np.ndarray,
    at: np.ndarray,
    who: np.ndarray,
    people: People,
    rng: np.random.Generator,
) -> None:
    """The level of help that adults need."""
    grown = _age(people, who, at) >= ADULT_AGE
    into.add("care_need", rows[grown], at[grown], care_need(people.frailty[who[grown]], rng))


def _age(people: People, who: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.asarray((at / DAY_MS - people.birth_day[who]) / 365.25)


def _emergency_values(
    into: _Measurements, rows: np.ndarray, encounters: Columns, people: People, rng: np.random.Generator
) -> None:
    """Vital signs on arrival; blood in every second visit; what the person says, in their words."""
    at, who, k = encounters["start"][rows] + 10 * MINUTE_MS, encounters["person"][rows], len(rows)
    _pressure(into, rows, at, who, people, rng)
    into.add("heart_rate", rows, at, rng.normal(88, 14, k))
    into.add("temperature", rows, at, rng.normal(37.2, 0.7, k))
    into.add("respiration", rows, at, rng.normal(18, 3, k))
    into.add("oxygen", rows, at, np.minimum(100, rng.normal(96.5, 1.8, k)))
    for measure, share, values in (
        ("pain", 0.7, rng.integers(0, 11, k)),
        ("coma_scale", 0.3, 15 - rng.geometric(0.8, k) + 1),
        ("complaint", 0.5, rng.integers(0, 1000, k)),
        ("fever", 0.4, rng.random(k) < 0.3),
    ):
        keep = rng.random(k) < share
        into.add(measure, rows[keep], at[keep], np.maximum(values[keep], 0))
    blood = rng.random(k) < 0.5
    some, at, who, k = rows[blood], at[blood] + 20 * MINUTE_MS, who[blood], int(blood.sum())
    into.add("haemoglobin", some, at, people.haemoglobin[who] + rng.normal(-0.3, 0.6, k))
    into.add("sodium", some, at, people.sodium[who] + rng.normal(-0.5, 1.8, k))
    into.add("creatinine", some, at, people.creatinine[who] * np.exp(rng.normal(0.03, 0.12, k)))
    into.add("glucose", some, at, np.clip(people.usual_glucose(who, at) + rng.normal(8, 20, k), 45, 480))


def _ward_values(
    into: _Measurements, rows: np.ndarray, encounters: Columns, people: People, rng: np.random.Generator
) -> None:
    """Vital signs every day; blood on admission, every second day and, last, three to eight hours before
    discharge."""
    start, end, person = encounters["start"][rows], encounters["end"][rows], encounters["person"][rows]
    length = end - start
    last = np.maximum(end - rng.integers(3 * HOUR_MS, 8 * HOUR_MS, len(rows)), start + length * 6 // 10)
    row, nth = _repeat(1 + length // DAY_MS)
    at = np.minimum(start[row] + nth * DAY_MS + rng.integers(20, 180, len(row)) * MINUTE_MS, last[row])
    who, stay, k = person[row], rows[row], len(row)
    _pressure(into, stay, at, who, people, rng)
    into.add("heart_rate", stay, at, rng.normal(82, 12, k))
    into.add("temperature", stay, at, rng.normal(37.1, 0.5, k))
    into.add("oxygen", stay, at, np.minimum(100, rng.normal(95.8, 1.9, k)))
    weighed = nth == 0
    into.add(
        "weight",
        stay[weighed],
        at[weighed],
        people.usual_weight(who[weighed], at[weighed]) * (1 + rng.normal(0, 0.02, weighed.sum())),
    )
    asked = np.flatnonzero(weighed)[rng.random(weighed.sum()) < 0.85]
    _habits(into, stay[asked], at[asked], who[asked], people)
    _care_need(into, stay[weighed], at[weighed], who[weighed], people, rng)

    row, nth = _repeat(2 + length // (2 * DAY_MS))
    count = (2 + length // (2 * DAY_MS))[row]
    progress = np.minimum(nth / (count - 1), 1.0)
    at = start[row] + 30 * MINUTE_MS + ((last - start - 30 * MINUTE_MS)[row] * progress).astype(np.int64)
    stay, who, k = rows[row], person[row], len(row)
    is_last = nth == count - 1
    wobble = np.where(is_last, 0.0, 1.0)
    illness = rng.gamma(1.2, 0.5, len(rows))[row] * (1 - progress)
    into.add(
        "haemoglobin",
        stay,
        at,
        encounters["haemoglobin"][stay] + wobble * rng.normal(0.2, 0.35, k) - 0.3 * illness,
    )
    into.add("sodium", stay, at, encounters["sodium"][stay] + wobble * rng.normal(0, 1.2, k) - 1.2 * illness)
    into.add(
        "creatinine",
        stay,
        at,
        encounters["creatinine"][stay] * np.exp(wobble * rng.normal(0, 0.06, k) + 0.12 * illness),
    )
    into.add("glucose", stay, at, np.clip(people.usual_glucose(who, at) + rng.normal(12, 22, k), 45, 520))
    into.add("leucocytes", stay, at, np.clip(rng.normal(7.5, 1.6, k) + 4 * illness, 1.2, 40))
    failing = (people.onset_ms[who, CHRONIC_KEYS.index("heart_failure")] <= at) & (is_last | (nth == 0))
    into.add(
        "bnp",
        stay[failing],
        at[failing],
        np.exp(rng.normal(6.1, 0.6, failing.sum()) + 0.3 * illness[failing]),
    )
    first = nth == 0
    into.add("hba1c", stay[first], at[first], _hba1c(people.usual_glucose(who[first], at[first]), rng))


def _hba1c(glucose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Haemoglobin A1c in % from mean glucose in mg/dL: (glucose + 46.7) / 28.7 (Nathan and others, Diabetes
    Care 2008)."""
    return np.clip((glucose + 46.7) / 28.7 + rng.normal(0, 0.25, len(glucose)), 3.9, 16.0)


def medication_requests(encounters: Columns, people: People, rng: np.random.Generator) -> Columns:
    """Prescriptions: for lasting conditions at some outpatient visits and before every discharge, for acute
    ones at visits and in stays. ``medication`` indexes MEDICATIONS."""
    parts: list[Columns] = []
    start, end, class_ = encounters["start"], encounters["end"], encounters["class_"]
    every = np.arange(len(start))
    ends = np.where(class_ == IMP, end - 70 * MINUTE_MS, end - 3 * MINUTE_MS)
    renewing = np.where(class_ == IMP, 0.85, np.where(class_ == AMB, 0.22, 0.0))
    for i, chronic in enumerate(CHRONIC):
        rows = _some(every, renewing, rng)
        rows = rows[people.onset_ms[encounters["person"][rows], i] <= start[rows]]
        for n, medication in enumerate(chronic.medications):
            taken = _some(rows, 0.8 if n == 0 else 0.45, rng)
            parts.append(_prescription(taken, ends, medication))
    for key, medication in ASSOCIATED_MEDICATIONS:
        rows = _some(every, renewing * 0.5, rng)
        has = people.onset_ms[encounters["person"][rows], CHRONIC_KEYS.index(key)] <= start[rows]
        parts.append(_prescription(rows[has], ends, medication))
    for medication in ACUTE_MEDICATIONS:
        share = np.where(class_ == IMP, 0.16, np.where(class_ == EMER, 0.12, 0.03))
        parts.append(_prescription(_some(every, share, rng), ends, medication))
    table = _with_who(_stack(parts), encounters)
    table["at"] = table["at"] + rng.integers(-50, 50, len(table["at"])) * 1000
    table["recorded"] = table["at"] + rng.integers(1000, 60_000, len(table["at"]))
    return table


def _prescription(rows: np.ndarray, at: np.ndarray, medication: int) -> Columns:
    return {"encounter": rows, "at": at[rows], "medication": np.full(len(rows), medication)}


def immunizations(encounters: Columns, rng: np.random.Generator) -> Columns:
    """Vaccinations at outpatient visits. ``vaccine`` indexes VACCINES."""
    rows = _some(np.flatnonzero(encounters["class_"] == AMB), 0.13, rng)
    table = {"encounter": rows, "at": encounters["start"][rows] + 8 * MINUTE_MS}
    table["vaccine"] = rng.choice(len(VACCINES), len(rows), p=[0.5, 0.15, 0.15, 0.2])
    table["recorded"] = table["at"] + rng.integers(30_000, 300_000, len(rows))
    return _with_who(table, encounters)


def procedures(encounters: Columns, rng: np.random.Generator) -> Columns:
    """Procedures in stays. ``procedure`` indexes PROCEDURES."""
    stays = np.flatnonzero(encounters["class_"] == IMP)
    rows = _some(stays, np.where(encounters["priority"][stays] == ELECTIVE, 0.9, 0.3), rng)
    length = encounters["end"][rows] - encounters["start"][rows]
    table = {"encounter": rows, "at": encounters["start"][rows] + length // 5}
    table["procedure"] = rng.integers(0, len(PROCEDURES), len(rows))
    table["recorded"] = table["at"] + 45 * MINUTE_MS
    return _with_who(table, encounters)


def allergies(encounters: Columns, people: People, rng: np.random.Generator) -> Columns:
    """Allergies that come up at a visit or stay. ``allergen`` indexes ALLERGENS, ``severity`` SEVERITIES."""
    rows = _some(np.flatnonzero(encounters["class_"] != EMER), 0.025, rng)
    born = people.birth_day[encounters["person"][rows]] * DAY_MS
    began = encounters["start"][rows] - rng.integers(30, 9000, len(rows)) * DAY_MS
    table = {"encounter": rows, "at": np.maximum(began, born)}
    table["allergen"] = rng.integers(0, len(ALLERGENS), len(rows))
    table["severity"] = rng.choice(len(SEVERITIES), len(rows), p=[0.6, 0.3, 0.1])
    table["recorded"] = encounters["start"][rows] + 6 * MINUTE_MS
    return _with_who(table, encounters)


def diagnostic_reports(encounters: Columns, observations: Columns) -> Columns:
    """One report for all that the laboratory found in one draw of blood, released with its last result.

    ``results``: the ordinals of its observations.
    """
    rows = np.flatnonzero(np.isin(observations["measure"], LABORATORY))
    rows = rows[np.lexsort((rows, observations["at"][rows], observations["encounter"][rows]))]
    encounter, at = observations["encounter"][rows], observations["at"][rows]
    is_first = np.ones(len(rows), dtype=bool)
    is_first[1:] = (encounter[1:] != encounter[:-1]) | (at[1:] != at[:-1])
    first = np.flatnonzero(is_first)
    size = np.diff(np.append(first, len(rows)))
    several = size > 1
    results = np.empty(len(first), dtype=object)
    results[:] = np.split(observations["ordinal"][rows], first[1:]) if len(first) else []
    issued = np.maximum.reduceat(observations["issued"][rows], first) if len(first) else at
    table = {"encounter": encounter[first][several], "at": at[first][several], "results": results[several]}
    table["issued"] = issued[several] + 2 * MINUTE_MS
    table["recorded"] = table["issued"] + 5_000
    return _with_who(table, encounters)


def care_plans(encounters: Columns, conditions: Columns, rng: np.random.Generator) -> Columns:
    """Plans for lasting conditions, written when the condition is. ``condition`` is its ordinal."""
    planned = np.isin(conditions["chronic"], [CHRONIC_KEYS.index(key) for key in ACTIVITIES])
    rows = _some(np.flatnonzero(planned), 0.6, rng)
    table = {"encounter": conditions["encounter"][rows], "chronic": conditions["chronic"][rows]}
    table["condition"] = conditions["ordinal"][rows]
    table["at"] = conditions["recorded"][rows] + 10 * MINUTE_MS
    table["recorded"] = table["at"]
    return _with_who(table, encounters)


def medication_administrations(encounters: Columns, rng: np.random.Generator) -> Columns:
    """Medicines given in stays, one every eight hours of the first two days. ``medication`` indexes MEDICATIONS."""
    stays = np.flatnonzero(encounters["class_"] == IMP)
    length = encounters["end"][stays] - encounters["start"][stays]
    row, nth = _repeat(np.minimum(length // (8 * HOUR_MS), 6))
    stay = stays[row]
    table = {"encounter": stay, "at": encounters["start"][stay] + (nth + 1) * 8 * HOUR_MS - 20 * MINUTE_MS}
    table["medication"] = rng.choice(ACUTE_MEDICATIONS, len(stay))
    table["recorded"] = table["at"] + rng.integers(60_000, 600_000, len(stay))
    return _with_who(table, encounters)


def _repeat(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For counts (2, 3): rows (0, 0, 1, 1, 1) and each row's running number (0, 1, 0, 1, 2)."""
    rows = np.repeat(np.arange(len(counts)), counts)
    return rows, np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)


def _stack(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _with_who(table: Columns, encounters: Columns) -> Columns:
    table["person"] = encounters["person"][table["encounter"]]
    table["hospital"] = encounters["hospital"][table["encounter"]]
    return table
