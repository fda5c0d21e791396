"""Beds: which stay lies in which, from the hospitals' own inpatient encounters.

A ward has as many beds as it ever needed at once in the history, and two more. A stay takes the first bed of its ward
that is free and not closed; when there is none, an extra bed is put up. A bed is cleaned for two hours after a stay."""

from __future__ import annotations

import numpy as np

from infra.city.habits import HOSPITALS
from infra.city.lived import Lived, chosen, stacked
from infra.city.population import DAY_MS
from infra.city.records import INPATIENT_WARDS, inpatient_wards
from infra.city.resources.marks import mark
from infra.city.simulation import Columns
from infra.city.vocabulary import IMP, WARDS

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
            arriving = chosen(arriving, arriving["end"] > (first - 1) * DAY_MS)
            known = {}
        self.stays = stacked([known, self._placed(known, arriving)])
        is_recent = self.stays["end"] > lived.now_ms - 2 * DAY_MS
        lived.carry("beds", {**chosen(self.stays, is_recent), "capacity": self.capacity})

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

    def at(self, moment_ms: int, hospital: int) -> list[tuple[int, int, int, int]]:
        """Ward, bed, state and since when (ms) of every bed of a hospital at a moment."""
        states: dict[tuple[int, int], tuple[int, int]] = {}
        day = (moment_ms - 1) // DAY_MS
        for ward in INPATIENT_WARDS:
            for bed in range(int(self.capacity[hospital, ward])):
                closed = self.is_closed(hospital, ward, bed, day)
                week = ((day + bed) // 7 * 7 - bed) * DAY_MS
                states[ward, bed] = (CLOSED, max(week, self.first_ms)) if closed else (FREE, self.first_ms)
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
                states[ward, bed] = (FREE, end + CLEANING_MS)
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
