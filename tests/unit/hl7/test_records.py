"""From messages to records: what is kept, under which key, and what never is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.lake.formats.hl7v2 import Piece, Rejected, parse
from jobs.lake.scrub import encode
from jobs.silver import fhir, hl7v2
from jobs.silver.hl7v2 import SHAPES, Record, Refused, demographics, fhir_text, merges, read, table_of
from jobs.silver.hl7v2.shapes import TABLES
from tests.unit.hl7.messages import (
    DIALECT,
    MRN,
    NATIONAL,
    PERSON,
    PSEUDONYMS,
    STAY,
    VISIT,
    header,
    identifier,
    message,
    recorder,
)

ADMITTED = 1767346200000000
"""2026-01-02T10:30 in Berlin."""


def records(body: bytes) -> list[Record]:
    found = list(recorder().records(parse(body)))
    assert all(isinstance(one, Record) for one in found), found
    return found  # type: ignore[return-value]


def one(body: bytes) -> Any:
    (found,) = records(body)
    return found.shape


def test_an_admission_is_kept_as_codes_pseudonyms_and_instants() -> None:
    body = message(
        "EVN||202601021031|||secret-operator|20260102", PERSON, STAY, "DG1|1||J18.9^Pneumonia^I10|||A"
    )
    (found,) = records(body)
    shape = found.shape
    assert isinstance(shape, hl7v2.Admission)
    assert found.table == "Admission"
    assert not found.is_deleted
    assert found.version_us == found.message_us == ADMITTED
    assert shape.patient_key == identifier(MRN, "N1")
    assert [i.key for i in shape.patient_ids or []] == [identifier(MRN, "N1"), identifier(NATIONAL, "0012")]
    assert shape.visit_key == identifier(VISIT, "V1")
    assert (shape.class_code, shape.admission_type, shape.admit_source) == ("I", "E", "emd")
    assert (shape.location_unit, shape.location_room, shape.prior_unit) == ("MED", "12", "ER")
    assert shape.admitted_at == {"at": ADMITTED, "precision": "second"}
    assert shape.occurred_at
    assert shape.occurred_at["precision"] == "day"
    assert shape.birth_date == {"year": 1970, "month": 2, "precision": "day"}
    assert shape.diagnoses
    assert (shape.diagnoses[0].system, shape.diagnoses[0].code) == ("I10", "J18.9")
    text = encode(shape).decode()
    for secret in ("Smith", "Anna", "Mill", "555", "N1", "0012", "V1", "Pneumonia", "1970020", "operator"):
        assert secret not in text, secret


def test_every_shape_has_a_type_for_the_engine() -> None:
    assert all(fhir.sql_type(shape).startswith("struct<`trigger`:string,") for shape in SHAPES.values())


def test_absent_says_nothing_and_null_deletes() -> None:
    cancelled = 'PV1|1|I|""|||||||||||||||""|V1^^^NORTH^VN' + "|" * 17 + '""' + "|" * 9 + '""'
    shape = one(message(PERSON.replace("|F|", '|""|'), cancelled, header=header("ADT^A13")))
    assert shape.nulled == ["sex", "location", "discharge_disposition", "discharged_at"]
    assert shape.sex is None
    assert shape.discharged_at is None
    assert one(message("PID|1||N1", "PV1|1|I", header=header("ADT^A08"))).nulled is None


def test_a_resend_has_the_key_of_the_first_and_another_sender_has_not() -> None:
    body = message(PERSON, STAY)
    assert records(body)[0].key == records(body)[0].key
    assert records(body)[0].key != records(body.replace(b"|ADT|NORTH|", b"|LAB|NORTH|"))[0].key
    assert records(body)[0].key != records(body.replace(b"|M1|", b"|M2|"))[0].key


def test_assigning_authorities_are_systems_by_name_and_type() -> None:
    ids = "N1~N2^^^NORTH&1.2.3&ISO^MR~N3^^^ELSEWHERE^PI"
    found = one(message(f"PID|1||{ids}", STAY)).patient_ids
    assert [i.key for i in found] == [
        identifier(MRN, "N1"),
        identifier(MRN, "N2"),
        identifier("urn:hl7v2:ELSEWHERE", "N3"),
    ]
    assert [i.system for i in found] == [MRN, MRN, None]


@pytest.mark.parametrize("trigger", [trigger for kind, trigger in TABLES if kind == "ADT"])
def test_every_modelled_admission_message(trigger: str) -> None:
    segments = {
        "A34": (PERSON, "MRG|N9^^^NORTH^MR"),
        "A40": (PERSON, "MRG|N9^^^NORTH^MR"),
        "A37": (PERSON, PERSON.replace("N1^", "N9^")),
        "A28": (PERSON,),
        "A31": (PERSON,),
    }.get(trigger, (PERSON, STAY))
    assert one(message(*segments, header=header(f"ADT^{trigger}"))).trigger == trigger


def test_old_messages_name_their_trigger_in_the_event() -> None:
    assert table_of(parse(message("EVN|A03|2026", header=header("ADT", version="2.3")))) == "Admission"


def test_a_merge_of_two_pairs_is_two_records() -> None:
    body = message(
        PERSON,
        "MRG|N8^^^NORTH^MR||||V8",
        PERSON.replace("N1^", "N2^"),
        "MRG|N9^^^NORTH^MR",
        header=header("ADT^A40"),
    )
    first, second = records(body)
    assert first.key != second.key
    assert first.shape.prior_patient_ids[0].key == identifier(MRN, "N8")  # type: ignore[attr-defined]
    assert first.shape.prior_visit_key == identifier(VISIT, "V8")  # type: ignore[attr-defined]
    told = merges(parse(body), DIALECT)
    assert [(m.kind, m.ids[0].value, m.prior_ids[0].value) for m in told] == [
        ("merge", "N1", "N8"),
        ("merge", "N2", "N9"),
    ]


def test_an_unlink_names_both_people() -> None:
    body = message(PERSON, "PV1|1|N", PERSON.replace("N1^", "N9^"), header=header("ADT^A37"))
    assert one(body).prior_patient_ids[0].key == identifier(MRN, "N9")
    assert [(m.kind, m.prior_ids[0].value) for m in merges(parse(body), DIALECT)] == [("unlink", "N9")]
    assert merges(parse(message(PERSON, STAY)), DIALECT) == []


def test_of_the_numbers_given_up_a_national_id_is_none() -> None:
    both = PERSON.replace("N1^", "N9^").replace("0012^", "0099^")
    found = one(message(PERSON, both, header=header("ADT^A37"))).prior_patient_ids
    assert [i.key for i in found] == [identifier(MRN, "N9")]
    only = one(message(PERSON, "MRG|0099^^^CITY^NI", header=header("ADT^A40"))).prior_patient_ids
    assert [i.key for i in only] == [identifier(NATIONAL, "0099")]


def test_demographics_are_in_clear_for_the_vault() -> None:
    assert demographics(parse(message(PERSON, STAY)), DIALECT) == {
        "identifiers": [
            {"system": MRN, "value": "N1", "type": "MR"},
            {"system": NATIONAL, "value": "0012", "type": "NI"},
        ],
        "family": "Smith",
        "given": "Anna",
        "birth_date": "1970-02-03",
        "sex": "F",
        "street": "1 Mill Street",
        "city": "Citywell",
        "postal_code": "C05 41A",
        "phone": "+1-200-555",
        "national_id": None,
    }


ORDER = "OBR|1|P7^NORTH|F7^LAB|24323-8^Metabolic panel^LN|||202601020900||||||||SER&&HL70487|||||||20260102095500||CH|F"


def result(obx: str, order: str = ORDER) -> Any:
    (found,) = recorder().records(parse(message(PERSON, STAY, order, obx, header=header("ORU^R01"))))
    return found


@pytest.mark.parametrize(
    ("obx", "kept"),
    [
        ("NM|2951-2^Sodium^LN||140.0|mmol/L^^UCUM", {"value_number": "140.0"}),
        ("NM|2951-2^Sodium^LN||-.5|mmol/L", {"value_number": "-0.5"}),
        (
            "SN|5048-4^ANA^LN||^1^:^128",
            {"value_number": "1", "value_separator": ":", "value_second_number": "128"},
        ),
        ("SN|1988-5^CRP^LN||<^0.6|mg/L", {"value_comparator": "<", "value_number": "0.6"}),
        ("ST|1988-5^CRP^LN||>= 100|mg/L", {"value_comparator": ">=", "value_number": "100"}),
        ("ST|1988-5^CRP^LN||5551234|", {"value_number": None}),
        ("TX|8251-1^Comment^LN||Anna Smith phoned", {"value_number": None}),
        ('NM|2951-2^Sodium^LN||""|mmol/L', {"nulled": ["value"]}),
        ("NM|2951-2^Sodium^LN|||mmol/L", {"value_number": None}),
    ],
)
def test_values_by_their_type(obx: str, kept: dict[str, Any]) -> None:
    shape = result(f"OBX|1|{obx}|||||F").shape if obx.count("|") > 4 else result(f"OBX|1|{obx}||||||F").shape
    assert {name: getattr(shape, name) for name in kept} == kept
    assert bool(shape.is_text_withheld) == (obx.startswith("TX") or "5551234" in obx)


def test_a_result_says_its_order_its_specimen_and_its_times() -> None:
    found = result(
        "OBX|1|CWE|600-7^Bacteria^LN|1|escherichia-coli^E. coli^99CITY^ECO^Coli^L||<5|A~H|||C|||202601020910"
    )
    shape = found.shape
    assert [(c.system, c.code) for c in shape.value_codes] == [("99CITY", "escherichia-coli"), ("L", "ECO")]
    assert (shape.flags, shape.status, shape.reference_low, shape.reference_high) == (
        ["A", "H"],
        "C",
        None,
        "5",
    )
    assert (shape.panel.code, shape.section, shape.order_status, shape.specimen.code) == (
        "24323-8",
        "CH",
        "F",
        "SER",
    )
    assert shape.filler_key == PSEUDONYMS.key("Hl7Order", "F7|LAB")
    assert found.version_us == shape.reported_at["at"] == 1767344100000000
    assert found.message_us == ADMITTED


def test_a_corrected_result_is_a_later_version_of_the_same_record() -> None:
    first = result("OBX|1|NM|2951-2^Sodium^LN||140|||||P")
    last = result("OBX|1|NM|2951-2^Sodium^LN||141|||||C", ORDER.replace("20260102095500", "20260102110000"))
    gone = result("OBX|1|NM|2951-2^Sodium^LN||||||||D")
    assert first.key == last.key == gone.key
    assert first.version_us < last.version_us
    assert gone.is_deleted


def test_two_values_of_one_name_are_two_records_and_a_bad_one_is_refused_alone() -> None:
    body = message(
        PERSON,
        ORDER,
        "OBX|1|NM|2951-2^Sodium^LN||140",
        "OBX|2|NM|2951-2^Sodium^LN||141",
        "OBX|3|NM|2160-0^Creatinine^LN||about two",
        "OBR|2||||||",
        "OBX|1|NM|2160-0^Creatinine^LN||1",
        header=header("ORU^R01"),
    )
    first, second, third, fourth = recorder().records(parse(body))
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert first.key != second.key
    assert isinstance(third, Refused)
    assert (third.rule, third.reason) == (
        "invalid_value",
        "OBX-5 is no number",
    )
    assert isinstance(fourth, Refused)
    assert (fourth.rule, fourth.key) == ("missing_field", None)


def test_a_childs_result_names_its_parent() -> None:
    child = "OBR|2|P8|F8|18769-0^Susceptibility^LN" + "|" * 22 + "600-7&Bacteria&LN^1^coli|||P7&NORTH^F7&LAB"
    shape = result("OBX|1|CWE|18864-9^Ampicillin^LN||S^^HL70078", child).shape
    assert shape.parent_key == PSEUDONYMS.key("Hl7Order", "F7|LAB")
    assert (shape.parent_observation.code, shape.parent_sub_id) == ("600-7", "1")


def test_appointments_prescriptions_and_dispenses() -> None:
    booked = message(
        "SCH|P1|A1||||ROUTINE|CHECKUP^Check^L|||min|^^15^20260109090000^20260109091500" + "|" * 14 + "Booked",
        PERSON,
        "AIL|1||CARD^^^NORTH",
        header=header("SIU^S12"),
    )
    (first,) = records(booked)
    (deleted,) = records(booked.replace(b"SIU^S12", b"SIU^S17"))
    assert first.key == deleted.key
    assert deleted.is_deleted
    assert not first.is_deleted
    assert (first.shape.status, first.shape.location_unit) == ("Booked", "CARD")  # type: ignore[attr-defined]
    ordered = message(
        PERSON,
        STAY,
        "ORC|NW|RX1^NORTH||||||||20260102100000",
        "RXE|1^BID^^20260102^20260109|C09AA05^Ramipril^ATC|5||mg^^UCUM|TAB",
        "RXR|PO",
        header=header("RDE^O11"),
    )
    drug = one(ordered)
    assert (drug.medications[0].code, drug.dose_low, drug.frequency, drug.route.code) == (
        "C09AA05",
        "5",
        "BID",
        "PO",
    )
    given = message(
        PERSON,
        "ORC|RE|RX1^NORTH|D1",
        "RXD|1|C09AA05^Ramipril^ATC|202601021200|14|TAB||RX1^NORTH|2",
        header=header("RDS^O13"),
    )
    dispensed = one(given)
    assert dispensed.prescription_key == drug.placer_key
    assert (dispensed.amount, dispensed.refills_left) == ("14", 2)


def test_a_files_messages_are_rows_of_records_rejections_and_unmodelled_ones() -> None:
    """Every message is at least one row, and one bad order or result takes no other with it."""
    orders = ("ORC|NW|1", "RXE||C^R^ATC|much", "ORC|NW|2", "RXE||C^R^ATC|5", "ORC|NW|3")
    bodies = [
        message(PERSON, STAY),
        b"hello",
        message(header=header("MDM^T02")),
        message(PERSON, *orders, header=header("RDE^O11")),
        message(PERSON, "RXE|1", "ORC|NW|1", header=header("RDE^O11")),
        message(PERSON, ORDER, "OBX|1|NM|1^A^L||x", "OBX|2|NM|2^B^L||2", header=header("ORU^R01")),
    ]
    pieces = [Piece(number, body) for number, body in enumerate(bodies, 1)]
    rows = list(read([*pieces, Piece(7, bodies[0], ended=False)], recorder()))
    assert [(row.piece.number, row.of, row.table, row.rule) for row in rows] == [
        (1, 0, "Admission", None),
        (2, 0, None, "no_header"),
        (3, 0, None, None),
        (4, 0, "Prescription", "invalid_value"),
        (4, 1, "Prescription", None),
        (4, 2, "Prescription", "missing_segment"),
        (5, 0, "Prescription", "missing_segment"),
        (5, 1, "Prescription", "missing_segment"),
        (6, 0, "Result", "invalid_value"),
        (6, 1, "Result", None),
        (7, 0, None, "truncated_message"),
    ]
    assert [row.piece.number for row in rows if row.record] == [1, 4, 6]
    assert rows[8].key is not None


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (message(STAY), "missing_segment"),
        (message(PERSON), "missing_segment"),
        (message("PID|1", STAY), "missing_field"),
        (message(PERSON, header=header("ADT^A40")), "missing_segment"),
        (message(PERSON.replace("19700203", "19701301"), STAY), "invalid_value"),
        (message(PERSON, STAY, header=header("ADT^A01", sent="")), "missing_field"),
        (message(PERSON, STAY.replace("20260102103000", "202603290230")), "invalid_value"),
        (message(PERSON, STAY, header=header("ADT^A01", version="2.7").replace(r"^~\&", r"^~\&#")), None),
        (
            message(
                PERSON.replace("N1^", "N1#^"),
                STAY,
                header=header("ADT^A01", version="2.7").replace(r"^~\&", r"^~\&#"),
            ),
            "truncated_value",
        ),
    ],
)
def test_what_makes_no_record_is_rejected_by_rule_and_place(body: bytes, rule: str | None) -> None:
    if rule is None:
        records(body)
        return
    with pytest.raises(Rejected) as rejected:
        records(body)
    assert rejected.value.args[0] == rule


@pytest.mark.parametrize(
    "body",
    [
        message("EVN|A01|202601021031", PERSON, STAY, header=header("ADT")),
        message(PERSON, STAY, header=header("ADT^A01&x")),
        message(PERSON, STAY, header=header("ADT^A01").replace("|LAKE|", f"|{'L' * 2048}|")),
        message(PERSON, STAY, header=header("ADT^A01").replace("|LAKE|", "|育|") + "||||||BIG5")
        .decode()
        .encode("big5"),
        message(PERSON, STAY, header=header("ADT^A01")).replace(b"2.5.1", b"3.0"),
        message(PERSON, STAY, header=header("ADT^A99")),
        message(PERSON, STAY, header=header("")),
        b"no message",
    ],
)
def test_a_message_comes_to_one_table_whichever_is_asked_for(body: bytes) -> None:
    piece = Piece(1, body)
    (whole,) = read([piece], recorder())
    by_table = {
        wanted: [row for row in read([piece], recorder(), wanted) if row.table == wanted] for wanted in SHAPES
    }
    assert {table: rows for table, rows in by_table.items() if rows} == (
        {whole.table: [whole]} if whole.table else {}
    )


def test_other_kinds_are_unmodelled() -> None:
    assert table_of(parse(message(header=header("MDM^T02")))) is None
    assert table_of(parse(message(header=header("ADT^A60")))) is None


WHOLE = [
    message("EVN||202601021031|||x|20260102", PERSON, STAY, "DG1|1||J18.9^Pneumonia^I10|||A"),
    message(PERSON, ORDER, "OBX|1|NM|2951-2^Sodium^LN||140|mmol/L|3-5|N|||F", header=header("ORU^R01")),
    message("SCH|P1|A1|||||||15|min|^^15^20260109090000", PERSON, header=header("SIU^S12")),
    message(PERSON, "ORC|NW|1^N", "RXE|1^BID^^20260102|C^R^ATC|5||mg", header=header("RDE^O11")),
    message(PERSON, "ORC|RE|1^N", "RXD|1|C^R^ATC|202601021200|14|TAB||1|2", header=header("RDS^O13")),
    message(PERSON, "MRG|N9", header=header("ADT^A40")),
]


@given(
    st.sampled_from(WHOLE),
    st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(list(b'|^~\\&\r\n"09-+AZ\0\xff\x0b'))), max_size=6
    ),
    st.integers(8, 600),
)
@settings(max_examples=400, deadline=None)
def test_whatever_arrives_is_a_record_or_is_rejected(
    body: bytes, changes: list[tuple[int, int]], end: int
) -> None:
    spoilt = bytearray(body[:end])
    for at, octet in changes:
        spoilt[at % len(spoilt)] = octet
    try:
        found = parse(bytes(spoilt), "WINDOWS-1252")
        merges(found, DIALECT)
        demographics(found, DIALECT)
        kept = list(recorder().records(found)) if table_of(found) else []
    except Rejected as rejected:
        rule, reason = rejected.args
        assert re.fullmatch("[a-z_]+", rule)
        assert "Smith" not in reason
    else:
        assert all(encode(one.shape) for one in kept if isinstance(one, Record))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026", "2026"),
        ("202601", "2026-01"),
        ("20260102", "2026-01-02"),
        ("2026010210", "2026-01-02T10:00:00"),
        ("202601021030", "2026-01-02T10:30:00"),
        ("20260102103015.1234-0500", "2026-01-02T10:30:15.1234-05:00"),
    ],
)
def test_stamps_of_every_precision(text: str, meant: str) -> None:
    assert fhir_text(text) == meant


def test_an_hour_is_a_period_and_a_repeated_one_is_the_first() -> None:
    found = one(message("EVN||2026010210", PERSON, STAY))
    assert found.recorded_at == {
        "at": ADMITTED - 1800_000_000,
        "until": ADMITTED + 1800_000_000,
        "precision": "hour",
    }
    twice = one(message("EVN||20251026023000", PERSON, STAY)).recorded_at
    assert twice["at"] == 1761438600000000


@pytest.mark.parametrize(
    "text", ["2026-01-02", "20260230", "20260102+0100", "202601021", "20260102103061", "now"]
)
def test_what_is_no_stamp(text: str) -> None:
    with pytest.raises(Rejected, match="invalid_value"):
        records(message(f"EVN||{text}", PERSON, STAY))
