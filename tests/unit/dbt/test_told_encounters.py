"""One event, two messengers: what messages tell of a visit, and what becomes of it when its record arrives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date
from pathlib import Path
from random import Random
from typing import Any

import pytest

from infra.engine.launch import Engine
from jobs.lake import tables
from ml.features import knowledge
from ml.risk.readmission_30d import cohort
from tests.unit.dbt.city import City, Row, a_city, at

ENCOUNTERS = "+fct_encounter"


def said(trigger: str, visit: str | None, day: str, **more: Any) -> Row:
    """An ADT message of patient m1 and a visit of North Hospital, sent on an instant in March 2026."""
    sent = f"2026-03-{day}"
    return {
        "source": "events_north",
        "admission_key": f"{trigger} {visit} {day}",
        "trigger": trigger,
        "patient_key": "m1",
        "visit_key": visit,
        "valid_from": sent,
        "version_at": sent,
        "available_at": sent,
        "usable_at": sent,
        "known_from": sent,
        **more,
    }


def begun(day: str) -> Row:
    return {"admitted_at": f"2026-03-{day}", "admitted_precision": "second"}


def over(day: str) -> Row:
    return {"discharged_at": f"2026-03-{day}", "discharged_precision": "second"}


NULL_END = {"nulled": ["discharged_at", "discharge_disposition"]}
MESSAGES: Sequence[Row] = (
    # Announced, admitted, moved, made an outpatient, discharged too early, taken back, discharged.
    said("A05", "stay", "01 08:00", class_code="P", admission_type="C", expected_at="2026-03-02 07:00"),
    said("A01", "stay", "02 08:10", class_code="I", location_unit="WEST", **begun("02 08:00")),
    said("A02", "stay", "02 12:00", location_unit="EAST"),
    said("A08", "stay", "02 13:00", reason_system="I10C", reason_code="I50.9", admit_source="7"),
    said("A03", "stay", "03 09:00", discharge_disposition="01", **over("03 09:00")),
    said("A13", "stay", "03 09:40", **NULL_END),
    said("A03", "stay", "04 10:10", discharge_disposition="62", **over("04 10:00")),
    said("A05", "announced", "01 09:00", class_code="P", expected_at="2026-03-09"),
    said("A01", "never_was", "02 09:00", class_code="I"),
    said("A11", "never_was", "02 10:00"),
    said("A03", "taken_back", "03 10:00", class_code="I", **begun("02 09:00"), **over("03 10:00")),
    said("A13", "taken_back", "03 10:30", **NULL_END),
    said("A04", "becomes_stay", "02 20:00", class_code="E", occurred_at="2026-03-02 19:55"),
    said("A06", "becomes_stay", "02 22:00"),
    said("A01", "given_up", "05 08:00", class_code="I", **begun("05 07:00")),
    said("A08", "kept", "05 09:00", prior_visit_key="given_up", location_unit="EAST"),
    said("A04", "second_number", "05 10:00", patient_key="m2", class_code="O"),
    said("A40", None, "05 12:00", prior_patient_keys=["m2"]),
    said("A04", "parted", "05 10:00", patient_key="m3", class_code="O"),
    said("A40", None, "05 13:00", prior_patient_keys=["m3"]),
    said("A37", None, "05 14:00", patient_key="m3", prior_patient_keys=["m1"]),
    said("A04", "merged_after_all", "05 10:30", patient_key="m4", class_code="O"),
    said("A37", None, "05 18:00", prior_patient_keys=["m4"], valid_from="2026-03-05 11:00"),
    said("A40", None, "05 17:00", prior_patient_keys=["m4"], valid_from="2026-03-05 16:00"),
    said("A04", "nonsense", "06 10:00", class_code="O", **begun("06 10:00")),
    said("A03", "nonsense", "06 11:00", **over("05 11:00")),
)
PATIENTS = [
    {"patient_key": "p1", "identifier_keys": ["national", "m1"]},
    {"patient_key": "p9", "source": "hospital_harbour", "identifier_keys": ["m3"]},
]
COLUMNS = (
    "encounter_key",
    "told_by",
    "patient_key",
    "status",
    "class_code",
    "location_unit",
    "started_at",
    "ended_at",
)
TOLD = {
    ("stay", "hl7", "p1", "finished", "IMP", "EAST", at("2026-03-02 08:00"), at("2026-03-04 10:00")),
    ("taken_back", "hl7", "p1", "in-progress", "IMP", None, at("2026-03-02 09:00"), None),
    ("becomes_stay", "hl7", "p1", "in-progress", "IMP", None, at("2026-03-02 19:55"), None),
    ("kept", "hl7", "p1", "in-progress", "IMP", "EAST", at("2026-03-05 07:00"), None),
    ("second_number", "hl7", "p1", "in-progress", "AMB", None, at("2026-03-05 10:00"), None),
    ("parted", "hl7", "m3", "in-progress", "AMB", None, at("2026-03-05 10:00"), None),
    ("merged_after_all", "hl7", "p1", "in-progress", "AMB", None, at("2026-03-05 10:30"), None),
    ("nonsense", "hl7", "p1", "finished", "AMB", None, at("2026-03-06 10:00"), None),
}


@pytest.fixture
def told(city: City) -> City:
    """North Hospital's messages, and no record of an encounter."""
    city.put(
        patient=PATIENTS,
        person_link=[{"patient_key": "p1", "person_key": "someone", "linked_at": "2026-04-01"}],
        encounter=[],
        hospital_events__admission=MESSAGES,
    )
    return city


