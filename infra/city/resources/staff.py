"""Who works at a hospital and when. The doctors are those of the hospital's Practitioner records, under the same
names."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from infra.city.habits import Habits
from infra.city.ids import hashed
from infra.city.local_time import offset_minutes
from infra.city.population import DAY_MS, family_names
from infra.city.scribe import PRACTITIONERS, practitioner_names
from infra.city.vocabulary import GIVEN_FEMALE, GIVEN_MALE, WARDS

CANARIES = 2
SICK_SHARE, SICK_SHARE_IN_WINTER = 0.03, 0.04
_NUMBERS = 2_000_000_000
_ROLES = (
    ("nurse", ("general nursing", "intensive care nursing", "geriatric nursing")),
    ("nurse", ("general nursing", "anaesthesia nursing", "emergency nursing")),
    ("assistant", ("nursing assistant", "ward clerk")),
    ("technician", ("radiography", "laboratory", "operating theatre")),
)
_DOCTORS = ("internal medicine", "surgery", "cardiology", "anaesthesiology", "emergency medicine")
SHIFTS = (("early", 6), ("late", 14), ("night", 22))


class Member(NamedTuple):
    """One member of staff. number counts within the hospital."""

    number: int
    staff_no: str
    family: str
    given: str
    role: str
    qualification: str
    ward: int
    share: float
    since_day: int


class Shift(NamedTuple):
    """Times in ms."""

    member: Member
    kind: str
    begins: int
    ends: int
    is_sick: bool


def members(habits: Habits, seed: int, beds: int, first_day: int) -> list[Member]:
    """A hospital's staff: its doctors, and others by the number of beds."""
    count = max(24, 3 * beds)
    numbers = _NUMBERS + habits.code * 100_000 + np.arange(count)
    families = family_names(seed, numbers, np.arange(count) < CANARIES)
    draws = hashed(seed, 101, numbers).tolist()
    names = [name.removeprefix("Dr ").split(" ", 1) for name in practitioner_names(habits, seed)]
    doctor_draws = hashed(seed, 102, np.arange(PRACTITIONERS) + 1000 * habits.code).tolist()
    staff = [
        _member(habits, i, family, given, "doctor", _DOCTORS[h % len(_DOCTORS)], h, first_day)
        for i, ((given, family), h) in enumerate(zip(names, doctor_draws, strict=True))
    ]
    for i, (family, h) in enumerate(zip(families, draws, strict=True), PRACTITIONERS):
        role, qualifications = _ROLES[h % len(_ROLES)]
        pool = (GIVEN_FEMALE, GIVEN_FEMALE, GIVEN_MALE)[(h >> 8) % 3]
        given, skill = pool[(h >> 16) % len(pool)], qualifications[(h >> 24) % len(qualifications)]
        staff.append(_member(habits, i, family, given, role, skill, h, first_day))
    return staff


def _member(
    habits: Habits, i: int, family: str, given: str, role: str, skill: str, h: int, first_day: int
) -> Member:
    staff_no = f"{habits.name[0].upper()}S-{(i * 7919 + 13 * (habits.code + 1)) % 100_000:05d}"
    share = (1.0, 1.0, 1.0, 0.75, 0.5)[(h >> 32) % 5]
    return Member(
        i, staff_no, family, given, role, skill, (h >> 40) % len(WARDS), share, first_day - (h >> 48) % 5000
    )


def canary_families(habits: Habits, seed: int) -> list[str]:
    """Family names of the staff that are planted to be searched for."""
    numbers = _NUMBERS + habits.code * 100_000 + np.arange(CANARIES)
    return family_names(seed, numbers, np.ones(CANARIES, dtype=bool))


def roster(staff: list[Member], habits: Habits, seed: int, day: int) -> list[Shift]:
    """The shifts that begin on a day, local time. Who works five days of seven rotates, as does the kind of shift."""
    numbers = np.array([m.number for m in staff]) * 100_000 + day
    draws = (hashed(seed, 103 + habits.code, numbers) % np.uint64(10_000)).tolist()
    winter = 0.5 + 0.5 * np.cos((day % 365.25 - 20) / 365.25 * 2 * np.pi)
    sick = SICK_SHARE + SICK_SHARE_IN_WINTER * float(winter)
    ahead = offset_minutes(np.array([day * DAY_MS]))[0] * 60_000
    shifts = []
    for member, draw in zip(staff, draws, strict=True):
        is_off = (day + member.number * 3) % 7 < 2
        if is_off or (draw % 100) / 100 >= member.share:
            continue
        kind, hour = SHIFTS[(member.number + day // 7) % len(SHIFTS)]
        begins = int(day * DAY_MS + hour * 3_600_000 - ahead)
        shifts.append(Shift(member, kind, begins, begins + 8 * 3_600_000, draw / 10_000 < sick))
    return shifts
