"""Beds: which stay lies in which, from the hospitals' own inpatient encounters.

A ward has as many beds as it ever needed at once in the history, and two more. A stay takes the first bed of its ward
that is free and not closed; when there is none, an extra bed is put up. A bed is cleaned for two hours after a stay."""

from __future__ import annotations

import numpy as np

from infra.city.habits import HOSPITALS
from infra.city.lived import Lived, chosen, stacked
from infra.city.population import DAY_MS
from infra.city.resources.marks import mark
from infra.city.simulation import Columns
from infra.city.vocabulary import IMP, WARDS
from infra.city.wards import INPATIENT_WARDS, inpatient_wards

CLEANING_MS = 2 * 3_600_000
CLOSED_SHARE = 0.04
SPARE_BEDS = 2
STATES = ("free", "occupied", "cleaning", "closed")
FREE, OCCUPIED, CLEANING, CLOSED = range(4)


class Beds:
    """Beds of all hospitals. stays: ordinal, hospital, ward, bed, start, end (ms) of those that matter to the stretch.
    capacity: hospitals x wards."""

    def __init__(self, lived: Lived, first: int) -> None:
        self.seed, self.first_ms = lived.seed, lived.options.first_day * DAY_MS
        carried = lived.carried("beds")
        arriving = _arriving(lived)
        if carried:
            self.capacity = carried.pop("capacity")
            known = carried
        else:
            self.capacity = _needed(arriving)
            known = {}
        self.stays = stacked([known, self._placed(known, arriving)])
        self.stays = _ending_after(self.stays, (first - 1) * DAY_MS)
        kept = _ending_after(self.stays, lived.now_ms - DAY_MS)
        lived.carry("beds", {**kept, "capacity": self.capacity})

    def _placed(self, known: Columns, arriving: Columns) -> Columns:
        """The arriving stays with their ``bed``."""
        free_at: dict[tuple[int, int], dict[int, int]] = {}
        if known:
            places = zip(*(known[n].tolist() for n in ("hospital", "ward", "bed", "end")), strict=True)
            for hospital, ward, bed, end in places:
                beds = free_at.setdefault((hospital, ward), {})
                beds[bed] = max(beds.get(bed, 0), end)
        beds_of = []
        stays = zip(*(arriving[n].tolist() for n in ("hospital", "ward", "start", "end")), strict=True)
        for hospital, ward, start, end in stays:
            beds = free_at.setdefault((hospital, ward), {})
            bed, capacity = 0, int(self.capacity[hospital, ward])
            while beds.get(bed, 0) + CLEANING_MS > start or (
                bed < capacity and self.is_closed(hospital, ward, bed, start // DAY_MS)
            ):
                bed += 1
            beds[bed] = end
            beds_of.append(bed)
        return {**arriving, "bed": np.array(beds_of, dtype=np.int64)}

    def is_closed(self, hospital: int, ward: int, bed: int, day: int) -> bool:
        """Whether a bed is closed in the week of ``day``."""
        number = ((hospital * 10 + ward) * 1000 + bed) * 10_000 + (day + bed) // 7
        return bool(mark(self.seed, 100, number) % 1000 < CLOSED_SHARE * 1000)

    def _opened(self, hospital: int, ward: int, bed: int, day: int) -> int:
        """When a bed that is open on ``day`` was closed last, ms; the city's first day if not in the year before."""
        for week in range((day + bed) // 7 - 1, (day + bed) // 7 - 53, -1):
            if self.is_closed(hospital, ward, bed, week * 7 - bed):
                return max(((week + 1) * 7 - bed) * DAY_MS, self.first_ms)
        return self.first_ms

    def at(self, moment_ms: int, hospital: int) -> list[tuple[int, int, int, int]]:
        """Ward, bed, state and since when (ms) of every bed of a hospital at a moment."""
        states: dict[tuple[int, int], tuple[int, int]] = {}
        day = (moment_ms - 1) // DAY_MS
        for ward in INPATIENT_WARDS:
            for bed in range(int(self.capacity[hospital, ward])):
                if self.is_closed(hospital, ward, bed, day):
                    week = ((day + bed) // 7 * 7 - bed) * DAY_MS
                    states[ward, bed] = (CLOSED, max(week, self.first_ms))
                else:
                    states[ward, bed] = (FREE, self._opened(hospital, ward, bed, day))
        s = chosen(self.stays, (self.stays["hospital"] == hospital) & (self.stays["start"] <= moment_ms))
        order = np.argsort(s["start"], kind="stable")
        for ward, bed, start, end in zip(
            *(s[n][order].tolist() for n in ("ward", "bed", "start", "end")), strict=True
        ):
            is_extra = bed >= self.capacity[hospital, ward]
            if moment_ms < end:
                states[ward, bed] = (OCCUPIED, start)
            elif moment_ms < end + CLEANING_MS:
                states[ward, bed] = (CLEANING, end)
            elif is_extra:
                states.pop((ward, bed), None)
            elif states[ward, bed][0] != CLOSED:
                states[ward, bed] = (FREE, max(states[ward, bed][1], end + CLEANING_MS))
        return [(ward, bed, *state) for (ward, bed), state in sorted(states.items())]


def bed_id(hospital: int, ward: int, bed: int, capacity: int) -> str:
    """``N-MED-07``; an extra bed is ``N-MED-X01``."""
    prefix = f"{HOSPITALS[hospital].name[0].upper()}-{WARDS[ward][:3].upper()}"
    return f"{prefix}-{bed + 1:02d}" if bed < capacity else f"{prefix}-X{bed - capacity + 1:02d}"


def _arriving(lived: Lived) -> Columns:
    e = lived.encounters
    rows = np.flatnonzero(e["class_"] == IMP)
    rows = rows[np.argsort(e["start"][rows], kind="stable")]
    stays = {n: e[n][rows].astype(np.int64) for n in ("ordinal", "hospital", "start", "end")}
    return {**stays, "ward": inpatient_wards(lived.seed, stays["ordinal"])}


def _ending_after(stays: Columns, moment_ms: int) -> Columns:
    """The stays that end after a moment, and of each bed the last one before."""
    order = np.lexsort((stays["end"], stays["bed"], stays["ward"], stays["hospital"]))
    s = chosen(stays, order)
    is_past = s["end"] <= moment_ms
    same = np.all([s[n][1:] == s[n][:-1] for n in ("hospital", "ward", "bed")], axis=0)
    has_later_past = np.append(same & is_past[1:], False)
    return chosen(s, ~is_past | ~has_later_past)


def _needed(stays: Columns) -> np.ndarray:
    """Beds that are needed at once, and some to spare: hospitals x wards."""
    beds = np.zeros((len(HOSPITALS), len(WARDS)), dtype=np.int64)
    for hospital in range(len(HOSPITALS)):
        for ward in INPATIENT_WARDS:
            s = chosen(stays, (stays["hospital"] == hospital) & (stays["ward"] == ward))
            times = np.concatenate([s["start"], s["end"] + CLEANING_MS])
            steps = np.repeat([1, -1], len(s["start"]))
            most = int(steps[np.lexsort((steps, times))].cumsum().max(initial=0))
            beds[hospital, ward] = most + SPARE_BEDS
    return beds