def test_messages_are_folded_into_visits_in_any_order_of_arrival(told: City) -> None:
    result = told.build()
    assert {test.status for test in result.tests} == {"pass", "warn"}
    assert told.rows("fct_encounter", *COLUMNS) == TOLD
    assert told.rows("fct_exposure_daily") == set(), "of a city whose stations say nothing"
    more = ("priority_code", "reason_code", "admit_source_code", "discharge_disposition_code", "person_key")
    times = ("first_known_at", "available_at", "source", "is_person_resolved")
    (stay,) = (row for row in told.rows("fct_encounter", "visit_key", *more, *times) if row[0] == "stay")
    assert stay[1:] == (
        "EL", "I50.9", "emd", "rehab", "someone",
        at("2026-03-01 08:00"), at("2026-03-04 10:10"), "hospital_north", True,
    )  # fmt: skip

    before = told.rows("fct_encounter")
    for seed in range(2):
        shuffled = list(MESSAGES)
        Random(seed).shuffle(shuffled)
        told.put(hospital_events__admission=shuffled)
        told.build_models(ENCOUNTERS)
        assert told.rows("fct_encounter") == before


def test_numbers_are_followed_and_messages_of_one_minute_are_put_in_order(told: City) -> None:
    told.put(
        hospital_events__admission=[
            # Numbers that were given up for numbers that were given up; and for one by which nobody is known.
            said("A01", "link_1", "05 08:00", class_code="I", **begun("05 07:00")),
            said("A40", "link_2", "05 09:00", prior_visit_key="link_1", prior_patient_keys=["unknown"]),
            said("A40", "link_3", "05 10:00", prior_visit_key="link_2", prior_patient_keys=["unknown"]),
            said("A04", "chained", "05 10:00", patient_key="m5", class_code="O"),
            said("A40", None, "06 12:00", patient_key="m6", prior_patient_keys=["m5"]),
            said("A40", None, "06 13:00", prior_patient_keys=["m6"]),
            said("A40", None, "06 14:00", patient_key="nobody", prior_patient_keys=["m1"]),
            # Of one minute: what can only follow, follows.
            *(said("A03", f"short_{n}", "07 10:00", **over("07 10:00")) for n in range(4)),
            *(said("A01", f"short_{n}", "07 10:00", class_code="I", **begun("07 10:00")) for n in range(4)),
            *(said(trigger, f"withdrawn_{n}", "07 10:00") for n in range(4) for trigger in ("A11", "A01")),
            said("A03", "back_again", "07 10:00", valid_from="2026-03-07 10:00:10", **over("07 10:00")),
            said("A01", "back_again", "07 10:00", valid_from="2026-03-07 10:00:20", class_code="I"),
        ]
    )
    told.build_models(ENCOUNTERS)
    assert told.rows("fct_encounter", *COLUMNS) == {
        ("link_3", "hl7", "p1", "in-progress", "IMP", None, at("2026-03-05 07:00"), None),
        ("chained", "hl7", "p1", "in-progress", "AMB", None, at("2026-03-05 10:00"), None),
        *(
            (
                f"short_{n}",
                "hl7",
                "p1",
                "finished",
                "IMP",
                None,
                at("2026-03-07 10:00"),
                at("2026-03-07 10:00"),
            )
            for n in range(4)
        ),
        ("back_again", "hl7", "p1", "in-progress", "IMP", None, at("2026-03-07 10:00"), None),
    }


