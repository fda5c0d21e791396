"""The three hospitals and what each does its own way.

north        lastUpdated on everything, milliseconds in UTC; UUIDs; medications inline; names in
             ``subject.display``; large types split over several files; partial manifests where a client asks for
             them. Signs in with RS384.
harbour      instants with the offset ``+01:00`` and whole seconds; short lettered ids; MedicationRequests point
             at Medication resources; one file per type. Signs in with ES384.
university   no meta on Organization, Location, Practitioner and Immunization; opaque version ids; narrative
             ``text``; emergency stays of class ACUTE; files named ``Location.1767225600000.ndjson``, gzip-encoded,
             that need no token because the link is the secret (``requiresAccessToken`` is false). Signs in with
             RS384.
given        a directory of NDJSON as it is. Signs in with RS384 or ES384.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Habits:
    """What is peculiar to one hospital.

    code: small number used in keys. zone_minutes: offset its instants are written with. lines_per_file: an
    export file holds at most so many lines (0 = no limit)."""

    name: str
    title: str
    code: int
    algorithms: tuple[str, ...]
    zone_minutes: int = 0
    milliseconds: bool = True
    subject_names: bool = True
    narrative: bool = False
    medication_resources: bool = False
    opaque_versions: bool = False
    unversioned: frozenset[str] = field(default_factory=frozenset)
    lines_per_file: int = 0
    gzip: bool = False
    stamped_files: bool = False
    requires_token: bool = True
    partial_manifests: bool = False

    @property
    def source(self) -> str:
        """The name jobs and the answer key use for this endpoint."""
        return f"hospital_{self.name}"


NORTH = Habits(
    "north", "North General Hospital", 0, ("RS384",), lines_per_file=50_000, partial_manifests=True
)
HARBOUR = Habits(
    "harbour",
    "Harbour Hospital",
    1,
    ("ES384",),
    zone_minutes=60,
    milliseconds=False,
    subject_names=False,
    medication_resources=True,
)
UNIVERSITY = Habits(
    "university",
    "University Hospital",
    2,
    ("RS384",),
    narrative=True,
    opaque_versions=True,
    unversioned=frozenset({"Organization", "Location", "Practitioner", "Immunization"}),
    gzip=True,
    stamped_files=True,
    requires_token=False,
)
GIVEN = Habits("given", "Given records", 3, ("RS384", "ES384"))
HOSPITALS = (NORTH, HARBOUR, UNIVERSITY)
