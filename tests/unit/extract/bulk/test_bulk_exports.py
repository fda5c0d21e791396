"""Bulk exports that go well: what lands, and what the next export asks for."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from bulk_files import CANARY, PATIENT_FILE, PATIENTS, VISIT_FILE, VISITS
from bulk_installation import AS_OF, Installation
from bulk_server import LINK_SECRET, BulkServer, File

from jobs.extract import bulk_client
from jobs.lake import control
from jobs.sources import FhirEndpoint, NoSignIn


def test_an_export_lands_encrypted_and_complete(north: Installation, server: BulkServer) -> None:
    result = north.extract()
    assert result.complete
    assert result.findings == ()
    assert result.watermark == result.transaction_time
    assert result.transaction_time.isoformat() == "2026-03-01T00:00:00+00:00"
    assert north.contents(result) == {PATIENT_FILE: PATIENTS, VISIT_FILE: VISITS}
    assert [(f.resource_type, f.lines, f.expected_lines) for f in result.files] == [
        ("Patient", 50, 50),
        ("Encounter", 20, 20),
    ]
    assert list(result.files) == control.landed_files(north.conn, result.batch_id)
    assert control.get_batch(north.conn, result.batch_id).status == "landed"
    assert north.job().state == "complete"
    assert server.count("discard") == 1


def test_no_record_is_on_disk_in_plain(north: Installation) -> None:
    north.extract()
    for path in north.places.landing_dir.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes()
            assert LINK_SECRET.encode() not in path.read_bytes()
            assert b"sekret" not in path.read_bytes()


def test_the_same_batch_again_asks_the_server_for_nothing(north: Installation, server: BulkServer) -> None:
    first = north.extract()
    asked = len(server.seen)
    assert north.extract() == first
    assert len(server.seen) == asked


@pytest.mark.parametrize(
    ("level", "group", "path", "asks_since"),
    [
        ("patient", None, "Patient/$export", True),
        ("system", None, "$export", True),
        # What is older of a patient who joins the group later would never come.
        ("group", "g1", "Group/g1/$export", False),
    ],
)
def test_the_export_is_asked_for_as_declared(
    level: str, group: str | None, path: str, asks_since: bool, endpoint: FhirEndpoint
) -> None:
    asked = endpoint.model_copy(update={"export_level": level, "group_id": group})
    assert bulk_client._operation(asked) == path
    assert asked.uses_since is asks_since


def test_the_next_export_asks_for_what_came_since(north: Installation, server: BulkServer) -> None:
    declared = north.with_endpoint(lambda e: e.model_copy(update={"types": ("Patient", "Encounter")}))
    declared.publish(declared.extract())
    assert server.last("kickoff").query == {"_type": ["Patient,Encounter"]}
    assert server.last("kickoff").headers["prefer"] == "respond-async"
    declared.extract(AS_OF + timedelta(days=1))
    assert server.last("kickoff").query["_since"] == ["2026-03-01T00:00:00.000Z"]


def test_a_server_without_since_is_asked_for_everything(north: Installation, server: BulkServer) -> None:
    whole = north.with_endpoint(lambda e: e.model_copy(update={"supports_since": False}))
    whole.publish(whole.extract())
    whole.extract(AS_OF + timedelta(days=1))
    assert server.last("kickoff").query == {}


def test_a_server_without_sign_in_works_too(north: Installation, server: BulkServer) -> None:
    server.tokens.add("")
    open_server = north.with_endpoint(lambda e: e.model_copy(update={"auth": NoSignIn(method="none")}))
    assert open_server.extract().complete
    assert server.count("token") == 0


def test_deletions_and_errors_land_as_what_they_are(north: Installation, server: BulkServer) -> None:
    bundle, outcome = b'{"resourceType":"Bundle"}\n', b'{"resourceType":"OperationOutcome"}'
    server.files["deleted.ndjson"] = File("Bundle", bundle, "deleted", count=1)
    server.files["errors.ndjson"] = File("OperationOutcome", outcome, "error", count=1)
    result = north.extract()
    assert [(f.kind, f.file, f.lines) for f in result.files[2:]] == [
        ("deleted", "0002-Bundle.ndjson.cwl", 1),
        ("error", "0003-OperationOutcome.ndjson.cwl", 1),
    ]
    assert north.content(result, "0003-OperationOutcome.ndjson.cwl") == outcome


@pytest.mark.parametrize("missing", ["deleted", "error", "both"])
def test_a_manifest_without_deleted_or_error_is_fine(
    north: Installation, server: BulkServer, missing: str
) -> None:
    names = ("deleted", "error") if missing == "both" else (missing,)
    server.manifest = dict.fromkeys(names)
    assert north.extract().complete


@pytest.mark.parametrize("files", [{}, {"p.ndjson": File("Patient", b"\xef\xbb\xbf\r\n")}])
def test_a_full_export_of_nothing_lands_and_the_watermark_stays(
    north: Installation, server: BulkServer, files: dict[str, File]
) -> None:
    server.files = files
    result = north.extract()
    assert [f.kind for f in result.findings] == ["nothing_exported"]
    assert (len(result.files), result.watermark) == (len(files), None)


def test_nothing_new_since_the_last_export_is_complete(north: Installation, server: BulkServer) -> None:
    north.publish(north.extract())
    server.files = {}
    server.manifest = {"transactionTime": "2026-03-02T00:00:00Z"}
    result = north.extract(AS_OF + timedelta(days=1))
    assert result.complete
    assert result.files == ()


def test_an_empty_file_lands(north: Installation, server: BulkServer) -> None:
    server.files["patient.ndjson"] = File("Patient", b"", count=0)
    assert north.extract().complete


def test_all_pages_of_a_manifest_are_read(north: Installation, server: BulkServer) -> None:
    second = {
        "transactionTime": "2026-03-01T00:00:00Z",
        "output": [{"type": "Encounter", "url": f"{server.base_url}/files/encounter.ndjson"}],
    }
    server.files["page2"] = File("", json.dumps(second).encode())
    server.manifest = {
        "output": [{"type": "Patient", "url": f"{server.base_url}/files/patient.ndjson"}],
        "link": [{"relation": "next", "url": "/fhir/files/page2"}],
    }
    assert [f.file for f in north.extract().files] == [PATIENT_FILE, VISIT_FILE]


def test_a_link_listed_twice_is_fetched_once(north: Installation, server: BulkServer) -> None:
    link = {"type": "Patient", "url": f"{server.base_url}/files/patient.ndjson", "count": 50}
    server.manifest = {"output": [link, link]}
    result = north.extract()
    assert [f.file for f in result.files] == [PATIENT_FILE]
    assert server.count("patient.ndjson") == 1


@pytest.mark.parametrize("odd", ["../../etc/passwd", "", "Patient 7", "Location.1767225600000"])
def test_an_odd_type_does_not_get_into_a_file_name(north: Installation, server: BulkServer, odd: str) -> None:
    server.files = {"Location.1767225600000.ndjson": File(odd, PATIENTS)}
    assert north.on_disk() == []
    assert [f.file for f in north.extract().files] == ["0000-Unknown.ndjson.cwl"]
    assert north.on_disk() == ["0000-Unknown.ndjson.cwl"]


def test_a_naive_transaction_time_takes_the_declared_zone(north: Installation, server: BulkServer) -> None:
    server.manifest = {"transactionTime": "2026-03-01T00:00:00"}
    assert north.extract().transaction_time.isoformat() == "2026-02-28T23:00:00+00:00"