def record(key: str, visit: str, status: str, **more: Any) -> Row:
    """The hospital's record of an encounter of patient p1, in an export of the morning of 3 March."""
    return {
        "encounter_key": key,
        "identifier_keys": [visit],
        "patient_key": "p1",
        "status": status,
        "class_code": "IMP",
        "started_at": "2026-03-02 08:00",
        "started_precision": "second",
        "version_at": "2026-03-03 02:00",
        "available_at": "2026-03-03 02:00",
        "usable_at": "2026-03-03 02:00",
        "known_from": "2026-03-03 02:00",
        **more,
    }


def coding(code: str | None, system: str = "http://hl7.org/fhir/sid/icd-10-cm") -> Row:
    return {"system": system, "code": code, "display": None}


ENDED = {"ended_at": "2026-03-05 18:00", "ended_precision": "second"}
RECORDS = [
    record("r_stay", "stay", "in-progress", reason_codings=[coding("J44.9")], **ENDED),
    record("r_kept", "kept", "finished", class_code="ACUTE", usable_at="2026-03-06", **ENDED),
    record("r_planned", "taken_back", "planned"),
    record("r_cancelled", "becomes_stay", "cancelled"),
    {"encounter_key": "r_deleted", "is_deleted": True, "version_at": "2026-03-06"},
    record("r_elsewhere", "parted", "finished", source="hospital_harbour"),
    record("r_never", "never_was", "in-progress"),
    record("r_alone", "alone", "arrived"),
]


def test_a_record_and_messages_of_one_visit_are_one_encounter(told: City) -> None:
    """The record wins but for the ward and for how far the visit has come; its key is the row's from then on."""
    told.put({"encounter": [record("r_deleted", "second_number", "finished")]}, encounter=RECORDS)
    result = told.build()
    assert {test.status for test in result.tests} == {"pass", "warn"}
    columns = (
        "encounter_key",
        "visit_key",
        "told_by",
        "status",
        "class_code",
        "location_unit",
        "end_told_by",
    )
    (parted, merged, nonsense), both = (
        [("parted", "parted", "hl7", "in-progress", "AMB", None, None),
         ("merged_after_all", "merged_after_all", "hl7", "in-progress", "AMB", None, None),
         ("nonsense", "nonsense", "hl7", "finished", "AMB", None, None)],
        [("r_stay", "stay", "both", "finished", "IMP", "EAST", "hl7"),
         ("r_kept", "kept", "both", "finished", "ACUTE", "EAST", "fhir"),
         ("r_planned", "taken_back", "hl7", "in-progress", "IMP", None, None)],
    )  # fmt: skip
    assert told.rows("fct_encounter", *columns) == {
        parted,
        merged,
        nonsense,
        *both,
        ("r_elsewhere", None, "fhir", "finished", "IMP", None, None),
        ("r_never", None, "fhir", "in-progress", "IMP", None, None),
        ("r_alone", None, "fhir", "arrived", "IMP", None, None),
    }
    times = ("reason_code", "ended_at", "first_known_at", "available_at", "known_from", "usable_at")
    rows = {row[0]: row[1:] for row in told.rows("fct_encounter", "encounter_key", *times)}
    announced, discharged = at("2026-03-01 08:00"), at("2026-03-04 10:10")
    assert rows["r_stay"] == ("J44.9", at("2026-03-04 10:00"), announced, discharged, discharged, discharged)
    assert rows["r_kept"] == (
        None, at("2026-03-05 18:00"), at("2026-03-03 02:00"), *[at("2026-03-05 09:00")] * 2, at("2026-03-06"),
    )  # fmt: skip


