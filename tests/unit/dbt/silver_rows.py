"""A small hospital's silver rows, with everything that must be told apart."""

from __future__ import annotations

ORDERED = {
    "patient_key": "p1",
    "status": "active",
    "intent": "order",
    "authored_at": "2026-03-04",
    "authored_precision": "day",
}

SILVER = {
    "patient": [
        {
            "patient_key": "p1",
            "sex": "female",
            "birth_year": 1950,
            "birth_month": 3,
            "postal_district": "100",
        },
        {"patient_key": "p2", "birth_year": 2001, "is_deceased": True, "deceased_at": "2026-03-20"},
        {"patient_key": "deleted", "is_deleted": True, "month": "deleted"},
    ],
    "person_link": [
        {"patient_key": key, "person_key": key, "linked_at": "2026-04-01"} for key in ("p1", "p2", "deleted")
    ],
    "organization": [
        {"organization_key": "ward", "name": "Ward", "type_code": "dept", "identifier_keys": ["ward-number"]},
        {"organization_key": "annex", "name": "Annex", "is_active": False, "part_of_key": "ward-number"},
        {"organization_key": "deleted", "is_deleted": True},
    ],
    "location": [{"location_key": "bed", "organization_key": "ward-number", "status": "active"}],
    "encounter": [
        {
            "encounter_key": "stay",
            "patient_key": "p1",
            "status": "finished",
            "class_code": "IMP",
            "priority_code": "EL",
            "organization_key": "ward-number",
            "started_at": "2026-03-01 22:00",
            "started_precision": "second",
            "ended_at": "2026-03-03 10:00",
            "ended_precision": "second",
        },
        {
            "encounter_key": "lasting",
            "patient_key": "p2",
            "status": "in-progress",
            "class_code": "ACUTE",
            "location_key": "bed",
            "started_at": "2026-03-03 08:00",
            "started_precision": "second",
        },
        {
            "encounter_key": "visit",
            "patient_key": "p2",
            "status": "finished",
            "class_code": "EMER",
            "organization_key": "elsewhere",
            "part_of_key": "visit",
            "started_at": "2026-03-04 08:00",
            "started_precision": "second",
            "ended_at": "2026-03-04 09:30",
            "ended_precision": "second",
        },
        {
            "encounter_key": "after_visit",
            "patient_key": "p2",
            "status": "finished",
            "class_code": "IMP",
            "organization_key": "elsewhere",
            "part_of_key": "visit",
            "started_at": "2026-03-04 09:30",
            "started_precision": "second",
            "ended_at": "2026-03-04 17:30",
            "ended_precision": "second",
        },
        {"encounter_key": "of_deleted", "patient_key": "deleted", "status": "finished", "class_code": "AMB"},
        {"encounter_key": "of_unknown", "patient_key": "p9", "status": "finished", "class_code": "AMB"},
        {"encounter_key": "planned", "patient_key": "p1", "status": "planned", "class_code": "IMP"},
        {"encounter_key": "cancelled", "patient_key": "p1", "status": "cancelled", "class_code": "IMP"},
        {
            "encounter_key": "mistaken",
            "patient_key": "p1",
            "status": "entered-in-error",
            "is_entered_in_error": True,
        },
        {"encounter_key": "deleted", "is_deleted": True, "month": "deleted"},
    ],
    "condition": [
        {
            "condition_key": "c1",
            "patient_key": "p1",
            "encounter_key": "stay",
            "code": "I50.9",
            "verification_status": "confirmed",
            "onset_at": "2024-01-01",
            "onset_precision": "year",
            "recorded_at": "2026-03-02",
            "recorded_precision": "day",
        },
        {"condition_key": "c2", "patient_key": "p1", "encounter_key": "planned", "code": "J44.9"},
        {"condition_key": "refuted", "patient_key": "p1", "code": "J18.9", "verification_status": "refuted"},
        {"condition_key": "deleted", "is_deleted": True},
    ],
    "observation": [
        {
            "observation_key": "pressure",
            "patient_key": "p1",
            "encounter_key": "stay",
            "status": "final",
            "category_code": "vital-signs",
            "code": "85354-9",
            "value_type": "none",
            "effective_at": "2026-03-02 08:00",
            "effective_end_at": "2026-03-02",
            "effective_end_precision": "day",
            "components": [
                {"code": "8480-6", "value_type": "quantity", "value_number": 120.0, "unit": "mm[Hg]"},
                {"code": "8462-4", "value_type": "quantity", "value_number": 80.0, "unit": "mm[Hg]"},
            ],
        },
        {
            "observation_key": "sodium",
            "patient_key": "p9",
            "status": "final",
            "code": "2951-2",
            "value_type": "quantity",
            "value_number": 140.5,
            "value_text": "140.50",
            "unit": "mmol/L",
        },
        {"observation_key": "cancelled", "patient_key": "p1", "status": "cancelled", "value_type": "none"},
        {
            "observation_key": "mistaken",
            "patient_key": "p1",
            "status": "entered-in-error",
            "is_entered_in_error": True,
        },
        {"observation_key": "deleted", "is_deleted": True, "month": "deleted"},
    ],
    "medication": [
        {"medication_key": "m1", "code_system": "atc", "code": "C03CA01"},
        {"medication_key": "m2", "is_deleted": True},
    ],
    "medication_request": [
        {"medication_request_key": "inline", "code": "A10BA02", **ORDERED},
        {"medication_request_key": "referring", "medication_key": "m1", **ORDERED},
        {"medication_request_key": "dangling", "medication_key": "m2", **ORDERED},
        {"medication_request_key": "draft", "code": "A10BA02", **ORDERED, "status": "draft"},
        {"medication_request_key": "proposed", "code": "A10BA02", **ORDERED, "intent": "proposal"},
    ],
    "immunization": [
        {
            "immunization_key": "given",
            "patient_key": "p1",
            "encounter_key": "stay",
            "status": "completed",
            "code": "140",
            "occurred_at": "2026-03-02",
            "occurred_precision": "day",
        },
        {"immunization_key": "refused", "patient_key": "p1", "status": "not-done", "code": "140"},
        {
            "immunization_key": "mistaken",
            "patient_key": "p1",
            "status": "entered-in-error",
            "is_entered_in_error": True,
        },
    ],
    "procedure": [
        {
            "procedure_key": "catheter",
            "patient_key": "p1",
            "encounter_key": "stay",
            "status": "completed",
            "code": "4A023N7",
            "performed_at": "2026-03-02 09:00",
            "performer_keys": ["stranger", "license"],
        },
        {"procedure_key": "at_bed", "patient_key": "p1", "status": "stopped", "location_key": "bed"},
        {"procedure_key": "refused", "patient_key": "p1", "status": "not-done"},
        {"procedure_key": "under_way", "patient_key": "p1", "status": "in-progress"},
    ],
    "allergy_intolerance": [
        {
            "allergy_intolerance_key": "pollen",
            "patient_key": "p1",
            "code": "grass-pollen-allergy",
            "categories": ["environment", "food"],
            "reactions": [
                {
                    "manifestations": [{"system": "sct", "code": "rash", "display": "Rash"}],
                    "severity": "mild",
                },
                {"manifestations": [], "severity": "severe"},
            ],
        },
        {"allergy_intolerance_key": "quiet", "patient_key": "p2", "code": "penicillin-allergy"},
        {"allergy_intolerance_key": "refuted", "patient_key": "p1", "verification_status": "refuted"},
    ],
    "diagnostic_report": [
        {
            "diagnostic_report_key": "blood",
            "patient_key": "p1",
            "status": "final",
            "code": "24323-8",
            "result_keys": ["sodium", "pressure", "lost", "sodium"],
            "performer_keys": ["doctor"],
        },
        {"diagnostic_report_key": "image", "patient_key": "p1", "status": "preliminary"},
        {
            "diagnostic_report_key": "cancelled",
            "patient_key": "p1",
            "status": "cancelled",
            "result_keys": ["sodium"],
        },
    ],
    "care_plan": [
        {
            "care_plan_key": "heart",
            "patient_key": "p1",
            "status": "active",
            "intent": "plan",
            "addressed_keys": ["c2", "c1", "refuted"],
            "activities": [{"code": "60112009"}, {"kind": "Task"}, {"code": "exercise"}],
            "author_key": "license",
        },
        {"care_plan_key": "bare", "patient_key": "p2", "status": "revoked", "intent": "order"},
        {"care_plan_key": "draft", "patient_key": "p1", "status": "draft", "intent": "plan"},
        {"care_plan_key": "proposed", "patient_key": "p1", "status": "active", "intent": "proposal"},
    ],
    "medication_administration": [
        {
            "medication_administration_key": "referring",
            "patient_key": "p1",
            "encounter_key": "stay",
            "status": "completed",
            "medication_key": "m1",
            "dose_number": 40.0,
            "dose_unit": "mg",
            "performer_keys": ["doctor"],
        },
        {
            "medication_administration_key": "dangling",
            "patient_key": "p1",
            "status": "stopped",
            "medication_key": "m2",
        },
        {
            "medication_administration_key": "held",
            "patient_key": "p1",
            "status": "on-hold",
            "code": "A10BA02",
        },
    ],
    "practitioner": [
        {"practitioner_key": "doctor", "identifier_keys": ["license"]},
        {"practitioner_key": "retired", "is_active": False},
        {"practitioner_key": "deleted", "is_deleted": True},
    ],
    "practitioner_role": [
        {
            "practitioner_role_key": "present",
            "practitioner_key": "license",
            "organization_key": "ward-number",
            "specialty_code": "cardiology",
            "started_at": "2025-01-01",
        },
        {
            "practitioner_role_key": "former",
            "practitioner_key": "doctor",
            "organization_key": "elsewhere",
            "is_active": False,
            "started_at": "2025-06-01",
        },
    ],
    "device": [
        {"device_key": "pump", "status": "active", "type_code": "430033006", "location_key": "bed"},
        {"device_key": "pacemaker", "status": "active", "patient_key": "p1", "organization_key": "elsewhere"},
        {"device_key": "deleted", "is_deleted": True},
    ],
    "schedule": [
        {"schedule_key": "of_doctor", "actor_keys": ["present", "bed"], "started_at": "2026-04-01"},
        {"schedule_key": "of_pump", "actor_keys": ["pump"]},
        {"schedule_key": "of_stranger", "actor_keys": ["license", "lost"]},
        {"schedule_key": "of_nobody", "is_active": False},
    ],
}

