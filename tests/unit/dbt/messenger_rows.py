"""Measurements of a small city as every messenger tells them: messages, a hospital's record, devices at home."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from tests.unit.dbt.city import Row

LOINC, LN, OWN = "http://loinc.org", "LN", "99LAB"


def told(key: str, code: str, value: float | None, unit: str | None, when: str, **more: Any) -> Row:
    """A result of patient number m1 of North Hospital, measured and told in March 2026 (``02 08:00``)."""
    sent = f"2026-03-{more.pop('sent', '02 10:00')}"
    coding = {"system": more.pop("system", LN), "code": code}
    return {
        "source": "events_north",
        "result_key": key,
        "patient_key": "m1",
        "patient_keys": ["m1"],
        "codings": [coding],
        "status": "F",
        "section": "CH",
        "value_number": value,
        "unit": unit,
        "observed_at": f"2026-03-{when}",
        "observed_precision": "second",
        "version_at": sent,
        "available_at": sent,
        "usable_at": sent,
        "known_from": sent,
        **more,
    }


def recorded(key: str, code: str, value: float | None, unit: str | None, when: str, **more: Any) -> Row:
    """An observation of patient t1 in North Hospital's record, in an export of the morning of 3 March."""
    return {
        "observation_key": key,
        "patient_key": "t1",
        "status": "final",
        "category_code": "laboratory",
        "code_system": LOINC,
        "code": code,
        "value_type": "none" if value is None else "quantity",
        "value_number": value,
        "unit": unit,
        "effective_at": f"2026-03-{when}",
        "effective_precision": "second",
        "version_at": "2026-03-03 02:00",
        "available_at": "2026-03-03 02:00",
        "usable_at": "2026-03-03 02:00",
        "known_from": "2026-03-03 02:00",
        **more,
    }


SODIUM, POTASSIUM, CREATININE, GLUCOSE, CRP = "2951-2", "2823-3", "2160-0", "2345-7", "1988-5"
TITRE = {"value_separator": ":", "value_second_number": 128.0}
RESULTS: Sequence[Row] = (
    told("both", SODIUM, 140.0, "mmol/L", "02 08:00"),
    # Units in another style; the local code first.
    told("other style", CREATININE, 79.184, "µmol/l", "02 08:00", codings=[
        {"system": "99HAV", "code": "CREATIN"}, {"system": LN, "code": CREATININE}]),
    told("otherwise", POTASSIUM, 4.1, "mmol/L", "02 08:00"),
    told("alone", CRP, 12.0, "mg/dL", "02 08:00", visit_key="v1"),
    # Two alike in one report, one in the record.
    told("twin a", GLUCOSE, 99.0, "mg/dL", "02 09:00"),
    told("twin b", GLUCOSE, 99.0, "mg/dL", "02 09:00"),
    told("corrected", SODIUM, 138.0, "mmol/L", "04 08:00", status="C", sent="04 12:00"),
    told("preliminary", SODIUM, 136.0, "mmol/L", "05 08:00", status="P"),
    told("wrong patient", SODIUM, 131.0, "mmol/L", "05 09:00", status="W", is_entered_in_error=True),
    told("deleted", SODIUM, 132.0, "mmol/L", "05 10:00", is_deleted=True),
    told("retracted", SODIUM, 150.0, "mmol/L", "06 08:00"),
    told("amended", POTASSIUM, 5.0, "mmol/L", "06 09:00"),
    # The record has what the message corrects before it does.
    told("behind", POTASSIUM, 4.4, "mmol/L", "04 07:00", status="C", sent="05 10:00"),
    told("of the day", SODIUM, 141.0, "mmol/L", "07", observed_precision="day"),
    told("local", "NOROV", None, None, "02 08:00", system=OWN, section="MB", value_system="99CITY",
         value_code="detected"),
    told("below", CRP, 0.5, "mg/L", "08 08:00", value_comparator="<", flags=["L", "N"]),
    told("titre", "5048-4", 1.0, None, "02 08:00", section="IMM", **TITRE),
    told("low titre", "5048-4", 1.0, None, "03 08:00", section="IMM", value_comparator="<", **TITRE),
    # The laboratory names the patient by its own number first; and by one that was merged.
    told("of the laboratory", SODIUM, 139.0, "mmol/L", "09 08:00", source="events_laboratory",
         patient_key="own", patient_keys=["own", "m1"]),
    told("second number", SODIUM, 137.0, "mmol/L", "09 09:00", patient_key="m2", patient_keys=["m2"]),
    told("of a stranger", SODIUM, 137.0, "mmol/L", "09 10:00", patient_key="m9", patient_keys=["m9"]),
)  # fmt: skip
EARLIER = [
    told("corrected", SODIUM, 165.0, "mmol/L", "04 08:00", sent="04 10:00"),
    told("corrected", SODIUM, 135.0, "mmol/L", "04 08:00", sent="04 09:00", status="P"),
    told("behind", POTASSIUM, 4.0, "mmol/L", "04 07:00", sent="04 09:00"),
    told("deleted", SODIUM, 132.0, "mmol/L", "05 10:00", sent="02 09:00"),
]
OBSERVATIONS: Sequence[Row] = (
    recorded("r both", SODIUM, 140.0, "mmol/L", "02 08:00", interpretation_code="N"),
    recorded("r style", CREATININE, 79.184, "umol/L", "02 08:00:00.250"),
    recorded("r otherwise", POTASSIUM, 4.2, "mmol/L", "02 08:00"),
    recorded("r twin", GLUCOSE, 99.0, "mg/dL", "02 09:00"),
    recorded("r retracted", SODIUM, 150.0, "mmol/L", "06 08:00", status="entered-in-error",
             is_entered_in_error=True, usable_at="2026-03-08"),
    recorded("r amended", POTASSIUM, 5.2, "mmol/L", "06 09:00", status="amended", version_at="2026-03-08",
             usable_at="2026-03-08"),
    recorded("r behind", POTASSIUM, 4.4, "mmol/L", "04 07:00", usable_at="2026-03-04 20:00"),
    recorded("r day", SODIUM, 141.0, "mmol/L", "07", effective_precision="day"),
    recorded("r titre", "5048-4", None, None, "02 08:00", value_type="ratio", value_number=1.0,
             value_denominator=128.0),
    recorded("r low titre", "5048-4", None, None, "03 08:00", value_type="ratio", value_number=1.0,
             value_denominator=128.0),
    recorded("r other patient", SODIUM, 140.0, "mmol/L", "02 08:00", patient_key="t2"),
)  # fmt: skip
EARLIER_OBSERVATIONS = [
    recorded("r amended", POTASSIUM, 5.0, "mmol/L", "06 09:00", usable_at="2026-03-07"),
    recorded("r retracted", SODIUM, 150.0, "mmol/L", "06 08:00", usable_at="2026-03-07"),
]
PEOPLE: dict[str, Sequence[Row]] = {
    "patient": [
        {"patient_key": "t1", "sex": "female", "birth_year": 1950, "identifier_keys": ["m1"]},
        {"patient_key": "t2", "sex": "male", "birth_year": 1960},
    ],
    "person_link": [
        {"patient_key": "t1", "person_key": "someone", "linked_at": "2026-04-01"},
        {"patient_key": "wearer", "person_key": "someone", "linked_at": "2026-04-01"},
        {"patient_key": "wearer again", "person_key": "someone", "linked_at": "2026-04-01"},
    ],
    "encounter": [
        {
            "encounter_key": "told stay",
            "patient_key": "t1",
            "identifier_keys": ["v1"],
            "status": "finished",
            "class_code": "IMP",
        }
    ],
    "hospital_events__admission": [
        {
            "source": "events_north",
            "admission_key": "merge",
            "trigger": "A40",
            "patient_key": "m1",
            "prior_patient_keys": ["m2"],
        }
    ],
}


