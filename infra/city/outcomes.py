"""OperationOutcome and FHIR responses."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi.responses import Response

FHIR_JSON = "application/fhir+json"
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not JSON, or nested beyond reason."""


class FhirError(Exception):
    """An answer other than success: HTTP status, FHIR issue type, words, further headers."""

    def __init__(self, status: int, code: str, words: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(words)
        self.status, self.code, self.words, self.headers = status, code, words, headers or {}

    def response(self) -> Response:
        return fhir_response(outcome(self.code, self.words), self.status, self.headers)


def outcome(code: str, words: str, severity: str = "error") -> dict[str, Any]:
    """An OperationOutcome with one issue."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": severity, "code": code, "diagnostics": words}],
    }


def fhir_response(body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media_type=FHIR_JSON)
