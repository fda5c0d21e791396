"""Links that expire, files that fail, and answers that are no files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from bulk_files import CANARY, PATIENT_FILE, PATIENTS, VISIT_FILE, VISITS, in_turn
from bulk_installation import AS_OF, Installation
from bulk_server import Answer, BulkServer, File

from jobs.errors import CitywellError
from jobs.lake import control


@pytest.mark.parametrize(
    "kind", ["text/html; charset=utf-8", "application/xhtml+xml", "application/fhir+xml"]
)
def test_a_page_sent_in_a_files_place_does_not_land(
    north: Installation, server: BulkServer, kind: str
) -> None:
    page = f"<html><title>Sign in, {CANARY}</title></html>".encode()
    server.files["encounter.ndjson"] = File("Encounter", page, headers={"Content-Type": kind})
    result = north.extract()
    assert [(f.kind, f.file) for f in result.findings] == [("file_failed", VISIT_FILE)]
    assert "not NDJSON" in result.findings[0].message
    assert (result.watermark, north.on_disk()) == (None, [PATIENT_FILE])


@pytest.mark.parametrize(
    "kind",
    [
        "application/fhir+ndjson",
        "application/x-ndjson",
        "application/json; charset=utf-8",
        "application/octet-stream",
        "Text/Plain",
        "application/gzip",
    ],
)
def test_ndjson_lands_under_every_content_type_it_comes_with(
    north: Installation, server: BulkServer, kind: str
) -> None:
    server.files["patient.ndjson"].headers = {"Content-Type": kind}
    assert north.extract().complete


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_expired_link_restarts_the_export(north: Installation, server: BulkServer, status: int) -> None:
    server.script["encounter.ndjson"] = [Answer(status)]
    result = north.extract()
    assert result.complete
    assert north.contents(result) == {PATIENT_FILE: PATIENTS, VISIT_FILE: VISITS}
    assert (server.count("kickoff"), north.job().attempt) == (2, 2)


def test_files_of_a_lost_export_do_not_stay(north: Installation, server: BulkServer) -> None:
    slow = north.with_endpoint(in_turn)

    def another_export() -> None:
        server.files = {"encounter.ndjson": File("Encounter", VISITS)}

    server.script["encounter.ndjson"] = [Answer(410, before=another_export)]
    result = slow.extract()
    assert slow.on_disk() == ["0000-Encounter.ndjson.cwl"] == [f.file for f in result.files]
    assert control.landed_files(slow.conn, result.batch_id) == list(result.files)


def test_a_job_the_server_has_forgotten_is_replaced(north: Installation, server: BulkServer) -> None:
    server.script["status"] = [Answer(404)]
    assert north.extract().complete
    assert (server.count("kickoff"), north.job().attempt) == (2, 2)


def test_an_export_that_failed_is_replaced_and_its_words_are_not_logged(
    north: Installation, server: BulkServer, caplog: pytest.LogCaptureFixture
) -> None:
    issue = {"code": "exception", "diagnostics": f"patient {CANARY}"}
    failed = json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()
    server.script["status"] = [Answer(500, body=failed)]
    assert north.extract().complete
    assert "HTTP 500, exception" in caplog.text
    assert CANARY not in caplog.text


def test_exports_that_are_lost_every_time_are_given_up(north: Installation, server: BulkServer) -> None:
    server.script["status"] = [Answer(404, forever=True)]
    with pytest.raises(CitywellError, match="3 exports were lost on the server, lastly"):
        north.extract()
    assert server.count("kickoff") == 3


INCOMPLETE: dict[str, tuple[Callable[[BulkServer], None], str, str]] = {
    "a file is missing from the server": (
        lambda s: (
            s.files.update({"encounter.ndjson": File("Encounter", b"")})
            or s.script.update({"encounter.ndjson": [Answer(404, forever=True)]})
        ),
        "file_failed",
        "HTTP 404",
    ),
    "a file fails for ever": (
        lambda s: s.script.update({"encounter.ndjson": [Answer(500, forever=True)]}),
        "file_failed",
        "HTTP 500, 5 times",
    ),
    "a file is always cut": (
        lambda s: s.script.update({"encounter.ndjson": [Answer(cut_at=99, forever=True)]}),
        "file_failed",
        "cut in mid-answer",
    ),
    "a file ends early as if all were well": (
        lambda s: s.script.update({"encounter.ndjson": [Answer(silent_cut=99, forever=True)]}),
        "count_mismatch",
        "3 records came, 20 were announced",
    ),
    "a count is unlike the manifest": (
        lambda s: setattr(s.files["encounter.ndjson"], "count", 21),
        "count_mismatch",
        "20 records came, 21 were announced",
    ),
    "a link is none": (
        lambda s: s.manifest.update(
            output=[
                {"type": "Patient", "url": f"{s.base_url}/files/patient.ndjson"},
                {"type": "Encounter", "url": "http://[bad/x"},
            ]
        ),
        "file_failed",
        "no web address",
    ),
    "the server reports errors": (
        lambda s: s.files.update({"e.ndjson": File("OperationOutcome", b"{}\n{}", "error")}),
        "server_errors",
        "2 problems of its own in 1 error files",
    ),
}


@pytest.mark.parametrize("fault", INCOMPLETE)
def test_the_rest_lands_and_the_watermark_stays(north: Installation, server: BulkServer, fault: str) -> None:
    harm, kind, words = INCOMPLETE[fault]
    first = north.extract()
    north.publish(first)
    server.manifest = {"transactionTime": "2026-03-02T00:00:00Z"}
    harm(server)
    second = north.extract(AS_OF + timedelta(days=1))
    assert not second.complete
    assert [f.kind for f in second.findings] == [kind]
    assert words in second.findings[0].message
    assert north.content(second, PATIENT_FILE) == PATIENTS
    north.publish(second)
    mark = control.watermark(north.conn, "north")
    assert mark is not None
    assert mark.transaction_time == first.transaction_time
    server.script.clear()
    north.extract(AS_OF + timedelta(days=2))
    assert server.last("kickoff").query["_since"] == ["2026-03-01T00:00:00.000Z"]


def test_a_file_short_of_lines_once_is_fetched_again(north: Installation, server: BulkServer) -> None:
    server.script["patient.ndjson"] = [Answer(silent_cut=300)]
    result = north.extract()
    assert result.complete
    assert north.content(result, PATIENT_FILE) == PATIENTS


def test_a_short_file_that_cannot_be_fetched_again_stays_as_it_came(
    north: Installation, server: BulkServer
) -> None:
    server.files["patient.ndjson"].count = 51
    server.script["patient.ndjson"] = [Answer(200, {"X": "1"}, PATIENTS), Answer(410)]
    result = north.extract()
    assert [f.kind for f in result.findings] == ["count_mismatch"]
    assert north.content(result, PATIENT_FILE) == PATIENTS
    assert server.count("kickoff") == 1


def test_a_cut_connection_restarts_that_file(north: Installation, server: BulkServer) -> None:
    server.script["patient.ndjson"] = [Answer(cut_at=300), Answer(503, {"Retry-After": "3"})]
    result = north.extract()
    assert result.complete
    assert north.content(result, PATIENT_FILE) == PATIENTS


def test_blank_lines_and_a_missing_final_newline_do_not_make_a_batch_incomplete(
    north: Installation, server: BulkServer
) -> None:
    server.files["patient.ndjson"] = File("Patient", b"{}\n\n{}\r\n\r\n{}", count=3)
    assert north.extract().complete


def test_when_no_file_can_be_fetched_nothing_lands(north: Installation, server: BulkServer) -> None:
    for name in server.files:
        server.script[name] = [Answer(500, forever=True)]
    with pytest.raises(CitywellError, match="None of the export's 2 files could be fetched"):
        north.extract()
    assert north.on_disk() == []
    assert control.get_batch(north.conn, control.batch_id("north", AS_OF)).status == "open"


def test_a_full_disk_stops_the_run_and_a_re_run_goes_on(
    north: Installation, server: BulkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_open = os.open

    def open_full(path: str | Path, *rest: int) -> int:
        is_visit = "Encounter" in str(path)
        return plain_open("/dev/full", os.O_WRONLY) if is_visit else plain_open(path, *rest)

    slow = north.with_endpoint(in_turn)
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", open_full)
        with pytest.raises(CitywellError, match="disk is full"):
            slow.extract()
    assert slow.on_disk() == [PATIENT_FILE]
    assert slow.extract().complete
    assert (server.count("kickoff"), server.count("patient.ndjson")) == (1, 1)
