"""A risk score as a FHIR R4 RiskAssessment. Pure.

Source: HL7 FHIR R4 (4.0.1), https://hl7.org/fhir/R4/riskassessment.html
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

IDENTIFIER_SYSTEM = "urn:citywell:risk"
TARGET_SYSTEM = "urn:citywell:target"
MODEL_SYSTEM = "urn:citywell:model"
FEATURES_SYSTEM = "urn:citywell:features"
"""Of the features of a case: names their values, as ``input_digest`` of ``scores.risk`` does."""
PROBABILITY_SYSTEM = "http://terminology.hl7.org/CodeSystem/risk-probability"
DIGITS = 6
"""Decimals of a probability at the hospital."""

_PROBABILITY_CODES = {"low": "low", "medium": "moderate", "high": "high"}

Resource = dict[str, Any]


@dataclass(frozen=True)
class Score:
    """One row of ``scores.risk``, the newest of its ``risk_key``.

    ``risk_key`` stands for person, target and encounter: a newer score of the same has the same key, and so takes
    the place of the older one at the hospital. ``reasons``: JSON array of objects with "label" and "effect"
    (raises, lowers), or None. ``status``: active or withdrawn. ``is_alert``: at or above the alert line.
    ``title``: what is predicted, in words. ``mitigation``: what may be done about it; sent with an alert.
    ``horizon_days``: the probability is of so many days from ``as_of`` on. ``input_digest``: names the values of the
    features that it was made of.
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
    horizon_days: int | None = None
    input_digest: str | None = None

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
    if score.horizon_days is not None:
        end = score.as_of + timedelta(days=score.horizon_days)
        prediction["whenPeriod"] = {"start": _instant(score.as_of), "end": _instant(end)}
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
        "basis": _basis(score, patient_id, encounter_id),
        "prediction": [prediction],
    }
    if encounter_id is not None:
        assessment["encounter"] = {"reference": f"Encounter/{encounter_id}"}
    if score.mitigation and score.is_alert:
        assessment["mitigation"] = score.mitigation
    return assessment


def _basis(score: Score, patient_id: str, encounter_id: str | None) -> list[Resource]:
    """What was considered: the stay, or the patient's records as a whole, and the features made of them."""
    about = f"Patient/{patient_id}" if encounter_id is None else f"Encounter/{encounter_id}"
    found: list[Resource] = [{"reference": about, "display": f"records known at {_instant(score.as_of)}"}]
    if score.input_digest is not None:
        features = {"system": FEATURES_SYSTEM, "value": score.input_digest}
        found.append({"identifier": features, "display": "features made of them"})
    return found


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
