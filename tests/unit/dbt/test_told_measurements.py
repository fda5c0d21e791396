"""One measurement, whoever tells it: results of messages, a hospital's record, and devices at home."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from random import Random
from typing import Any

import pytest

from tests.unit.dbt.city import City, Row, at
from tests.unit.dbt.messenger_rows import (
    CONSENTS,
    CRP,
    DAYS,
    EARLIER,
    EARLIER_OBSERVATIONS,
    FORMS,
    LOINC,
    NOTHING,
    OBSERVATIONS,
    PEOPLE,
    READINGS,
    RESULTS,
    SODIUM,
    consent,
    told,
)

MEASUREMENTS = (
    "+fct_measurement +fct_measurement_superseded +unmapped +fct_lifestyle_daily +fct_questionnaire"
)
MODELS = "+fct_measurement +fct_measurement_superseded"
HL7 = {
    ("alone-0", "alone", "hl7", "someone", "c_reactive_protein", 120.0, "mg/L", "final"),
    ("otherwise-0", "otherwise", "hl7", "someone", "potassium", 4.1, "mmol/L", "final"),
    ("twin b-0", "twin b", "hl7", "someone", "glucose", 99.0, "mg/dL", "final"),
    ("corrected-0", "corrected", "hl7", "someone", "sodium", 138.0, "mmol/L", "corrected"),
    ("of the day-0", "of the day", "hl7", "someone", "sodium", 141.0, "mmol/L", "final"),
    ("local-0", "local", "hl7", "someone", None, None, None, "final"),
    ("below-0", "below", "hl7", "someone", "c_reactive_protein", 0.5, "mg/L", "final"),
    ("low titre-0", "low titre", "hl7", "someone", None, None, None, "final"),
    ("of the laboratory-0", "of the laboratory", "hl7", "someone", "sodium", 139.0, "mmol/L", "final"),
    ("second number-0", "second number", "hl7", "someone", "sodium", 137.0, "mmol/L", "final"),
    ("of a stranger-0", "of a stranger", "hl7", "m9", "sodium", 137.0, "mmol/L", "final"),
}
FHIR = {
    ("r both-0", "both", "both", "someone", "sodium", 140.0, "mmol/L", "final"),
    ("r style-0", "other style", "both", "someone", "creatinine", 0.896, "mg/dL", "final"),
    ("r otherwise-0", None, "fhir", "someone", "potassium", 4.2, "mmol/L", "final"),
    ("r twin-0", "twin a", "both", "someone", "glucose", 99.0, "mg/dL", "final"),
    ("r amended-0", "amended", "both", "someone", "potassium", 5.2, "mmol/L", "amended"),
    ("r behind-0", "behind", "both", "someone", "potassium", 4.4, "mmol/L", "final"),
    ("r day-0", None, "fhir", "someone", "sodium", 141.0, "mmol/L", "final"),
    ("r titre-0", "titre", "both", "someone", None, None, None, "final"),
    ("r low titre-0", None, "fhir", "someone", None, None, None, "final"),
    ("r other patient-0", None, "fhir", "t2", "sodium", 140.0, "mmol/L", "final"),
}
COLUMNS = ("measurement_key", "result_key", "told_by", "person_key", "concept", "value_canonical")


def published(city: City) -> set[tuple[Any, ...]]:
    rows = city.rows("fct_measurement", *COLUMNS, "unit_canonical", "status")
    return {(*row[:5], row[5] and round(row[5], 3), *row[6:]) for row in rows}


HOME = {
    ("cuff-0", None, "wearables", "someone", "blood_pressure", None, None, "final"),
    ("cuff-1", None, "wearables", "someone", "systolic_pressure", 128.0, "mm[Hg]", "final"),
    ("cuff-2", None, "wearables", "someone", "diastolic_pressure", 79.0, "mm[Hg]", "final"),
    ("meter-0", None, "wearables", "someone", "glucose", 99.086, "mg/dL", "final"),
    ("same as the record's-0", None, "wearables", "someone", "glucose", 99.0, "mg/dL", "final"),
    ("scales 4-0", None, "wearables", "someone", "body_weight", 72.0, "kg", "final"),
    ("scales 7-0", None, "wearables", "someone", "body_weight", 72.0, "kg", "final"),
    ("slipped scales-0", None, "wearables", "someone", "body_weight", 72.121, "kg", "final"),
}


TWICE = {
    ("both", "r both", 0, "same"),
    ("other style", "r style", 0, "same"),
    ("twin a", "r twin", 0, "same"),
    ("retracted", "r retracted", 0, "same"),
    ("amended", "r amended", 0, "same"),
    ("behind", "r behind", 0, "same"),
    ("titre", "r titre", 0, "same"),
    ("otherwise", "r otherwise", 0, "other_value"),
    ("low titre", "r low titre", 0, "other_value"),
}


def put(city: City, *, observations: Sequence[Row], results: Sequence[Row]) -> None:
    city.put(
        {"hospital_events__result": EARLIER, "observation": EARLIER_OBSERVATIONS if observations else []},
        observation=observations,
        hospital_events__result=results,
    )


@pytest.fixture(scope="module")
def messages(city: City) -> City:
    """Results and readings at home, and no record of a hospital yet."""
    city.put(**PEOPLE, **NOTHING)
    put(city, observations=[], results=RESULTS)
    city.put(
        wearables__home_reading=READINGS,
        wearables__consent=CONSENTS,
        wearables__daily_summary=DAYS,
        wearables__questionnaire=FORMS,
    )
    return city


def test_what_messages_and_devices_tell_is_measured(messages: City) -> None:
    result = messages.build(MEASUREMENTS)
    assert {test.status for test in result.tests} == {"pass", "warn"}
    rows = published(messages)
    assert {row for row in rows if row[2] == "wearables"} == HOME
    told_alone = {row for row in rows if row[2] == "hl7"}
    assert len(rows) == len(HOME) + len(told_alone)
    recorded_later = {row[1] for row in FHIR if row[2] == "both"} | {"retracted"}
    assert {row[1] for row in told_alone - HL7} == recorded_later
    assert told_alone > HL7
    columns = ("encounter_key", "is_encounter_resolved", "is_person_resolved", "location_type_code")
    by_key = {row[0]: row[1:] for row in messages.rows("fct_measurement", "measurement_key", *columns)}
    assert by_key["alone-0"] == ("told stay", True, True, "HOSP")
    assert by_key["of a stranger-0"] == (None, None, False, "HOSP")
    assert by_key["cuff-1"] == (None, None, True, "PTRES")
    columns = ("measurement_key", "code_system", "code", "value_type", "value_code", "value_comparator")
    told_as = {row[0]: row[1:] for row in messages.rows("fct_measurement", *columns, "interpretation_code")}
    assert told_as["local-0"] == ("urn:hl7v2:99LAB", "NOROV", "codeable_concept", "detected", None, None)
    assert told_as["below-0"] == (LOINC, CRP, "quantity", None, "<", "L")
    unmapped = messages.rows("unmapped", "source", "code_system", "code", "record_count", schema="quality")
    assert ("hospital_north", "urn:hl7v2:99LAB", "NOROV", 1) in unmapped


def test_days_and_forms_have_tables_of_their_own(messages: City) -> None:
    columns = ("daily_summary_key", "person_key", "date", "steps", "is_person_resolved")
    assert messages.rows("fct_lifestyle_daily", *columns) == {
        ("by another account", "someone", date(2026, 3, 10), 4100, True),
        ("second", "someone", date(2026, 3, 11), 0, True),
    }
    columns = ("questionnaire_key", "person_key", "form_code", "total_points", "is_complete")
    assert messages.rows("fct_questionnaire", *columns) == {
        ("low", "someone", "PHQ-9", 14, True),
        ("left out", "someone", "PSS-10", None, False),
    }


def test_what_messages_and_the_record_tell_is_one_measurement(messages: City) -> None:
    put(messages, observations=OBSERVATIONS, results=RESULTS)
    result = messages.build(MEASUREMENTS)
    assert {test.status for test in result.tests} == {"pass", "warn"}
    assert published(messages) == HL7 | FHIR | HOME
    columns = ("result_key", "observation_key", "component_index", "verdict")
    assert messages.rows("told_twice", *columns, schema="quality") == TWICE
    times = ("measurement_key", "first_known_at", "available_at", "usable_at", "interpretation_code")
    rows = {row[0]: row[1:] for row in messages.rows("fct_measurement", *times)}
    messaged, exported = at("2026-03-02 10:00"), at("2026-03-03 02:00")
    assert rows["r both-0"] == (messaged, exported, exported, "N")
    assert rows["alone-0"] == (messaged, messaged, messaged, None)

    columns = ("measurement_key", "told_by", "value_number", "usable_at", "superseded_at", "superseded_by")
    second, fourth = "2026-03-02 10:00", "2026-03-04 10:00"
    assert messages.rows("fct_measurement_superseded", *columns) == {
        ("both-0", "hl7", 140.0, at(second), exported, "fhir"),
        ("other style-0", "hl7", 79.184, at(second), exported, "fhir"),
        ("twin a-0", "hl7", 99.0, at(second), exported, "fhir"),
        ("titre-0", "hl7", 1.0, at(second), exported, "fhir"),
        ("amended-0", "hl7", 5.0, at(second), at("2026-03-07"), "fhir"),
        ("retracted-0", "hl7", 150.0, at(second), at("2026-03-07"), "fhir"),
        ("r amended-0", "fhir", 5.0, at("2026-03-07"), at("2026-03-08"), "fhir"),
        ("r retracted-0", "fhir", 150.0, at("2026-03-07"), at("2026-03-08"), "fhir"),
        ("corrected-0", "hl7", 165.0, at(fourth), at("2026-03-04 12:00"), "hl7"),
        ("behind-0", "hl7", 4.0, at("2026-03-04 09:00"), at("2026-03-04 20:00"), "fhir"),
        ("deleted-0", "hl7", 132.0, at("2026-03-02 09:00"), at(second), "hl7"),
    }


def test_the_order_of_arrival_makes_no_difference(messages: City) -> None:
    """The record before any message, then everything in another order: as when the messages came first."""
    tables = (("fct_measurement", "gold"), ("fct_measurement_superseded", "gold"), ("told_twice", "quality"))
    before = [messages.rows(name, schema=schema) for name, schema in tables]
    put(messages, observations=OBSERVATIONS, results=[])
    messages.build_models(MODELS)
    assert {row[2] for row in published(messages)} == {"fhir", "wearables"}
    shuffled = list(OBSERVATIONS), list(RESULTS)
    for rows in shuffled:
        Random(1).shuffle(rows)
    put(messages, observations=shuffled[0], results=shuffled[1])
    messages.build_models(MODELS)
    assert [messages.rows(name, schema=schema) for name, schema in tables] == before


def test_a_late_patient_is_found_and_withdrawn_consent_takes_readings_away(messages: City) -> None:
    patients = [*PEOPLE["patient"], {"patient_key": "p9", "identifier_keys": ["m9"]}]
    messages.put(patient=patients, wearables__consent=[consent("wearer", False), consent("refuser", True)])
    messages.build_models(MODELS)
    rows = published(messages)
    assert {row[0] for row in rows if row[2] == "wearables"} == {"of a refuser-0"}
    (stranger,) = (row for row in rows if row[1] == "of a stranger")
    assert stranger[3] == "p9"


def test_a_day_that_a_result_tells_is_a_day_of_the_house(messages: City) -> None:
    """In Berlin, where the messages come from, a day begins at 23:00 UTC; the house's days begin at midnight UTC."""
    harbour = {"source": "events_harbour"}
    put(
        messages,
        observations=[],
        results=[
            told("day", SODIUM, 140.0, "mmol/L", "02 23:00", **harbour, observed_precision="day"),
            told("second", SODIUM, 141.0, "mmol/L", "02 23:00", **harbour),
        ],
    )
    messages.build_models("+fct_measurement")
    rows = messages.rows("fct_measurement", "result_key", "effective_at")
    assert {row for row in rows if row[0] is not None} == {
        ("day", at("2026-03-03")),
        ("second", at("2026-03-02 23:00")),
    }
