"""The dialects of the simulated city's HL7 senders, as their endpoints declare them."""

from __future__ import annotations

from jobs.identity.pseudonyms import Pseudonymiser
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
