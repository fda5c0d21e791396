"""The CapabilityStatement a hospital's server publishes at ``/metadata``."""

from __future__ import annotations

from typing import Any

from infra.city.habits import Habits

BULK_DATA = "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"
EXPORT = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition"
SECURITY_SERVICE = "http://terminology.hl7.org/CodeSystem/restful-security-service"
WRITTEN = ("RiskAssessment", "Observation")
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


def capability_statement(habits: Habits, types: list[str], base: str, now: str) -> dict[str, Any]:
    """What the server at ``base`` can do: bulk export of ``types``, and WRITTEN to read and write."""
    exported: list[dict[str, Any]] = [{"type": t} for t in types if t not in ("Patient", *WRITTEN)]
    patient = {"type": "Patient", "operation": [{"name": "export", "definition": f"{EXPORT}/patient-export"}]}
    group = {"type": "Group", "operation": [{"name": "export", "definition": f"{EXPORT}/group-export"}]}
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": now,
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+ndjson"],
        "instantiates": [BULK_DATA],
        "implementation": {"description": habits.title, "url": base},
        "rest": [
            {
                "mode": "server",
                "security": {
                    "service": [{"coding": [{"system": SECURITY_SERVICE, "code": "SMART-on-FHIR"}]}],
                    "extension": [
                        {"url": OAUTH_URIS, "extension": [{"url": "token", "valueUri": f"{base}/auth/token"}]}
                    ],
                },
                "resource": [patient, group, *map(_written, WRITTEN), *exported],
                "operation": [{"name": "export", "definition": f"{EXPORT}/export"}],
            }
        ],
    }


def _written(type_: str) -> dict[str, Any]:
    return {
        "type": type_,
        "interaction": [{"code": c} for c in ("create", "update", "read", "vread", "search-type")],
        "versioning": "versioned-update",
        "conditionalCreate": True,
        "conditionalUpdate": True,
        "updateCreate": True,
        "searchParam": [
            {"name": "subject", "type": "reference"},
            {"name": "patient", "type": "reference"},
            {"name": "identifier", "type": "token"},
            {"name": "_id", "type": "token"},
            {"name": "_lastUpdated", "type": "date"},
        ],
    }
