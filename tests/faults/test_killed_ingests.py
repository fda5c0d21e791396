"""An ingest killed before, during or after any commit of its stages, from kick-off to publication, and run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs.lake import control
from tests.faults.conftest import NORTH, Hospital, opened_hospital
from tests.support.kills import Killer
from tests.support.promises import assert_promises, contents
from tests.unit.extract.bulk_server import Answer, BulkServer, File

AS_OF = "2026-03-01T04:30:00Z"
VERDICTS = {"quality.validations"}
"""Shown before the batch is: a verdict on a refused batch is needed most."""
POINTS = {
    "kick-off": (
        "before jobs.extract.bulk_client.BulkClient.kick_off",
        "extract:kicked off",
        "extract:job saved",
    ),
    "poll": (
        "before jobs.extract.bulk_client.BulkClient.wait",
        "before jobs.extract.bulk_client.BulkClient._judge_poll",
        "extract:polled",
    ),
    "download": (
        "before jobs.lake.landing.encrypted.LandingWriter.write",
        "after jobs.lake.landing.encrypted.LandingWriter._write_frame",
        "extract:file recorded",
    ),
    "land": ("extract:all files landed", "extract:manifest written", "after jobs.lake.control.set_landed"),
    "read": (
        "before jobs.lake.tables.append_batch",
        "after jobs.lake.tables.slices.guarded bronze.hospital__patient",
        "staged",
    ),
    "row rules": (
        "before jobs.lake.load.publishing._append_quarantine",
        "after jobs.lake.tables.slices.guarded quality.quarantine",
        "record:quality.quarantine",
    ),
    "checks": ("before jobs.lake.load.checking.accept", "before jobs.lake.control.publish_tables", "checked"),
    "link": ("before jobs.identity.vault.register", "before jobs.identity.vault.Identity", "link:registered"),
    "merge": ("judged", "after jobs.lake.tables.merging.guarded silver.hospital__patient", "merged"),
    "publish": (
        "before publish",
        "before jobs.lake.control.publication._insert_publication batch",
        "published",
    ),
}
"""By stage: where the job dies before, during and after the stage's commit."""
MOMENTS = ("before", "during", "after")
CASES = [
    pytest.param(stage, point, id=f"{stage}-{moment}")
    for stage, points in POINTS.items()
    for moment, point in zip(MOMENTS, points, strict=True)
]
META = {"lastUpdated": "2026-02-20T10:00:00Z"}
FILES = {
    "Patient": [{"id": "p1", "gender": "female"}, {"id": "p2", "gender": "f"}],
    "Observation": [
        {
            "id": "b1",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
            "subject": {"reference": "Patient/p1"},
            "effectiveDateTime": "2025-11-02",
        }
    ],
    "Basic": [{"id": "x1"}],
}
"""Two good records, one for the quarantine, one of a type nobody models."""


def offer(server: BulkServer) -> None:
    """The exports of ``server`` hold FILES and a deletion."""
    for name, records in FILES.items():
        lines = [msgspec.json.encode({"resourceType": name, "meta": META, **record}) for record in records]
        server.files[f"{name}.ndjson"] = File(name, b"\n".join(lines) + b"\n", count=len(lines))
    request = {"method": "DELETE", "url": "Observation/gone"}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{"request": request}]}
    server.files["deleted.ndjson"] = File("Bundle", msgspec.json.encode(bundle) + b"\n", "deleted")


@pytest.fixture(scope="module")
def never_killed(
    tmp_path_factory: pytest.TempPathFactory, postgres: Cluster, sail_engine: Engine, north_keys: Path
) -> dict[str, Any]:
    """What an ingest that nobody kills leaves."""
    home = tmp_path_factory.mktemp("never_killed") / "home"
    with opened_hospital(home, postgres, sail_engine.remote, north_keys) as hospital:
        offer(hospital.server)
        done = hospital.ingest(AS_OF)
        outcomes = {name: done[name] for name in ("published", "deleted", "unmodelled", "quarantined")}
        assert outcomes == {"published": 2, "deleted": 1, "unmodelled": 1, "quarantined": 1}
        return assert_promises()


@pytest.mark.parametrize(("stage", "point"), CASES)
def test_the_run_after_a_kill_converges(
    stage: str, point: str, never_killed: dict[str, Any], hospital: Hospital, killer: Killer
) -> None:
    offer(hospital.server)
    if stage == "poll":
        hospital.server.script["status"] = [Answer(202, {"Retry-After": "0"})]
    killer.run("jobs.ingest.ingest", NORTH, AS_OF, at=point)
    is_visible = point == "published"
    with control.connect() as conn:
        assert bool(control.current_versions(conn).keys() - VERDICTS) == is_visible
    assert contents() == (never_killed if is_visible else {})
    hospital.ingest(AS_OF)
    assert assert_promises() == never_killed
    assert hospital.server.count("kickoff") == (2 if point == "extract:kicked off" else 1)
