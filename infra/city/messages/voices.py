"""Who speaks HL7 v2 in the city, and how.

north        2.5.1, UTF-8, times in UTC without an offset, a Z-segment in each message about a stay
harbour      2.3, Latin-1, local times of Europe/Berlin without an offset; orders and dispenses are of type O01
university   2.4, odd separators (``#!%$@``), UTF-8, times with their offset
laboratory   2.8, UTF-8, the truncation character, times with their offset, enhanced acknowledgement (MSH-15 AL); speaks
             of all hospitals' patients by the hospitals' numbers
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from infra.city.habits import HARBOUR, NORTH, UNIVERSITY, Habits


@dataclass(frozen=True)
class Voice:
    """One sender. ``marks``: field, component, repetition, escape, subcomponent and, from 2.7, truncation.

    authority: the assigning authority of its numbers. zone: of its times; has_offset: whether they say so.
    """

    name: str
    application: str
    authority: str
    version: str
    marks: str = "|^~\\&"
    charset: str = "utf-8"
    declared_charset: str = "UNICODE UTF-8"
    zone: str = "UTC"
    has_offset: bool = False
    has_z_segment: bool = False
    is_enhanced: bool = False

    @property
    def source(self) -> str:
        """The endpoint's name, in the lake and in the answer key."""
        return f"events_{self.name}"

    @property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    @property
    def is_old(self) -> bool:
        """Before 2.4 orders and dispenses were of one type, and MSH-9 named no structure before 2.3.1."""
        return self.version == "2.3"


VOICES = (
    Voice("north", "NGADT", "NORTH", "2.5.1", has_z_segment=True),
    Voice(
        "harbour",
        "HAVEN",
        "HARBOUR",
        "2.3",
        charset="iso8859-1",
        declared_charset="8859/1",
        zone="Europe/Berlin",
    ),
    Voice("university", "UHKIS", "UNI", "2.4", marks="#!%$@", has_offset=True),
    Voice("laboratory", "CITYLAB", "LAB", "2.8", marks="|^~\\&#", has_offset=True, is_enhanced=True),
)
BY_NAME = {voice.name: voice for voice in VOICES}
LABORATORY = BY_NAME["laboratory"]
NATIONAL_AUTHORITY = "CITY"


def of_hospital(habits: Habits) -> Voice:
    """The voice of a generated hospital."""
    return BY_NAME[habits.name]


HOSPITAL_VOICES = tuple((habits, of_hospital(habits)) for habits in (NORTH, HARBOUR, UNIVERSITY))
