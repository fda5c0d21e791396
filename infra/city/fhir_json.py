"""Parts of FHIR resources as JSON text."""

from __future__ import annotations

import json


def as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def concept(system: str, code: str, display: str = "") -> str:
    """A CodeableConcept; with a display, that is its text as well."""
    coding = {"system": system, "code": code, **({"display": display} if display else {})}
    return as_json({"coding": [coding], **({"text": display} if display else {})})
