"""HL7 v2 messages for tests, one segment a line."""

from __future__ import annotations

from jobs.identity.pseudonyms import Pseudonymiser
from jobs.silver.hl7v2 import Dialect, Recorder

MRN, VISIT = "https://north.city.example/mrn", "https://north.city.example/visit"
NATIONAL = "https://id.city.example/national"
PSEUDONYMS = Pseudonymiser(b"k" * 32, "hospital_north")
DIALECT = Dialect(
    patient_system=MRN,
    visit_system=VISIT,
    systems={"NORTH^MR": MRN, "NORTH^VN": VISIT, "CITY^NI": NATIONAL},
    zone="Europe/Berlin",
)
HEADER = r"MSH|^~\&|ADT|NORTH|LAKE|CITY|20260102103000||ADT^A01^ADT_A01|M1|P|2.5.1"
PERSON = (
    "PID|1||N1^^^NORTH^MR~0012^^^CITY^NI||Smith^Anna^^^Mrs||19700203|F"
    "|||1 Mill Street^^Citywell^^C05 41A||+1-200-555"
)
STAY = "PV1|1|I|MED^12^2^NORTH|E||ER^1^1^NORTH||||MED||||emd|||||V1^^^NORTH^VN" + "|" * 25 + "20260102103000"


def recorder() -> Recorder:
    return Recorder(PSEUDONYMS, DIALECT)


def identifier(system: str, value: str) -> str:
    """What a FHIR Identifier of the same hospital becomes."""
    return PSEUDONYMS.key("identifier", f"{system}|{value}")


def message(*segments: str, header: str = HEADER) -> bytes:
    return "".join(f"{segment}\r" for segment in (header, *segments)).encode()


def header(kind: str, control_id: str = "M1", sent: str = "20260102103000", version: str = "2.5.1") -> str:
    return rf"MSH|^~\&|ADT|NORTH|LAKE|CITY|{sent}||{kind}|{control_id}|P|{version}"
