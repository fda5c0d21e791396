"""Home measurements: blood pressure and pulse, glucose, weight, each in the unit of the device."""

from __future__ import annotations

import numpy as np

from infra.city.dirt import pick
from infra.city.ids import mix
from infra.city.local_time import utc, with_offset
from infra.city.population import DAY_MS
from infra.city.simulation import Columns
from infra.city.vocabulary import CHRONIC_KEYS
from infra.city.wearables.health import trait
from infra.city.wearables.lines import TWICE, Lines, marks, send
from infra.city.wearables.members import HOUR_MS, SOURCE
from infra.city.wearables.stretch import Stretch

WRONG_CLOCK_RATE, UNIT_SLIP_RATE = 0.003, 0.004
MG_PER_MMOL, LB_PER_KG = 18.016, 2.2046226
_READINGS = ("blood_pressure", "pulse", "glucose", "weight")
_DEVICES = ("cuff", "cuff", "glucose meter", "scales")


def add_readings(of: Stretch, into: Lines) -> None:
    """Home measurements: who has which device is a trait; the ill measure more often."""
    lived, rng, days, how = of.lived, of.rng, of.days, of.how
    seed, people, who = lived.seed, lived.people, days.person
    decline, ward = how.decline[days.row, days.day], how.ward[days.row, days.day]
    ill = people.has(lived.now_ms)[who]
    failing, diabetes, pressure = (
        ill[:, CHRONIC_KEYS.index(k)] for k in ("heart_failure", "diabetes", "hypertension")
    )
    has_cuff = trait(seed, 87, who) > np.where(pressure | failing, -0.8, 1.1)
    has_scales = trait(seed, 88, who) > np.where(failing, -1.2, 0.6)
    chance = {
        "blood_pressure": np.where(has_cuff, np.where(pressure | failing, 0.6, 0.15), 0.0),
        "glucose": np.where(diabetes, 0.75, 0.0),
        "weight": np.where(has_scales, np.where(failing, 0.8, 0.3), 0.0),
    }
    parts: list[Columns] = []
    for kind in ("blood_pressure", "glucose", "weight"):
        rows = np.flatnonzero(~ward & (rng.random(len(who)) < chance[kind]))
        p, g = who[rows], decline[rows]
        that_day = days.date[rows] * DAY_MS
        first, second = np.zeros(len(rows)), np.zeros(len(rows))
        if kind == "blood_pressure":
            first = people.usual_systolic(p, that_day) + 9 * g * failing[rows] + rng.normal(0, 7, len(rows))
            second = first * 0.6 + rng.normal(6, 4, len(rows))
        elif kind == "glucose":
            first = np.clip(
                people.usual_glucose(p, that_day) + 25 * g + rng.normal(0, 24, len(rows)), 40, 500
            )
        else:
            first = (
                people.usual_weight(p, that_day)
                + np.where(failing[rows], 3.8, 0.2) * g
                + rng.normal(0, 0.5, len(rows))
            )
        at = that_day + rng.integers(6 * HOUR_MS, 20 * HOUR_MS, len(rows))
        parts.append(_reading_rows(_READINGS.index(kind), rows, at, first, second))
        if kind == "blood_pressure":
            beats = 70 - 3 * trait(seed, 84, p) + 11 * g + rng.normal(0, 5, len(rows))
            parts.append(_reading_rows(_READINGS.index("pulse"), rows, at + 1000, beats, second))
    t = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    _reading_lines(of, t, into)


def _reading_rows(
    kind: int, rows: np.ndarray, at: np.ndarray, first: np.ndarray, second: np.ndarray
) -> Columns:
    return {"kind": np.full(len(rows), kind), "row": rows, "at": at, "first": first, "second": second}


def _reading_lines(of: Stretch, t: Columns, into: Lines) -> None:
    """Lines of readings, in the unit of the device or the user's locale; some with a wrong unit or a wrong clock."""
    lived, rng, ids = of.lived, of.rng, of.ids
    seed, who, sync = lived.seed, of.days.person[t["row"]], of.days.sync[t["row"]]
    kind, count = t["kind"], len(t["kind"])
    in_mmol = (kind == 2) & (trait(seed, 89, who) > 0.25)
    in_lb = (kind == 3) & (trait(seed, 90, who) > 1.0)
    slips = np.zeros(count, dtype=bool)
    slips[pick(rng, np.flatnonzero((kind == 2) | (kind == 3)), UNIT_SLIP_RATE * lived.dirt)] = True
    value = np.where(in_mmol != (slips & (kind == 2)), t["first"] / MG_PER_MMOL, t["first"])
    value = np.where(in_lb != (slips & (kind == 3)), t["first"] * LB_PER_KG, value)
    decimals = np.where(kind == 3, 1, np.where((kind == 2) & (value < 40), 1, 0))
    units = np.select(
        [kind == 0, kind == 1, in_mmol, kind == 2, in_lb], ["mmHg", "/min", "mmol/L", "mg/dL", "lb"], "kg"
    )
    at = t["at"]
    is_off = np.zeros(count, dtype=bool)
    is_off[pick(rng, np.arange(count), WRONG_CLOCK_RATE * lived.dirt)] = True
    wrong = np.where(rng.random(count) < 0.5, at % (30 * DAY_MS), at + 365 * DAY_MS)
    shown = np.where(is_off, wrong, at)
    reading = marks(0x4EAD, seed, who, t["at"] * 4 + kind)
    lines = []
    texts = zip(
        ids[who].tolist(),
        reading,
        kind.tolist(),
        value.tolist(),
        t["second"].tolist(),
        decimals.tolist(),
        units.tolist(),
        with_offset(shown),
        utc(sync),
        strict=True,
    )
    for i, r, k, v, w, d, unit, a, u in texts:
        numbers = f'"systolic":{v:.0f},"diastolic":{w:.0f}' if k == 0 else f'"value":{v:.{d}f}'
        lines.append(
            f'{{"reading_id":"{r}","participant_id":"{i}","kind":"{_READINGS[k]}",{numbers},"unit":"{unit}",'
            f'"device":"{_DEVICES[k]}","measured_at":"{a}","updated_at":"{u}"}}'
        )
    for n in np.flatnonzero(slips).tolist():
        unit = units[n]
        true = _in_unit(float(t["first"][n]), unit)
        served = f"{value[n]:.{decimals[n]}f} {unit}"
        lived.truth.plant(SOURCE, "readings", reading[n], "unit_slip", int(sync[n]), served, f"{true} {unit}")
    for n, true in zip(np.flatnonzero(is_off).tolist(), with_offset(at[is_off]), strict=True):
        lived.truth.plant(
            SOURCE,
            "readings",
            reading[n],
            "wrong_clock",
            int(sync[n]),
            with_offset(shown[n : n + 1])[0],
            true,
        )
    keys = (mix((who.astype(np.uint64) << np.uint64(44)) ^ (t["at"] * 4 + kind).astype(np.uint64))).astype(
        np.int64
    )
    send(lived, rng, "readings", keys & (TWICE - 1), sync, lines, reading, who, into)


def _in_unit(value: float, unit: str) -> str:
    """A glucose in mg/dL or weight in kg as it should have been written in the unit."""
    if unit == "mmol/L":
        return f"{value / MG_PER_MMOL:.1f}"
    if unit == "lb":
        return f"{value * LB_PER_KG:.1f}"
    return f"{value:.0f}" if unit == "mg/dL" else f"{value:.1f}"
