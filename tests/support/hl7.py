"""The dialects of the simulated city's HL7 senders, as their endpoints declare them; messages in a journal."""

from __future__ import annotations

from pathlib import Path

from jobs.extract.mllp import Entry, Kind, journal_dir
from jobs.extract.mllp.journal import Journal
from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake import landing
from jobs.settings import settings
from jobs.silver.hl7v2 import Dialect, Recorder

NATIONAL = "https://id.city.example/national"
AUTHORITIES = {"north": "NORTH", "harbour": "HARBOUR", "university": "UNI"}
SYSTEMS = {
    f"{authority}^{kind}": f"https://{hospital}.city.example/{name}"
    for hospital, authority in AUTHORITIES.items()
    for kind, name in (("MR", "mrn"), ("VN", "visit"))
}


def dialect(sender: str) -> Dialect:
    """How a sender speaks; the laboratory's patients without an authority would be the north hospital's."""
    hospital = sender if sender in AUTHORITIES else "north"
    return Dialect(
        patient_system=f"https://{hospital}.city.example/mrn",
        visit_system=f"https://{hospital}.city.example/visit",
        systems={**SYSTEMS, "CITY^NI": NATIONAL},
        charset="ascii",
        zone="Europe/Berlin" if sender == "harbour" else "UTC",
    )


def recorder(sender: str, key: bytes) -> Recorder:
    """Makes the records of a sender; each hospital's numbers in that hospital's namespace."""
    houses = {
        system: Pseudonymiser(key, f"hospital_{hospital}")
        for hospital, authority in AUTHORITIES.items()
        for name, system in SYSTEMS.items()
        if name.startswith(f"{authority}^")
    }
    own = f"hospital_{sender}" if sender in AUTHORITIES else f"events_{sender}"
    return Recorder(Pseudonymiser(key, own), dialect(sender), houses)


def journalled(endpoint: str, *bodies: bytes) -> Path:
    """Messages to an endpoint, received and acknowledged; its journal."""
    place = journal_dir(settings().landing_dir, endpoint)
    journal = Journal(place, landing.load_key(settings().keys_dir / "landing.key"))
    journal.write([Entry(1, Kind.MESSAGE, body) for body in bodies])
    journal.close()
    return place


def arrival(number: int, *, born: str = "") -> bytes:
    """An ADT^A04 of the north hospital, told apart by ``number``. born: PID-7."""
    head = f"MSH|^~\\&|NGADT|NORTH|LAKE|CITY|20260110003000||ADT^A04|M{number}|P|2.5.1"
    return f"{head}\rPID|1||N{number}^^^NORTH^MR||||{born}\rPV1|1|O\r".encode()