def test_the_reason_is_the_icd_10_code_whatever_stands_beside_it(told: City) -> None:
    """A code of another system is none, though it looks like one; what messages tell fills the gap."""
    snomed, icd9, local = "http://snomed.info/sct", "http://hl7.org/fhir/sid/icd-9-cm", "urn:example:ehr"
    reasons = {
        "first": [coding("J18.9"), coding("J44.9")],
        "beside_snomed": [coding("A1", snomed), coding("J18.9")],
        "german": [coding(None), coding("J18.9", "http://fhir.de/CodeSystem/bfarm/icd-10-gm")],
        "of_who": [coding("J18.9", "http://hl7.org/fhir/sid/icd-10")],
        "snomed": [coding("A1", snomed)],
        "icd_9": [coding("E812", icd9)],
        "look_alike": [coding("J18", local), {**coding("J18"), "system": None}],
        "words_alone": [],
        "silent": None,
        "told_of_snomed": [coding("A1", snomed)],
    }

    def reason(visit: str, when: str, system: str | None, code: str) -> Row:
        return said("A01", visit, when, class_code="I", reason_system=system, reason_code=code)

    told.put(
        encounter=[record(key, key, "finished", reason_codings=codings) for key, codings in reasons.items()],
        hospital_events__admission=[
            reason("told_of_snomed", "02 09:00", "I10C", "J15.9"),
            reason("told_who", "02 09:00", "I10", "J15.9"),
            reason("told_who", "02 10:00", "SCT", "A1"),
            reason("told_local", "02 09:00", "L", "J15.9"),
            reason("told_nameless", "02 09:00", None, "J15.9"),
        ],
    )
    told.build_models(ENCOUNTERS)
    assert told.rows("fct_encounter", "encounter_key", "reason_code") == {
        *((key, "J18.9") for key in ("first", "beside_snomed", "german", "of_who")),
        *((key, None) for key in ("snomed", "icd_9", "look_alike", "words_alone", "silent")),
        *((key, "J15.9") for key in ("told_of_snomed", "told_who")),
        *((key, None) for key in ("told_local", "told_nameless")),
    }


