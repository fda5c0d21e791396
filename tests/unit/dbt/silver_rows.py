"""A small hospital's silver rows, with everything that must be told apart."""

from __future__ import annotations

ORDERED = {"patient_key": "p1", "status": "active", "intent": "order", "authored_at": "2026-03-04"}

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
            "started_at": "2026-03-04 08:00",
            "started_precision": "second",
            "ended_at": "2026-03-04 09:30",
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
            "value_number": 1.0,
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
