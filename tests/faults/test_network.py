"""A hospital whose network or export goes wrong: what came is published, the watermark stays, the next run brings the
rest, and then nobody could tell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from jobs.lake import control
from tests.faults.conftest import NORTH, Hospital
from tests.faults.test_killed_ingests import AS_OF, offer
from tests.support.promises import assert_promises, contents
from tests.unit.extract.bulk_server import Answer, BulkServer, File

NEXT_DAY = "2026-03-02T04:30:00Z"
Harm = Callable[[BulkServer], object]
PATIENT = "Patient.ndjson"


def revoke_in_mid_file(server: BulkServer) -> None:
    server.script[PATIENT] = [Answer(401, before=server.tokens.clear), Answer(cut_at=20)]


MENDED: dict[str, Harm] = {
    "429 with seconds": lambda s: s.script.update(kickoff=[Answer(429, {"Retry-After": "1"})]),
    "503 without a header": lambda s: s.script.update(kickoff=[Answer(503)]),
    "401 in mid-file": revoke_in_mid_file,
    "a connection cut in mid-file": lambda s: s.script.update({PATIENT: [Answer(cut_at=20)]}),
    "a file truncated once": lambda s: s.script.update({PATIENT: [Answer(silent_cut=20)]}),
    "a link that has expired": lambda s: s.script.update({PATIENT: [Answer(410)]}),
    "an export the server has forgotten": lambda s: s.script.update(status=[Answer(404)]),
}
INCOMPLETE: dict[str, Harm] = {
    "a file truncated for ever": lambda s: s.script.update({PATIENT: [Answer(silent_cut=20, forever=True)]}),
    "a count unlike the manifest's": lambda s: setattr(s.files[PATIENT], "count", 9),
    "a file that is missing": lambda s: s.script.update({PATIENT: [Answer(404, forever=True)]}),
    "errors of the server": lambda s: s.files.update(e=File("OperationOutcome", b"{}\n", "error")),
}


def records() -> dict[str, list[dict[str, Any]]]:
    """Current rows and versions of what the files hold, deletions aside: those are of their export's instant."""
    return {
        name: [row for row in rows if not row["is_deleted"]]
        for name, rows in contents(timeless=True).items()
        if "hospital__" in name
    }


def watermark() -> object:
    with control.connect() as conn:
        mark = control.watermark(conn, NORTH)
    return mark and mark.batch_id


@pytest.mark.slow
@pytest.mark.parametrize("fault", [*MENDED, *INCOMPLETE])
def test_the_next_run_leaves_no_trace_of_it(fault: str, hospital: Hospital) -> None:
    offer(hospital.server)
    (MENDED | INCOMPLETE)[fault](hospital.server)
    done = hospital.ingest(AS_OF)
    assert done["complete"] == (fault in MENDED)
    assert bool(watermark()) == (fault in MENDED)
    assert_promises()
    hospital.server.script.clear()
    hospital.server.files.clear()
    offer(hospital.server)
    hospital.server.manifest = {"transactionTime": "2026-03-02T00:00:00Z"}
    assert hospital.ingest(NEXT_DAY)["complete"]
    assert watermark() == control.batch_id(NORTH, datetime.fromisoformat(NEXT_DAY))
    assert_promises()
    assert {name: len(rows) for name, rows in records().items()} == {
        "silver.hospital__patient": 1,
        "silver.hospital__patient_history": 1,
        "silver.hospital__observation": 1,
        "silver.hospital__observation_history": 1,
    }


def test_the_same_export_offered_again_is_duplicates(hospital: Hospital) -> None:
    offer(hospital.server)
    hospital.ingest(AS_OF)
    before = records()
    again = hospital.ingest(NEXT_DAY)
    assert {name: again[name] for name in ("published", "duplicate", "quarantined")} == {
        "published": 0,
        "duplicate": 3,
        "quarantined": 1,
    }
    assert_promises()
    assert records() == before