def test_a_death_stands_until_messages_take_it_back(told: City) -> None:
    """In the order they were sent, whatever order they come in, and as if built anew. Harbour's days begin at midnight
    UTC, those of its messages in Berlin."""
    dead, alive = {"is_deceased": True}, {"is_deceased": False}
    at_five = {"deceased_at": "2026-03-10 05:00", "deceased_precision": "second"}
    of_day = {"deceased_at": "2026-03-09 23:00", "deceased_precision": "day"}
    nothing, unknown, known = (
        (False, None, None),
        (True, None, None),
        (True, at("2026-03-10 05:00"), "second"),
    )
    cases: dict[str, tuple[Sequence[Row], tuple[Any, ...]]] = {
        "silent": ([{}], nothing),
        "dead": ([dead, {}], unknown),
        "dated": ([at_five, {}], known),
        "dated once": ([{**dead, **at_five}, dead], known),
        "alive": ([dead, alive], nothing),
        "taken back": ([{**dead, **at_five}, {"nulled": ["is_deceased", "deceased_at"]}], nothing),
        "undated": ([{**dead, **at_five}, {"nulled": ["deceased_at"], **dead}], unknown),
        "dead again": ([at_five, alive, dead], unknown),
        "deleted": ([dead, {"is_deleted": True, **alive}], unknown),
        "merged": (
            [{"patient_key": "old", **dead}, {"trigger": "A40", "prior_patient_keys": ["old"]}],
            unknown,
        ),
        "stranger": ([{"patient_key": "nobody's", **dead}], nothing),
        "elsewhere": ([{"source": "events_harbour", **of_day}], (True, at("2026-03-10"), "day")),
        "other house": ([{"source": "events_university", **dead}], nothing),
    }
    messages = [
        {
            **said("A31", None, f"10 {10 + hour}:00", admission_key=f"{case} {hour}", patient_key=case),
            **words,
        }
        for case, (tellings, _) in cases.items()
        for hour, words in enumerate(tellings)
    ]
    told.put(
        patient=[
            {
                "patient_key": f"patient {case}",
                "source": "hospital_harbour" if case == "elsewhere" else "hospital_north",
                "identifier_keys": [case],
            }
            for case in cases
        ]
    )
    people, columns = "+dim_person", ("is_deceased", "deceased_at", "deceased_precision")
    for arrived in (messages[1::2], messages[::-1]):
        told.put(hospital_events__admission=arrived)
        told.build_models(people)
    assert told.rows("dim_person", "patient_key", *columns) == {
        (f"patient {case}", *expected) for case, (_, expected) in cases.items()
    }
    rows = told.rows("dim_person")
    told.put(hospital_events__admission=messages)
    told.build_models(people, full_refresh=True)
    assert told.rows("dim_person") == rows


def test_a_day_that_messages_tell_is_a_day_of_the_house(told: City) -> None:
    """In Berlin, where the messages come from, a day begins at 23:00 UTC; the house's days begin at midnight UTC."""
    harbour = {"source": "events_harbour", "patient_key": "m3", "class_code": "I"}
    to_the_day = {"admitted_precision": "day", "discharged_precision": "day"}
    told.put(
        hospital_events__admission=[
            said("A03", "days", "05 10:00", **harbour, **to_the_day,
                 admitted_at="2026-03-02 23:00", discharged_at="2026-03-04 23:00"),
            said("A03", "seconds", "05 10:00", **harbour, **begun("02 23:30"), **over("04 23:00")),
            said("A03", "hours", "05 10:00", **harbour, admitted_precision="hour", discharged_precision="hour",
                 admitted_at="2026-03-02 23:00", discharged_at="2026-03-04 23:00"),
        ]
    )  # fmt: skip
    told.build_models(ENCOUNTERS)
    columns = ("encounter_key", "started_date", "ended_at", "ended_date", "length_of_stay_hours")
    second, third, fourth, fifth = (date(2026, 3, day) for day in (2, 3, 4, 5))
    assert told.rows("fct_encounter", *columns) == {
        ("days", third, at("2026-03-05"), fifth, 48.0),
        ("seconds", second, at("2026-03-04 23:00"), fourth, 47.5),
        ("hours", second, at("2026-03-04 23:00"), fourth, None),
    }


