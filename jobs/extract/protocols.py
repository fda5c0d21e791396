"""Which module extracts from which kind of endpoint."""

from __future__ import annotations

from typing import assert_never

from jobs.extract import database, fhir_bulk, files, hl7v2, rest
from jobs.extract.delivery import ExtractResult
from jobs.lake.control import Batch, Connection
from jobs.sources import (
    AnyEndpoint,
    DatabaseEndpoint,
    FhirEndpoint,
    FilesEndpoint,
    Hl7Endpoint,
    RestEndpoint,
    Source,
)


def extract(conn: Connection, source: Source, endpoint: AnyEndpoint, batch: Batch) -> ExtractResult:
    """Land one delivery of ``endpoint`` as ``batch``; the caller holds the source's lock.

    Killed at any point and run again it lands the same batch. Raises CitywellError when the endpoint cannot be reached
    or read; what is merely missing becomes a finding.
    """
    match endpoint:
        case FhirEndpoint():
            return fhir_bulk.extract(conn, endpoint, batch)
        case RestEndpoint():
            return rest.extract(conn, source, endpoint, batch)
        case FilesEndpoint():
            return files.extract(conn, source, endpoint, batch)
        case DatabaseEndpoint():
            return database.extract(conn, source, endpoint, batch)
        case Hl7Endpoint():
            return hl7v2.extract(conn, endpoint, batch)
    assert_never(endpoint)