def reading(key: str, kind: str, value: float | None, unit: str, when: str, **more: Any) -> Row:
    """A reading at home of a participant, who is the patient t1, in March 2026."""
    return {
        "source": "wearables_city",
        "home_reading_key": key,
        "participant_key": "wearer",
        "kind": kind,
        "value": value,
        "unit": unit,
        "measured_at": f"2026-03-{when}",
        "usable_at": "2026-03-12",
        **more,
    }


READINGS: Sequence[Row] = (
    reading("cuff", "blood_pressure", None, "mmHg", "10 07:00", systolic_mmhg=128, diastolic_mmhg=79),
    reading("meter", "glucose", 5.5, "mmol/L", "10 07:00"),
    reading("same as the record's", "glucose", 99.0, "mg/dL", "02 09:00"),
    *(reading(f"scales {day}", "weight", 72.0, "kg", f"{day:02d} 07:00") for day in (4, 7)),
    # A weight in pounds, which is labelled kilograms.
    reading("slipped scales", "weight", 159.0, "kg", "10 07:00"),
    reading("of a refuser", "pulse", 60.0, "/min", "10 07:00", participant_key="refuser"),
    reading("taken back", "pulse", 60.0, "/min", "10 07:00", is_deleted=True),
)


def consent(who: str, is_given: bool, purpose: str = "care") -> Row:
    key = f"{who} {purpose}"
    return {"consent_key": key, "participant_key": who, "purpose": purpose, "is_given": is_given}


CONSENTS = [
    consent("wearer", True),
    consent("wearer again", True),
    consent("refuser", False),
    consent("refuser", True, "research"),
]
NOTHING: dict[str, Sequence[Row]] = {
    "observation": [],
    "hospital_events__result": [],
    "wearables__home_reading": [],
    "wearables__consent": [],
}


def day(key: str, date_: str, steps: int, **more: Any) -> Row:
    return {
        "source": "wearables_city",
        "daily_summary_key": key,
        "participant_key": "wearer",
        "summary_date": date.fromisoformat(f"2026-03-{date_}"),
        "steps": steps,
        **more,
    }


def form(key: str, kind: str, total: int, **more: Any) -> Row:
    return {
        "source": "wearables_city",
        "questionnaire_key": key,
        "participant_key": "wearer",
        "kind": kind,
        "total": total,
        "answered_items": 9,
        "is_complete": True,
        "answered_at": "2026-03-10 19:00",
        **more,
    }


DAYS = [
    day("first", "10", 4000),
    day("by another account", "10", 4100, participant_key="wearer again", version_at="2026-03-02"),
    day("second", "11", 0),
    day("of a refuser", "10", 9000, participant_key="refuser"),
]
FORMS = [
    form("low", "PHQ-9", 14),
    form("left out", "PSS-10", 12, is_complete=False),
    form("taken back", "PHQ-9", 1, is_deleted=True),
    form("of a refuser", "PHQ-9", 1, participant_key="refuser"),
]
EVERYTHING: dict[str, Sequence[Row]] = {
    **PEOPLE,
    "observation": OBSERVATIONS,
    "hospital_events__result": RESULTS,
    "wearables__home_reading": READINGS,
    "wearables__consent": CONSENTS,
    "wearables__daily_summary": DAYS,
    "wearables__questionnaire": FORMS,
}
EVERYTHING_EARLIER = {"hospital_events__result": EARLIER, "observation": EARLIER_OBSERVATIONS}
