"""A risk score as a FHIR R4 RiskAssessment. Pure.

Source: HL7 FHIR R4 (4.0.1), https://hl7.org/fhir/R4/riskassessment.html
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

IDENTIFIER_SYSTEM = "urn:citywell:risk"
TARGET_SYSTEM = "urn:citywell:target"
MODEL_SYSTEM = "urn:citywell:model"
PROBABILITY_SYSTEM = "http://terminology.hl7.org/CodeSystem/risk-probability"
DIGITS = 6
"""Decimals of a probability at the hospital."""

_PROBABILITY_CODES = {"low": "low", "medium": "moderate", "high": "high"}
_DAYS = re.compile(r"_(\d+)d$")

Resource = dict[str, Any]


@dataclass(frozen=True)
class Score:
    """One row of ``scores.risk``, the newest of its ``risk_key``.

    ``risk_key`` stands for person, target and encounter: a newer score of the same has the same key, and so takes
    the place of the older one at the hospital. ``reasons``: JSON array of objects with "label" and "effect"
    (raises, lowers), or None. ``status``: active or withdrawn. ``is_alert``: at or above the alert line.
    ``title``: what is predicted, in words. ``mitigation``: what may be done about it; sent with an alert.
    """

    risk_key: str
    patient_key: str
    encounter_key: str | None
    source: str
    target: str
    as_of: datetime
    probability: float
    band: str
    model_name: str
    model_version: str
    reasons: str | None = None
    status: str = "active"
    is_alert: bool = False
    title: str | None = None
    mitigation: str | None = None

    @property
    def is_quiet(self) -> bool:
        """A hospital need not hear of it: withdrawn, or of a person whose risk is below the alert line. What a hospital
        holds already is put right all the same."""
        return self.is_withdrawn or (self.encounter_key is None and not self.is_alert)

    @property
    def is_withdrawn(self) -> bool:
        return self.status == "withdrawn"


def resource(score: Score, patient_id: str, encounter_id: str | None) -> Resource:
    """The RiskAssessment of ``score`` under the hospital's own ids.

    A withdrawn one keeps what it said: R4 has ``entered-in-error`` for what was withdrawn after it was final.
    """
    target = {
        "coding": [{"system": TARGET_SYSTEM, "code": score.target}],
        "text": score.title or score.target,
    }
    prediction: Resource = {
        "outcome": target,
        "probabilityDecimal": round(score.probability, DIGITS),
        "qualitativeRisk": {"text": score.band},
    }
    if code := _PROBABILITY_CODES.get(score.band):
        prediction["qualitativeRisk"]["coding"] = [{"system": PROBABILITY_SYSTEM, "code": code}]
    if days := _DAYS.search(score.target):
        unit = {"unit": "d", "system": "http://unitsofmeasure.org", "code": "d"}
        prediction["whenRange"] = {"low": {"value": 0, **unit}, "high": {"value": int(days[1]), **unit}}
    if rationale := _rationale(score.reasons):
        prediction["rationale"] = rationale
    model = {"system": MODEL_SYSTEM, "code": score.model_name, "version": score.model_version}
    assessment: Resource = {
        "resourceType": "RiskAssessment",
        "identifier": [{"system": IDENTIFIER_SYSTEM, "value": score.risk_key}],
        "status": "entered-in-error" if score.is_withdrawn else "final",
        "method": {"coding": [model], "text": f"{score.model_name}, version {score.model_version}"},
        "code": target,
        "subject": {"reference": f"Patient/{patient_id}"},
        "occurrenceDateTime": _instant(score.as_of),
        "prediction": [prediction],
    }
    if encounter_id is not None:
        assessment["encounter"] = {"reference": f"Encounter/{encounter_id}"}
        assessment["basis"] = [{"reference": f"Encounter/{encounter_id}"}]
    if score.mitigation and score.is_alert:
        assessment["mitigation"] = score.mitigation
    return assessment


def digest(score: Score) -> str:
    """Says whether two scores make the same RiskAssessment (the ids behind their keys do not change)."""
    text = json.dumps(resource(score, score.patient_key, score.encounter_key), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def is_same(held: Resource, expected: Resource) -> bool:
    """Whether what a hospital holds says what we sent. Servers add ids, meta, narrative and display texts."""
    return all(_covers(held.get(name), value) for name, value in expected.items())


def identifier(held: Resource) -> str | None:
    """Our identifier of a RiskAssessment; None when it is not one of ours."""
    values = [i.get("value") for i in held.get("identifier", []) if i.get("system") == IDENTIFIER_SYSTEM]
    return values[0] if values else None


def _covers(held: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return isinstance(held, dict) and all(_covers(held.get(k), v) for k, v in expected.items())
    if isinstance(expected, list):
        return isinstance(held, list) and len(held) == len(expected) and all(map(_covers, held, expected))
    return bool(held == expected)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _rationale(reasons: str | None) -> str | None:
    """What raises the risk, in words, the weightiest first."""
    found = json.loads(reasons) if reasons else []
    return "; ".join(reason["label"] for reason in found if reason.get("effect") != "lowers") or None
