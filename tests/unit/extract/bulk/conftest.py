"""Every test of an export starts with the same two files."""

from __future__ import annotations

import pytest
from bulk_files import PATIENTS, VISITS
from bulk_server import BulkServer, File


@pytest.fixture(autouse=True)
def _files(server: BulkServer) -> None:
    server.files = {
        "patient.ndjson": File("Patient", PATIENTS, count=50),
        "encounter.ndjson": File("Encounter", VISITS, count=20),
    }