EARLIER = {
    "encounter": [
        {
            "encounter_key": "stay",
            "patient_key": "p1",
            "status": "in-progress",
            "class_code": "EMER",
            "organization_key": "ward-number",
            "started_at": "2026-03-01 22:00",
            "started_precision": "second",
            "version_at": "2026-02-20",
            "usable_at": "2026-02-20",
        },
        {
            "encounter_key": "stay",
            "patient_key": "p1",
            "status": "in-progress",
            "class_code": "IMP",
            "organization_key": "ward-number",
            "started_at": "2026-03-01 22:00",
            "started_precision": "second",
            "version_at": "2026-02-21",
            "usable_at": "2026-03-05",
        },
        {
            "encounter_key": "planned",
            "patient_key": "p1",
            "status": "planned",
            "class_code": "IMP",
            "version_at": "2026-02-20",
            "usable_at": "2026-02-20",
        },
        {
            "encounter_key": "deleted",
            "patient_key": "p1",
            "status": "finished",
            "class_code": "AMB",
            "version_at": "2026-02-20",
            "usable_at": "2026-02-20",
        },
    ],
    "condition": [
        {
            "condition_key": "refuted",
            "patient_key": "p1",
            "code": "J18.9",
            "encounter_key": "stay",
            "verification_status": "provisional",
            "version_at": "2026-02-20",
            "usable_at": "2026-02-20",
        },
    ],
    "observation": [
        {
            "observation_key": "mistaken",
            "patient_key": "p1",
            "status": "final",
            "code": "2951-2",
            "value_type": "quantity",
            "value_number": 141.0,
            "unit": "mmol/L",
            "components": [{"code": "part", "value_type": "boolean", "value_boolean": True}],
            "version_at": "2026-02-20",
            "usable_at": "2026-02-20",
        },
    ],
    "medication_request": [
        {
            **ORDERED,
            "medication_request_key": "inline",
            "medication_key": "m1",
            "version_at": "2026-02-20",
            "usable_at": "2026-02-20",
        },
    ],
}
"""Versions that were there before: of what was changed, refuted, marked as entered in error or deleted."""


