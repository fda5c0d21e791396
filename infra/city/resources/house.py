"""Devices, ward drug stock and operating rooms of a hospital, as tables of text."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from infra.city.habits import Habits
from infra.city.lived import Lived, chosen, stacked
from infra.city.local_time import utc
from infra.city.population import DAY_MS
from infra.city.resources.marks import mark
from infra.city.simulation import Columns
from infra.city.vocabulary import MEDICATIONS, PROCEDURES, WARDS

Row = list[str]
MINUTE_MS = 60_000
ROOMS = 4
EPOCH = date(1970, 1, 1)
CANCELLED_RATE = 0.05
_DEVICES = (
    ("infusion pump", 5),
    ("monitor", 4),
    ("ventilator", 1),
    ("ECG", 1),
    ("ultrasound", 1),
    ("bed lift", 1),
)
_STATES = ("in use", "in use", "available", "available", "available", "defect", "in maintenance")
_MAINTAINED_EVERY = 180
_UNITS = ("tablets", "ampoules", "bottles")
_MINUTES = (110, 105, 65, 50, 20, 90, 30)


def devices(habits: Habits, seed: int, day: int) -> list[Row]:
    """device_id, kind, ward, state, maintenance_due. Some are overdue."""
    rows: list[Row] = []
    number = 0
    letter = habits.name[0].upper()
    for ward in WARDS:
        for kind, count in _DEVICES:
            for _ in range(count):
                number += 1
                key = habits.code * 1000 + number
                shift = mark(seed, 110, key) % _MAINTAINED_EVERY
                done = (day + shift) // _MAINTAINED_EVERY * _MAINTAINED_EVERY - shift
                late = mark(seed, 111, key * 1000 + done // _MAINTAINED_EVERY) % 40
                due = done + _MAINTAINED_EVERY if day >= done + late else done
                state = _STATES[mark(seed, 112, key * 100_000 + day // 2) % len(_STATES)]
                rows.append([f"{letter}D-{number:04d}", kind, ward, state, _date(due)])
    return rows


def drugs(habits: Habits, seed: int, day: int) -> list[Row]:
    """ward, atc_code, article, quantity, unit, lot, expiry: a ward keeps a part of the medicines, filled up weekly."""
    rows: list[Row] = []
    for w, ward in enumerate(WARDS):
        for m, (atc, name) in enumerate(MEDICATIONS):
            key = (habits.code * 10 + w) * 100 + m
            h = mark(seed, 113, key)
            if h % 5 > 1:
                continue
            week, into = divmod(day + h % 7, 7)
            use = 1 + (h >> 8) % 12
            filled = 0 if mark(seed, 114, key * 10_000 + week) % 60 == 0 else use * 9
            lot = mark(seed, 115, key * 10_000 + week // 4)
            rows.append(
                [
                    *(ward, atc, name, str(max(0, filled - use * into)), _UNITS[(h >> 16) % len(_UNITS)]),
                    *(f"H{lot % 1_000_000:06d}", _date(week // 4 * 28 + 60 + lot % 500)),
                ]
            )
    return rows


def rooms(habits: Habits, seed: int, day: int) -> list[Row]:
    """room_id, kind, state."""
    kinds = ("general", "orthopaedic", "heart catheter", "emergency")
    return [
        [
            f"{habits.name[0].upper()}-OR{n + 1}",
            kinds[n],
            "closed" if mark(seed, 116, (habits.code * 10 + n) * 10_000 + day // 3) % 25 == 0 else "open",
        ]
        for n in range(ROOMS)
    ]


class Sessions:
    """Operations of the stretch, and those still to come: from the hospitals' procedures. Some that were planned never
    took place."""

    def __init__(self, lived: Lived, first: int) -> None:
        p = lived.procedures
        fresh = {n: p[n].astype(np.int64) for n in ("ordinal", "hospital", "at", "procedure")}
        carried = lived.carried("sessions")
        every = stacked([carried, chosen(fresh, fresh["at"] >= first * DAY_MS)])
        self.seed, self.done = lived.seed, chosen(every, every["at"] < lived.now_ms)
        lived.carry("sessions", chosen(every, every["at"] >= lived.now_ms))

    def of_day(self, habits: Habits, day: int) -> list[Row]:
        """session_id, room_id, procedure_code, planned_start, planned_end, actual_start, actual_end, state."""
        t = chosen(self.done, (self.done["hospital"] == habits.code) & (self.done["at"] // DAY_MS == day))
        t = chosen(t, np.argsort(t["at"], kind="stable"))
        return [row for n in range(len(t["at"])) for row in self._rows(habits, chosen(t, np.array([n])), n)]

    def _rows(self, habits: Habits, t: Columns, n: int) -> list[Row]:
        ordinal, at, procedure = int(t["ordinal"][0]), int(t["at"][0]), int(t["procedure"][0])
        h = mark(self.seed, 117, ordinal)
        letter = habits.name[0].upper()
        long = _MINUTES[procedure]
        begins = at - at % (15 * MINUTE_MS) - 15 * MINUTE_MS * (h % 3)
        took = int(long * (0.7 + (h >> 8) % 80 / 100)) * MINUTE_MS
        planned = utc(np.array([begins, begins + long * MINUTE_MS]))
        actual = utc(np.array([at, at + took]))
        code, room = PROCEDURES[procedure][0], f"{letter}-OR{n % ROOMS + 1}"
        rows = [[f"{letter}O-{ordinal * 2:07d}", room, code, *planned, *actual, "done"]]
        if h % 1000 < CANCELLED_RATE * 1000:
            later = utc(np.array([begins + 2 * long * MINUTE_MS, begins + 3 * long * MINUTE_MS]))
            rows.append([f"{letter}O-{ordinal * 2 + 1:07d}", room, code, *later, "", "", "cancelled"])
        return rows


def _date(day: int) -> str:
    return (EPOCH + timedelta(days=day)).isoformat()