def test_an_end_is_before_the_start_where_no_instant_of_it_is_not(told: City) -> None:
    """Of a record too: silver accepts the end of a day and an hour before the start."""

    def stay(visit: str, ended: str, precision: str) -> Row:
        end = {"discharged_at": ended, "discharged_precision": precision}
        return said("A03", visit, "05 20:00", class_code="I", **begun("05 08:00"), **end)

    def recorded(key: str, started: str, started_precision: str, ended: str) -> Row:
        start = {"started_at": started, "started_precision": started_precision}
        return record(key, key, "finished", **start, ended_at=ended, ended_precision="day")

    told.put(
        hospital_events__admission=[
            stay("same_day", "2026-03-05", "day"),
            stay("day_before", "2026-03-04", "day"),
            stay("same_month", "2026-03-01", "month"),
            stay("month_before", "2026-02-01", "month"),
            stay("same_year", "2026-01-01", "year"),
            stay("year_before", "2025-01-01", "year"),
            stay("hour_before", "2026-03-05 07:00", "second"),
        ],
        encounter=[
            recorded("record_same_day", "2026-03-02 08:00", "second", "2026-03-02"),
            recorded("record_days", "2026-03-02", "day", "2026-03-04"),
            recorded("record_day_before", "2026-03-02 00:30", "second", "2026-03-01"),
        ],
    )
    result = told.build("+fct_encounter")
    assert "encounters_end_after_they_start" in {test.name for test in result.tests}
    assert {test.status for test in result.tests} == {"pass", "warn"}
    columns = ("encounter_key", "ended_at", "ended_precision", "ended_date", "end_told_by")
    nothing = (None, None, None, None, None)
    assert told.rows("fct_encounter", *columns, "length_of_stay_hours") == {
        ("same_day", at("2026-03-05"), "day", date(2026, 3, 5), "hl7", None),
        ("day_before", *nothing),
        ("same_month", at("2026-03-01"), "month", None, "hl7", None),
        ("month_before", *nothing),
        ("same_year", at("2026-01-01"), "year", None, "hl7", None),
        ("year_before", *nothing),
        ("hour_before", *nothing),
        ("record_same_day", at("2026-03-02"), "day", date(2026, 3, 2), "fhir", None),
        ("record_days", at("2026-03-04"), "day", date(2026, 3, 4), "fhir", 48.0),
        ("record_day_before", *nothing),
    }


def test_what_was_said_stands_until_record_or_messages_say_more(told: City) -> None:
    """What messages told before there was a record is no version of it; an end that was taken back stood till then."""
    earlier = [record("r_kept", "kept", "in-progress", version_at="2026-03-02", usable_at="2026-03-05 12:00")]
    told.put({"encounter": earlier}, encounter=RECORDS)
    result = told.build("+fct_encounter +fct_encounter_superseded")
    assert {test.status for test in result.tests} == {"pass", "warn"}
    columns = (
        "encounter_key",
        "told_by",
        "status",
        "ended_at",
        "usable_at",
        "superseded_at",
        "superseded_by",
    )
    received, ended, reopened, left = (
        at(f"2026-03-{when}") for when in ("03 02:00", "03 09:00", "03 09:40", "04 10:10")
    )
    too_early = at("2026-03-03 10:00")
    assert told.rows("fct_encounter_superseded", *columns) == {
        ("r_stay", "both", "in-progress", None, received, ended, "hl7"),
        ("r_stay", "both", "finished", ended, ended, reopened, "hl7"),
        ("r_stay", "both", "in-progress", None, reopened, left, "hl7"),
        ("r_planned", "hl7", "finished", too_early, too_early, at("2026-03-03 10:30"), "hl7"),
        ("r_kept", "both", "in-progress", None, at("2026-03-05 12:00"), at("2026-03-06"), "fhir"),
    }


VERSIONS = f"{ENCOUNTERS} +fct_encounter_superseded"
GOING_ON = record("r", "v", "in-progress", usable_at="2026-03-02 12:00")
LEFT = [
    said("A01", "v", "02 08:10", class_code="I", **begun("02 08:00")),
    said("A03", "v", "04 10:10", discharge_disposition="01", **over("04 10:00")),
]
SAYS_MORE = said("A08", "v", "05 09:00", discharge_disposition="62", location_unit="EAST")
TAKES_BACK = said("A13", "v", "05 09:00", **NULL_END)
LEFT_AGAIN = said("A03", "v", "06 18:00", **over("06 17:30"))
ARRIVED = record(
    "r", "v", "finished", ended_at="2026-03-04 09:55", ended_precision="second", discharge_disposition_code="snf",
    version_at="2026-03-07 02:00", usable_at="2026-03-07 02:00", known_from="2026-03-07 02:00",
)  # fmt: skip


