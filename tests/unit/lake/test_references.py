"""References and deletions name a record of this server, one of another, a thing by its identifier, or nothing."""

from __future__ import annotations

import pytest

from jobs.lake.references import Addresses, Target

HOSPITAL = Addresses(("https://fhir.example.org/r4", "http://inner.example.org:8080/fhir"))
HERE = Target("Patient", "p1")

OWN = [
    "Patient/p1",
    "Patient/p1/_history/2",
    "/Patient/p1",
    "https://fhir.example.org/r4/Patient/p1",
    "https://fhir.example.org/r4/Patient/p1/_history/2",
    "HTTPS://FHIR.Example.org/r4/Patient/p1",
    "https://fhir.example.org:443/r4/Patient/p1",
    "https://fhir.example.org/r4//Patient/p1",
    "http://fhir.example.org/r4/Patient/p1",
    "http://inner.example.org:8080/fhir/Patient/p1",
]
ELSEWHERE = [
    "https://other.example/r4/Patient/p1",
    "https://fhir.example.org/Patient/p1",
    "https://fhir.example.org/R4/Patient/p1",
    "https://fhir.example.org/r4/../x/Patient/p1",
    "https://fhir.example.org:8443/r4/Patient/p1",
    "https://fhir.example.org.other.example/r4/Patient/p1",
    "https://other.example/?x=https://fhir.example.org/r4/Patient/p1",
    "http://inner.example.org/fhir/Patient/p1",
    "//other.example/r4/Patient/p1",
    "https://[broken/Patient/p1",
    "urn:oid:1.2/Patient/p1",
]
NOTHING = [
    "",
    "p1",
    "#p1",
    "Patient/",
    "Patient/p1|2",
    "people/Quill/p1",
    "Quill/p1",
    "Patients/p1",
    "patient/p1",
]


@pytest.mark.parametrize("text", OWN)
def test_a_record_of_this_server(text: str) -> None:
    assert HOSPITAL.target(text) == HERE
    assert HOSPITAL.own_record(text) == HERE


@pytest.mark.parametrize("text", ELSEWHERE)
def test_a_record_of_another_server_keeps_its_address(text: str) -> None:
    target = HOSPITAL.target(text, "Patient")
    assert target is not None
    assert (target.kind, target.id.endswith("/Patient/p1")) == ("elsewhere", True)
    assert HOSPITAL.own_record(text) is None


def test_one_record_elsewhere_is_one_target_however_it_is_written() -> None:
    ways = (
        "https://other.example/r4/Patient/p1",
        "http://OTHER.example:80/r4//Patient/p1/_history/3",
    )
    assert {HOSPITAL.target(way) for way in ways} == {Target("elsewhere", "//other.example/r4/Patient/p1")}
    assert HOSPITAL.target("https://third.example/r4/Patient/p1") != HOSPITAL.target(ways[0])


@pytest.mark.parametrize("text", NOTHING)
def test_what_names_no_record_is_no_target(text: str) -> None:
    assert HOSPITAL.target(text, "Patient") is None
    assert HOSPITAL.own_record(text) is None


def test_a_thing_by_its_identifier_is_the_same_on_every_server() -> None:
    found = Target("identifier", "http://hl7.org/fhir/sid/us-npi|99")
    for address in ("", "https://fhir.example.org/r4/", "https://other.example/"):
        text = f"{address}Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|99"
        assert HOSPITAL.target(text) == found
        assert HOSPITAL.own_record(text) is None
    assert HOSPITAL.target("Quill?identifier=http://hl7.org/fhir/sid/us-npi|99") is None


def test_a_uuid_needs_a_type_that_there_is() -> None:
    assert HOSPITAL.target("urn:uuid:0b5c", "Patient") == Target("Patient", "0b5c")
    assert HOSPITAL.target("urn:uuid:0b5c") is None
    assert HOSPITAL.target("urn:uuid:0b5c", "Quill|Quill") is None
