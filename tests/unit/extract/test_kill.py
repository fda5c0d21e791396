"""An extraction killed at every step, its process ended on the spot, and run again lands the same files."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bulk_installation import AS_OF, Installation
from bulk_server import BulkServer, FakeClock, File

from infra.stack.postgres import Cluster

RUN = """
import sys
from datetime import datetime
from jobs.extract import fhir_bulk
from jobs.lake import control
from jobs.sources import FhirEndpoint

endpoint = FhirEndpoint.model_validate_json(sys.argv[1])
with control.connect() as conn, control.source_lock(conn, endpoint.name):
    batch = control.open_batch(conn, endpoint.name, datetime.fromisoformat(sys.argv[2]))
    fhir_bulk.extract(conn, endpoint, batch)
"""
CRASH_POINTS = (
    "extract:kicked off",
    "extract:job saved",
    "extract:polled",
    "extract:file landed",
    "extract:file recorded",
    "extract:all files landed",
    "extract:manifest written",
)
BODIES = {
    f"{name}.ndjson": f'{{"resourceType":"{name}"}}\n'.encode() * 30 for name in ("Patient", "Encounter")
}


class RealClock(FakeClock):
    """The clock that another process sees too."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
def clock() -> FakeClock:
    return RealClock()


def test_an_extraction_killed_at_every_step_converges(
    north: Installation, server: BulkServer, postgres: Cluster, tmp_path: Path, keys_dir: Path
) -> None:
    server.files = {name: File(name.removesuffix(".ndjson"), body, count=30) for name, body in BODIES.items()}
    (tmp_path / "keys").symlink_to(keys_dir)
    (tmp_path / "secrets").symlink_to(postgres.secrets.parent)
    command = [sys.executable, "-c", RUN, north.endpoint.model_dump_json(), AS_OF.isoformat()]
    environment = {**os.environ, **postgres.environment(), "CITYWELL_HOME": str(tmp_path)}
    for point in CRASH_POINTS:
        killed = subprocess.run(
            command,
            env={**environment, "CITYWELL_CRASH_AT": point},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert killed.returncode == 137, f"{point} was not reached: {killed.stderr[-2000:]}"
    result = north.extract()
    assert result.complete
    assert sorted(north.contents(result).values()) == sorted(BODIES.values())
    assert north.on_disk() == [file.file for file in result.files]
    assert server.count("kickoff") == 2, "the first was killed before its address was kept"
