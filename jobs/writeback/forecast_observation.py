"""A forecast of a hospital's occupied beds as a FHIR R4 Observation. Pure.

An Observation that is of no patient: its ``focus`` is the hospital's own Organization (R4 lets ``subject`` be a
Patient, Group, Device or Location, and ``focus`` any resource). ``effectiveDateTime`` is the day forecast; the value
is the median, the quantiles are components.

Source: HL7 FHIR R4 (4.0.1), https://hl7.org/fhir/R4/observation.html; units: UCUM, annotations in braces.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from jobs.writeback.risk_assessment import MODEL_SYSTEM, Resource

IDENTIFIER_SYSTEM = "urn:citywell:forecast"
FAMILY_SYSTEM = "urn:citywell:forecast-family"
QUANTILE_SYSTEM = "urn:citywell:quantile"
ORIGIN_SYSTEM = "urn:citywell:origin"
UNIT = {"unit": "patients", "system": "http://unitsofmeasure.org", "code": "{patients}"}
DIGITS = 2
QUANTILES = {
    "p05": "5th percentile",
    "p10": "10th percentile",
    "p90": "90th percentile",
    "p95": "95th percentile",
}


@dataclass(frozen=True)
class BedForecast:
    """The newest forecast of the patients in a hospital's beds at the end of a day; one row of ``serving.forecast``."""

    family: str
    title: str
    source: str
    facility_key: str
    target_date: date
    issue_at: datetime
    p05: float
    p10: float
    p50: float
    p90: float
    p95: float
    model_name: str
    model_version: str

    @property
    def key(self) -> str:
        """32 hex digits; the same for every forecast of one hospital's day: a newer one replaces the older."""
        text = "|".join((self.family, self.source, self.facility_key, self.target_date.isoformat()))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def resource(forecast: BedForecast, organization_id: str) -> Resource:
    """The Observation of ``forecast`` about the hospital's own organization."""
    model = {"system": MODEL_SYSTEM, "code": forecast.model_name, "version": forecast.model_version}
    return {
        "resourceType": "Observation",
        "meta": {"tag": [{"system": ORIGIN_SYSTEM, "code": "forecast"}]},
        "identifier": [{"system": IDENTIFIER_SYSTEM, "value": forecast.key}],
        "status": "final",
        "category": [{"text": "forecast"}],
        "code": {
            "coding": [{"system": FAMILY_SYSTEM, "code": forecast.family}],
            "text": f"Forecast: {forecast.title}",
        },
        "focus": [{"reference": f"Organization/{organization_id}"}],
        "effectiveDateTime": forecast.target_date.isoformat(),
        "issued": forecast.issue_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "method": {"coding": [model], "text": f"{forecast.model_name}, version {forecast.model_version}"},
        "valueQuantity": _quantity(forecast.p50),
        "component": [
            {
                "code": {"coding": [{"system": QUANTILE_SYSTEM, "code": name}], "text": words},
                "valueQuantity": _quantity(getattr(forecast, name)),
            }
            for name, words in QUANTILES.items()
        ],
    }


def identifier(held: Resource) -> str | None:
    """Our identifier of an Observation; None when it is not one of ours."""
    values = [i.get("value") for i in held.get("identifier", []) if i.get("system") == IDENTIFIER_SYSTEM]
    return values[0] if values else None


def _quantity(value: float) -> dict[str, Any]:
    return {"value": round(value, DIGITS), **UNIT}
