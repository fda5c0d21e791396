"""How the participants fare from day to day, as far as a wristband sees it.

Before an unplanned admission a person declines for ``DECLINE_DAYS`` days: fewer steps, a quicker pulse, less sleep;
with heart failure a growing weight and a higher pressure. In hospital there is hardly a step; afterwards steps come
back within three weeks. The admissions of the coming days are known by living them ahead, on a copy of the world.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from infra.city.ids import hashed
from infra.city.lived import Lived, chosen, stacked
from infra.city.population import DAY_MS
from infra.city.simulation import Columns
from infra.city.vocabulary import CHRONIC_KEYS, ELECTIVE, IMP, TRANSFER_IN

DECLINE_DAYS = 9
RECOVERY_DAYS = 21


@dataclass(frozen=True)
class Course:
    """people x days: decline (0 well … 1 on the day of admission), ward (whether in hospital), recovery (1 just
    discharged … 0)."""

    decline: np.ndarray
    ward: np.ndarray
    recovery: np.ndarray


def course(lived: Lived, person: np.ndarray, first: int) -> Course:
    """The course of these people on the days first … the last one lived. Notes each decline's admission."""
    stays = _stays(lived)
    days = np.arange(first, lived.today)
    shape = (len(person), len(days))
    decline, recovery, ward = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=bool)
    place = {p: i for i, p in enumerate(person.tolist())}
    for p, start, end, unplanned in zip(
        *(stays[n].tolist() for n in ("person", "start", "end", "unplanned")), strict=True
    ):
        row = place.get(p)
        if row is None:
            continue
        came, left = start // DAY_MS, end // DAY_MS
        ward[row] |= (days >= came) & (days <= left)
        if unplanned:
            before = came - days
            growing = np.where((before > 0) & (before <= DECLINE_DAYS), 1 - before / (DECLINE_DAYS + 1), 0.0)
            decline[row] = np.maximum(decline[row], growing)
        after = days - left
        fading = np.where((after > 0) & (after <= RECOVERY_DAYS), 1 - after / (RECOVERY_DAYS + 1), 0.0)
        recovery[row] = np.maximum(recovery[row], fading)
    return Course(decline, ward, recovery)


def note_declines(lived: Lived, person: np.ndarray, first: int) -> None:
    """Into the answer key: declines that ended in an admission in this stretch."""
    e = lived.encounters
    is_unplanned = (e["class_"] == IMP) & (e["priority"] != ELECTIVE) & (e["admit_source"] != TRANSFER_IN)
    rows = np.flatnonzero(is_unplanned & (e["start"] >= first * DAY_MS) & np.isin(e["person"], person))
    failing = lived.people.has(lived.now_ms)[:, CHRONIC_KEYS.index("heart_failure")]
    start = e["start"][rows]
    lived.truth.add(
        "declines",
        person_id=e["person"][rows],
        began_at=(start // DAY_MS - DECLINE_DAYS) * DAY_MS,
        admitted_at=start,
        has_heart_failure=failing[e["person"][rows]],
        visible_at=start,
    )


def _stays(lived: Lived) -> Columns:
    """Inpatient stays that matter to the stretch: earlier ones, its own, and those of the days ahead."""
    ahead = copy.deepcopy(lived.world)
    to_come, _ = ahead.live(DECLINE_DAYS + 1)
    known = stacked([lived.carried("stays"), _inpatient(lived.encounters)])
    is_recent = known["end"] > lived.now_ms - (RECOVERY_DAYS + 2) * DAY_MS
    lived.carry("stays", chosen(known, is_recent))
    return stacked([known, _inpatient(to_come)])


def _inpatient(encounters: Columns) -> Columns:
    rows = np.flatnonzero(encounters["class_"] == IMP)
    e = chosen(encounters, rows)
    unplanned = (e["priority"] != ELECTIVE) & (e["admit_source"] != TRANSFER_IN)
    return {"person": e["person"], "start": e["start"], "end": e["end"], "unplanned": unplanned}


def trait(seed: int, salt: int, person: np.ndarray) -> np.ndarray:
    """A lasting trait of each person, standard normal."""
    first, second = (
        (hashed(seed, salt, person * 2 + n) % np.uint64(1_000_003)).astype(np.float64) + 1 for n in (0, 1)
    )
    radius = np.sqrt(-2 * np.log(first / 1_000_004))
    return radius * np.cos(2 * np.pi * second / 1_000_004)
