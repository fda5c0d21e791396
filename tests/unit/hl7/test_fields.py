"""Fields and their components: whose number, which unit, what time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from jobs.lake.formats.hl7v2 import Rejected, parse
from jobs.silver.hl7v2 import Refused, demographics
from tests.unit.hl7.messages import DIALECT, MRN, PERSON, STAY, header, identifier, message, recorder

ORU = header("ORU^R01")


def one(*segments: str, header: str = header("ADT^A01")) -> Any:
    (found,) = recorder().records(parse(message(*segments, header=header), "utf-8"))
    return found.rule if isinstance(found, Refused) else found.shape


@pytest.mark.parametrize(
    ("cx", "system"),
    [
        ("N1", MRN),
        ("N1^^^^MR", MRN),
        ("N1^^^&2.16.840.1&ISO^MR", "urn:hl7v2:2.16.840.1"),
        ("N1^^^ELSEWHERE&2.16.840.1&ISO", "urn:hl7v2:ELSEWHERE"),
        ('N1^^^""^MR', MRN),
    ],
)
def test_a_number_is_of_the_authority_that_gave_it(cx: str, system: str) -> None:
    assert one(PERSON.replace("N1^^^NORTH^MR", cx), STAY).patient_key == identifier(system, "N1")


def test_two_quotes_within_a_field_are_nothing_too() -> None:
    shape = one(
        PERSON.replace("0012^^^CITY^NI", '""^^^CITY^NI').replace("Smith^Anna", 'Smith^""'),
        STAY.replace("V1^^^NORTH^VN", '""^^^NORTH^VN').replace("MED^12^2", 'MED^""^""'),
        'DG1|1||""^""^""',
    )
    assert len(shape.patient_ids) == 1
    assert (shape.visit_key, shape.location_unit, shape.location_room) == (None, "MED", None)
    assert shape.diagnoses is None
    told = demographics(parse(message(PERSON.replace("Smith^Anna", 'Smith^""'), STAY)), DIALECT)
    assert (told["family"], told["given"]) == ("Smith", None)


@pytest.mark.parametrize(
    ("kind", "value", "written", "unit"),
    [
        ("NM", "88", "µmol/L", "µmol/L"),
        ("NM", "88", "mm Hg", "mm Hg"),
        ("NM", "88", "^mg/dL", "mg/dL"),
        ("NM", "88", "mg/dL^milligrams^UCUM", "mg/dL"),
        ("ST", "<88", "µmol/L", "µmol/L"),
        ("NM", "88", '""', None),
    ],
)
def test_a_unit_is_kept_as_written(kind: str, value: str, written: str, unit: str | None) -> None:
    shape = one(PERSON, "OBR|1||F1", f"OBX|1|{kind}|1^A^LN||{value}|{written}", header=ORU)
    assert (shape.value_number, shape.unit and shape.unit.code) == ("88", unit)


def test_a_number_whose_unit_cannot_be_read_is_refused() -> None:
    assert one(PERSON, "OBR|1||F1", "OBX|1|NM|1^A^LN||88|see the note of the laboratory", header=ORU) == (
        "invalid_value"
    )


@pytest.mark.parametrize(
    ("duration", "minutes"),
    [("30|", 30), ("30|min", 30), ("3600|s", 60), ("1|h^hour", 60), ("90|s", 2), ("|min", None)],
)
def test_a_duration_is_in_minutes_whatever_its_unit(duration: str, minutes: int | None) -> None:
    schedule = f"SCH|P1|A1|||||||{duration}"
    assert one(schedule, PERSON, header=header("SIU^S12")).duration_minutes == minutes


def test_a_duration_in_an_unknown_unit_is_refused() -> None:
    with pytest.raises(Rejected, match="SCH-10"):
        one("SCH|P1|A1|||||||3|shift", PERSON, header=header("SIU^S12"))


@pytest.mark.parametrize(
    ("sent", "admitted", "utc"),
    [
        ("20260102103000", "20260102103000", "2026-01-02T09:30"),
        ("20260102103000+0000", "20260102103000", "2026-01-02T10:30"),
        ("20260102103000+0000", "20260102103000+0100", "2026-01-02T09:30"),
        ("20260102103000+0100", "20260102103000", "2026-01-02T09:30"),
        # The zone of the endpoint, told in winter, holds in summer as summer time.
        ("20260102103000+0100", "20250702103000", "2025-07-02T08:30"),
        ("20260102103000+0000", "20250702103000", "2025-07-02T10:30"),
    ],
)
def test_the_offset_of_the_header_is_that_of_all_times(sent: str, admitted: str, utc: str) -> None:
    shape = one(PERSON, STAY.replace("20260102103000", admitted), header=header("ADT^A01", sent=sent))
    assert datetime.fromtimestamp(shape.admitted_at["at"] / 1e6, UTC).isoformat()[:16] == utc


@pytest.mark.parametrize(
    ("written", "precision"),
    [
        ("20260102000000^D", "day"),
        ("20260102000000+0100^D", "day"),
        ("2026010210^H", "hour"),
        ("20260102100000^H", "hour"),
        ("20260102103000^S", "second"),
        ("20260102^S", "day"),
        ("202601021030", "second"),
    ],
)
def test_a_time_is_as_precise_as_it_is_said_to_be(written: str, precision: str) -> None:
    shape = one(PERSON, STAY.replace("20260102103000", written))
    assert shape.admitted_at["precision"] == precision
