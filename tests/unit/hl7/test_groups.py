"""What repeats in a message: patients, reports, orders; and what tells two records of one kind apart."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.lake.formats.hl7v2 import Rejected, parse
from jobs.silver.hl7v2 import Record, Refused
from tests.unit.hl7.messages import MRN, PERSON, STAY, VISIT, header, identifier, message, recorder

OTHER = PERSON.replace("N1^", "N2^").replace("0012^", "0013^")
ORU, RDE, RDS, SIU = header("ORU^R01"), header("RDE^O11"), header("RDS^O13"), header("SIU^S12")
SODIUM = "OBX|1|NM|2951-2^Sodium^LN||{}|mmol/L|||||F"


def found(*segments: str, header: str) -> list[Any]:
    return list(recorder().records(parse(message(*segments, header=header))))


def test_each_patient_of_a_message_has_the_results_behind_it() -> None:
    first, second = found(
        PERSON,
        STAY,
        "OBR|1||F1^LAB",
        SODIUM.format(140),
        OTHER,
        "OBR|1||F2^LAB",
        SODIUM.format(150),
        header=ORU,
    )
    assert (first.shape.patient_key, first.shape.visit_key) == (
        identifier(MRN, "N1"),
        identifier(VISIT, "V1"),
    )
    assert (second.shape.patient_key, second.shape.visit_key) == (identifier(MRN, "N2"), None)
    assert (first.shape.value_number, second.shape.value_number) == ("140", "150")


def test_a_patient_without_a_number_takes_no_other_patients_results_along() -> None:
    nobody = "PID|1||||Smith^Anna"
    refused, kept = found(
        nobody, "OBR|1||F1", SODIUM.format(140), PERSON, "OBR|1||F2", SODIUM.format(150), header=ORU
    )
    assert (refused.rule, refused.key) == ("missing_field", None)
    assert kept.shape.value_number == "150"


def test_a_result_of_no_order_is_refused() -> None:
    early, ordered = found(PERSON, SODIUM.format(140), "OBR|1||F1", SODIUM.format(150), header=ORU)
    assert (early.rule, early.key) == ("missing_segment", None)
    assert ordered.shape.value_number == "150"


def test_two_reports_under_one_number_are_two_results() -> None:
    glucose = "OBX|1|NM|2345-7^Glucose^LN||{}|mg/dL|||||F"
    results = found(PERSON, "OBR|1||F1|A", glucose.format(90), "OBR|2||F1|B", glucose.format(140), header=ORU)
    assert len({one.key for one in results}) == 2


def test_numbers_of_two_assigning_systems_are_two_orders() -> None:
    keys = {
        found(PERSON, f"OBR|1||100^^{system}^ISO", SODIUM.format(140), header=ORU)[0].key
        for system in ("1.2.3", "1.2.4")
    }
    assert len(keys) == 2


def test_a_control_id_used_again_for_something_else_is_another_message() -> None:
    def key(*segments: str, trigger: str = "A01", sent: str = "20260102103000") -> str:
        (record,) = found(*segments, header=header(f"ADT^{trigger}", sent=sent))
        return str(record.key)

    first = key(PERSON, STAY)
    assert key(PERSON, STAY, sent="20260102113000") == first
    others = (
        key(OTHER, STAY),
        key(PERSON, STAY.replace("V1^", "V2^")),
        key(PERSON, STAY, trigger="A08"),
    )
    assert len({first, *others}) == 4


def test_each_dispense_of_an_order_is_a_record() -> None:
    given = "RXD|{}|C09AA05^Ramipril^ATC|202601021200|{}|TAB||RX1^NORTH|2"
    records = found(PERSON, "ORC|RE|RX1^NORTH|D1", given.format(1, 14), given.format(2, 20), header=RDS)
    assert [one.shape.amount for one in records] == ["14", "20"]
    assert len({one.key for one in records}) == 2


def test_what_is_no_order_is_refused_beside_those_that_are() -> None:
    drug = "RXE||C09AA05^Ramipril^ATC|5"
    rows = found(PERSON, drug, "ORC|NW|1", drug, drug, "ORC|CA|3", header=RDE)
    assert [row.rule if isinstance(row, Refused) else row.shape.order_control for row in rows] == [
        "missing_segment",
        "NW",
        "repeated_order",
        "missing_segment",
    ]


@pytest.mark.parametrize(
    ("segments", "route"),
    [
        (("RXO|A", "RXR|IV", "RXE||C^R^ATC|5", "RXR|PO"), "PO"),
        (("RXO|A", "RXR|IV", "RXE||C^R^ATC|5"), "IV"),
        (("RXE||C^R^ATC|5", "RXR|PO", "RXR|IV"), "PO"),
    ],
)
def test_an_order_is_given_the_way_it_was_encoded(segments: tuple[str, ...], route: str) -> None:
    (order,) = found(PERSON, "ORC|NW|1", *segments, header=RDE)
    assert order.shape.route.code == route


@pytest.mark.parametrize(
    ("segments", "head"),
    [
        (("SCH|P1|A1", PERSON, OTHER), SIU),
        ((PERSON, OTHER, STAY), header("ADT^A08")),
    ],
)
def test_a_message_of_one_patient_that_has_two_is_refused(segments: tuple[str, ...], head: str) -> None:
    with pytest.raises(Rejected, match="repeated_segment"):
        found(*segments, header=head)


def test_a_merge_tells_the_visit_that_goes_on_and_the_one_given_up() -> None:
    (merged,) = found(PERSON, "MRG|N8^^^NORTH^MR||||V8", STAY, header=header("ADT^A40"))
    assert isinstance(merged, Record)
    assert (merged.shape.visit_key, merged.shape.prior_visit_key) == (  # type: ignore[attr-defined]
        identifier(VISIT, "V1"),
        identifier(VISIT, "V8"),
    )


def test_a_merge_that_names_nobody_is_refused() -> None:
    with pytest.raises(Rejected, match="MRG-1"):
        found(PERSON, "MRG|", header=header("ADT^A40"))