def case(city: City, as_of: str) -> dict[str, Any]:
    """The one index stay of an instant, and the stay that its features see."""
    instant = at(as_of).replace(tzinfo=UTC)
    person, current, superseded = (
        tables.read(city.spark, f"gold.{model}", lake=city.lake)
        for model in ("dim_person", "fct_encounter", "fct_encounter_superseded")
    )
    encounter = knowledge.versions(current, superseded)
    index = cohort.index_stays(cohort.stays(encounter, instant), encounter, person, instant)
    cases = index.where("exclusion is null").select("person_key", "encounter_key", "as_of")
    (row,) = cohort.stays_of_cases(cases, encounter).collect()
    return dict(row.asDict(recursive=True))


def test_a_discharge_counts_from_the_message_whatever_comes_after(told: City) -> None:
    """The stay that is scored then is the one that features see once its record has the discharge."""
    told.put(encounter=[GOING_ON], hospital_events__admission=LEFT)
    told.build_models(f"{VERSIONS} +dim_person")
    scored = case(told, "2026-03-04 12:00")
    assert scored["case"]["as_of"] == at("2026-03-04 10:10")
    assert (scored["is_index"], scored["discharged_at"]) == (True, at("2026-03-04 10:00"))
    assert scored["discharge_disposition_code"] == "home"

    told.put({"encounter": [GOING_ON]}, encounter=[ARRIVED], hospital_events__admission=[*LEFT, SAYS_MORE])
    told.build_models(VERSIONS)
    for as_of in ("2026-03-04 12:00", "2026-03-06", "2026-03-08"):
        assert case(told, as_of) == scored
    assert told.rows("fct_encounter", "discharge_disposition_code", "end_told_by") == {("snf", "fhir")}

    models = ("fct_encounter", "fct_encounter_superseded")
    rows = [told.rows(model) for model in models]
    told.build_models(VERSIONS, full_refresh=True)
    assert [told.rows(model) for model in models] == rows


def test_a_discharge_that_was_taken_back_counts_from_when_it_was_told_again(told: City) -> None:
    """By a message; or, where the telling itself was withdrawn, by the record."""
    told.put(
        {"encounter": [GOING_ON]},
        encounter=[{**ARRIVED, **ENDED}],
        hospital_events__admission=[*LEFT, TAKES_BACK, LEFT_AGAIN],
    )
    told.build_models(f"{VERSIONS} +dim_person")
    assert case(told, "2026-03-08")["case"]["as_of"] == at("2026-03-06 18:00")
    told.put(hospital_events__admission=[LEFT[0], {**LEFT[1], "is_entered_in_error": True}])
    told.build_models(VERSIONS)
    assert case(told, "2026-03-08")["case"]["as_of"] == at("2026-03-07 02:00")


def test_the_visits_of_a_whole_city_are_folded(told: City) -> None:
    visits = [f"{n:064}" for n in range(6_000)]
    told.put(
        hospital_events__admission=[
            *(said("A01", visit, "02 08:10", class_code="I", **begun("02 08:00")) for visit in visits),
            *(said("A03", visit, "03 09:00", **over("03 09:00")) for visit in visits),
        ]
    )
    told.build_models(ENCOUNTERS)
    (statuses,) = {row[1:] for row in told.rows("fct_encounter", "encounter_key", "status", "ended_at")}
    assert statuses == ("finished", at("2026-03-03 09:00"))
    assert len(told.rows("fct_encounter", "encounter_key")) == len(visits)


@pytest.mark.slow
@pytest.mark.spark
def test_told_encounters_are_the_same_on_sail_and_spark(
    sail_engine: Engine, spark_engine: Engine, tmp_path: Path
) -> None:
    rows = []
    for engine in (sail_engine, spark_engine):
        with a_city(engine, tmp_path / engine.remote.rpartition(":")[2]) as city:
            city.put(patient=PATIENTS, encounter=RECORDS, hospital_events__admission=MESSAGES)
            city.build_models(VERSIONS)
            rows.append((city.rows("fct_encounter"), city.rows("fct_encounter_superseded")))
    assert rows[0] == rows[1]
    assert all(rows[0])