def _weighed(key: str, patient: str, day: str, kilograms: float, unit: str = "kg") -> dict[str, object]:
    return _number(key, patient, day, "29463-7", kilograms, unit)


def _number(key: str, patient: str, day: str, code: str, value: float, unit: str | None) -> dict[str, object]:
    return {
        "observation_key": key,
        "patient_key": patient,
        "status": "final",
        "code_system": "http://loinc.org",
        "code": code,
        "value_type": "quantity",
        "value_number": value,
        "unit": unit,
        "effective_at": f"{day} 08:00",
    }


HARMONISED = {
    "patient": [
        {"patient_key": "w1", "sex": "male", "birth_year": 1960, "birth_month": 5},
        {"patient_key": "w2", "sex": "female", "birth_year": 2019, "birth_month": 1},
        {"patient_key": "w3", "sex": "male", "birth_year": 1970, "birth_month": 1},
        {"patient_key": "w4", "sex": "male", "birth_year": 2025, "birth_month": 2},
    ],
    "observation": [
        _weighed("usual", "w1", "2026-01-01", 72.0),
        _weighed("next", "w1", "2026-02-01", 73.0),
        _weighed("in pounds", "w1", "2026-03-01", 160.0),
        _weighed("labelled pounds", "w1", "2026-03-02", 159.0, "LBS"),
        _weighed("point moved", "w1", "2026-03-03", 7.25),
        _weighed("of a child", "w2", "2026-03-01", 22.5),
        _weighed("too much for a child", "w2", "2026-03-02", 260.0),
        _weighed("newborn", "w4", "2025-03-08", 4.2),
        _weighed("infant", "w4", "2025-06-14", 6.4),
        _weighed("grown", "w4", "2025-11-15", 9.0),
        _weighed("infant in pounds", "w4", "2025-11-25", 20.0),
        _weighed("alone and heavy", "w3", "2026-03-01", 150.0),
        _number("in inches", "w3", "2026-03-01", "8302-2", 69.7, "cm"),
        _number("mmol labelled mg", "w3", "2026-03-01", "2345-7", 5.4, "mg/dL"),
        _number("in mmol", "w3", "2026-03-02", "2345-7", 5.5, "mmol/l"),
        _number("fever", "w3", "2026-03-02", "8310-5", 101.3, "degF"),
        _number("fahrenheit labelled celsius", "w3", "2026-03-03", "8310-5", 98.6, "Cel"),
        _number("ratio of a pulse", "w3", "2026-03-03", "8867-4", 70.0, "mg/dL"),
        _number("no unit", "w3", "2026-03-03", "8867-4", 70.0, None),
        _number("score without unit", "w3", "2026-03-03", "44261-6", 12.0, None),
        {**_number("of no concept", "w3", "2026-03-03", "local-7", 1.0, "mg/dL"), "code_system": "urn:local"},
        {
            "observation_key": "kPa in a panel",
            "patient_key": "w3",
            "status": "final",
            "code": "85354-9",
            "value_type": "none",
            "effective_at": "2026-03-03 08:00",
            "components": [
                {"code": "8480-6", "value_type": "quantity", "value_number": 16.0, "unit": "kPa"},
                {"code": "8462-4", "value_type": "quantity", "value_number": 2.0, "unit": "mm[Hg]"},
            ],
        },
    ],
}
"""Measurements in the unit of their label, in another one, and in none that can be told."""
