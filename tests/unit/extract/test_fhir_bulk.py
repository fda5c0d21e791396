"""Bulk extraction against a server that can be made to do anything wrong:

one named fault, one promised outcome.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest
from bulk_installation import AS_OF, Installation
from bulk_server import LINK_SECRET, Answer, BulkServer, FakeClock, File, answer_json, running

from jobs.errors import CitywellError
from jobs.extract import bulk_client
from jobs.extract.waiting import Transient
from jobs.lake import control
from jobs.sources import Endpoint, NoSignIn

CANARY = "Zorblax-Quintarelli"
PATIENTS = b"".join(
    b'{"resourceType":"Patient","id":"p%d","name":"%s"}\n' % (n, CANARY.encode()) for n in range(50)
)
VISITS = b'{"resourceType":"Encounter","id":"e1"}\n' * 20
PATIENT_FILE, VISIT_FILE = "0000-Patient.ndjson.cwl", "0001-Encounter.ndjson.cwl"


@pytest.fixture(autouse=True)
def _files(server: BulkServer) -> None:
    server.files = {
        "patient.ndjson": File("Patient", PATIENTS, count=50),
        "encounter.ndjson": File("Encounter", VISITS, count=20),
    }


def in_turn(endpoint: Endpoint) -> Endpoint:
    """One download at a time, so that a test knows which comes first."""
    return endpoint.model_copy(update={"parallel_downloads": 1})


# What goes well


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
    ("level", "group", "path"),
    [("patient", None, "Patient/$export"), ("system", None, "$export"), ("group", "g1", "Group/g1/$export")],
)
def test_the_export_is_asked_for_as_declared(
    level: str, group: str | None, path: str, endpoint: Endpoint
) -> None:
    asked = endpoint.model_copy(update={"export_level": level, "group_id": group})
    assert bulk_client._operation(asked) == path


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


# gzip in all the ways it comes

MEMBERS = gzip.compress(PATIENTS[:1000]) + gzip.compress(PATIENTS[1000:])


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzip.compress(PATIENTS), {"Content-Encoding": "gzip"}),
        (gzip.compress(PATIENTS), {"Content-Type": "application/gzip"}),
        (MEMBERS, {"Content-Encoding": "gzip"}),
        (PATIENTS, {}),
    ],
    ids=["encoded", "a gzip file", "two members", "plain"],
)
def test_gzip_is_undone_however_it_comes(
    north: Installation, server: BulkServer, body: bytes, headers: dict[str, str]
) -> None:
    server.files["patient.ndjson"] = File("Patient", body, count=50, headers=headers)
    result = north.extract()
    assert result.complete
    assert north.content(result, PATIENT_FILE) == PATIENTS


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_gzip_is_undone_whatever_the_pieces(size: int) -> None:
    pieces = [MEMBERS[i : i + size] for i in range(0, len(MEMBERS), size)]
    assert b"".join(bulk_client.ungzipped(pieces)) == PATIENTS
    assert b"".join(bulk_client.ungzipped([b"", b"{", b"}"])) == b"{}"
    assert b"".join(bulk_client.ungzipped([])) == b""


@pytest.mark.parametrize("size", [1000, 1 << 20])
def test_a_gzip_stream_that_swells_comes_in_small_pieces(size: int) -> None:
    swollen = b"0" * (8 << 20)
    packed = gzip.compress(swollen) + gzip.compress(b"end")
    pieces = [packed[i : i + size] for i in range(0, len(packed), size)]
    plain = list(bulk_client.ungzipped(pieces))
    assert max(map(len, plain)) <= 1 << 20
    assert b"".join(plain) == swollen + b"end"


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:50] + b"\x00\x01\x02\x03" + b[54:]])
def test_a_damaged_gzip_stream_is_seen(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Transient, match="gzip stream is"):
        b"".join(bulk_client.ungzipped([damage(gzip.compress(os.urandom(5000)))]))


def test_a_gzip_stream_cut_off_is_fetched_again(north: Installation, server: BulkServer) -> None:
    server.files["patient.ndjson"] = File(
        "Patient", gzip.compress(PATIENTS), headers={"Content-Encoding": "gzip"}
    )
    server.script["patient.ndjson"] = [Answer(silent_cut=200)]
    result = north.extract()
    assert result.complete
    assert north.content(result, PATIENT_FILE) == PATIENTS


# Waiting


def test_polling_waits_as_long_as_the_server_asks(
    north: Installation, server: BulkServer, clock: FakeClock
) -> None:
    server.script["status"] = [
        Answer(202, {"Retry-After": "7", "X-Progress": "40% done"}),
        Answer(202, {"Retry-After": format_datetime(clock.now() + timedelta(seconds=50), usegmt=True)}),
        Answer(429, {"Retry-After": "20"}),
    ]
    assert north.extract().complete
    for slept, asked in zip(clock.sleeps, (7, 43, 20), strict=True):
        assert asked - 0.5 <= slept <= asked + 0.5
    assert all(s % 1 for s in clock.sleeps), "a little is added at random"


@pytest.mark.parametrize("header", ["0", "1000000000", "Sun, 01 Mar 2020 12:00:00 GMT"])
@pytest.mark.parametrize("status", [202, 429])
def test_polling_never_spins(
    north: Installation, server: BulkServer, clock: FakeClock, header: str, status: int
) -> None:
    server.script["status"] = [Answer(status, {"Retry-After": header})] * 20
    assert north.extract().complete
    assert len(clock.sleeps) == 20
    assert all(s >= 1 for s in clock.sleeps)
    assert len(set(clock.sleeps)) == 20, "jittered"


def test_failures_while_polling_are_spread_over_time_whatever_the_server_asks(
    north: Installation, server: BulkServer, clock: FakeClock
) -> None:
    server.script["status"] = [Answer(503, {"Retry-After": "0"}, forever=True)]
    with pytest.raises(CitywellError, match="progress failed 8 times"):
        north.extract()
    assert clock.elapsed > 60
    assert all(1 <= s <= 31 for s in clock.sleeps)
    assert clock.sleeps[:4] == sorted(clock.sleeps[:4])


def test_an_epoch_in_retry_after_is_capped_and_said(
    north: Installation, server: BulkServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    epoch = str(int(clock.now().timestamp()) + 86_400)
    server.script["status"] = [Answer(202, {"Retry-After": epoch})]
    assert north.extract().complete
    assert len(clock.sleeps) == 1
    assert 300 <= clock.sleeps[0] <= 301
    assert "epoch" in caplog.text
    assert "asks to wait 86400 s; waiting 300 s" in caplog.text


def test_polling_without_a_header_slows_down(
    north: Installation, server: BulkServer, clock: FakeClock
) -> None:
    server.script["status"] = [Answer(202), Answer(503), Answer(202), Answer(502), *[Answer(202)] * 5]
    assert north.extract().complete
    assert len(clock.sleeps) == 9
    for slept, least in zip(clock.sleeps, (1, 1, 2, 1, 4, 8, 16, 30, 30), strict=True):
        assert least <= slept <= 2 * least + 0.5


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_at_kick_off_is_tried_again_with_back_off(
    north: Installation, server: BulkServer, clock: FakeClock, status: int
) -> None:
    server.script["kickoff"] = [Answer(status), Answer(status, {"Retry-After": "11"})]
    assert north.extract().complete
    assert server.count("kickoff") == 3
    assert len(clock.sleeps) == 2
    assert 11 <= clock.sleeps[1] <= 12


def test_polling_that_never_ends_raises_an_alarm_and_the_job_is_kept(
    north: Installation, server: BulkServer, clock: FakeClock
) -> None:
    server.script["status"] = [Answer(202, {"Retry-After": "60"}, forever=True)]
    with pytest.raises(CitywellError, match="not done within 240 minutes") as error:
        north.extract()
    assert "north" in error.value.where
    assert clock.elapsed <= 240 * 60
    assert north.job().state == "running"
    server.script.clear()
    assert north.extract().complete
    assert server.count("kickoff") == 1


def test_a_server_that_goes_down_while_polled_keeps_its_job(north: Installation, server: BulkServer) -> None:
    server.script["status"] = [Answer(503, forever=True)]
    with pytest.raises(CitywellError, match="progress failed 8 times"):
        north.extract()
    server.script.clear()
    assert north.extract().complete
    assert server.count("kickoff") == 1


# Killed and run again


class Killed(BaseException):
    """Stands for the end of the process."""


def test_killed_while_polling_the_same_export_is_polled_again(
    north: Installation, server: BulkServer, clock: FakeClock
) -> None:
    def kill() -> None:
        raise Killed

    server.script["status"] = [Answer(202)]
    clock.on_sleep = kill
    with pytest.raises(Killed):
        north.extract()
    clock.on_sleep = lambda: None
    assert north.extract().complete
    assert (server.count("kickoff"), north.job().attempt) == (1, 1)


def test_killed_between_kick_off_and_its_record_a_new_export_is_started(
    north: Installation, server: BulkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(control, "save_job", kill)
        with pytest.raises(Killed):
            north.extract()
    assert north.extract().complete
    assert (server.count("kickoff"), north.job().attempt) == (2, 1)


def killed_after_the_first_file(north: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def record_and_kill(*args: object) -> None:
        record(*args)  # type: ignore[arg-type]
        raise Killed

    record = control.record_file
    with monkeypatch.context() as patched:
        patched.setattr(control, "record_file", record_and_kill)
        with pytest.raises(Killed):
            north.extract()


def test_killed_in_mid_download_what_landed_is_not_fetched_again(
    north: Installation, server: BulkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = north.with_endpoint(in_turn)
    server.script["encounter.ndjson"] = [Answer(before=lambda: None, cut_at=10)]
    killed_after_the_first_file(slow, monkeypatch)
    result = slow.extract()
    assert result.complete
    assert slow.contents(result) == {PATIENT_FILE: PATIENTS, VISIT_FILE: VISITS}
    assert (server.count("patient.ndjson"), server.count("kickoff")) == (1, 1)


@pytest.mark.parametrize("harm", [lambda p: p.write_bytes(p.read_bytes()[:-1]), lambda p: p.unlink()])
def test_a_file_harmed_before_the_re_run_is_fetched_again(
    north: Installation, server: BulkServer, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None]
) -> None:
    slow = north.with_endpoint(in_turn)
    killed_after_the_first_file(slow, monkeypatch)
    harm(next(slow.places.landing_dir.rglob(PATIENT_FILE)))
    result = slow.extract()
    assert slow.content(result, PATIENT_FILE) == PATIENTS
    assert server.count("patient.ndjson") == 2


def test_killed_before_control_knew_of_the_landing_the_re_run_says_so(
    north: Installation, server: BulkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(control, "set_landed", kill)
        with pytest.raises(Killed):
            north.extract()
    result = north.extract()
    assert control.get_batch(north.conn, result.batch_id).status == "landed"
    assert server.count("patient.ndjson") == 1


def test_a_landed_batch_whose_files_are_gone_is_exported_again(
    north: Installation, server: BulkServer
) -> None:
    first = north.extract()
    (first.directory / PATIENT_FILE).unlink()
    assert north.extract().complete
    assert (server.count("kickoff"), north.job().attempt) == (2, 2)


def test_a_published_batch_is_not_exported_again_when_its_files_have_expired(
    north: Installation, server: BulkServer
) -> None:
    first = north.extract()
    north.publish(first)
    (first.directory / PATIENT_FILE).unlink()
    assert north.extract() == first
    assert server.count("kickoff") == 1


# Content types


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


# Tokens


def test_a_token_that_ends_between_two_files_is_renewed(north: Installation, server: BulkServer) -> None:
    server.script["encounter.ndjson"] = [Answer(before=server.tokens.clear)]
    assert north.with_endpoint(in_turn).extract().complete
    assert server.count("token") == 2


def test_a_401_in_mid_file_renews_the_token_and_restarts_that_file(
    north: Installation, server: BulkServer
) -> None:
    server.script["patient.ndjson"] = [Answer(before=server.tokens.clear), Answer(cut_at=700)]
    server.script["patient.ndjson"][0].status = 401
    result = north.extract()
    assert result.complete
    assert north.content(result, PATIENT_FILE) == PATIENTS
    assert server.count("token") >= 2
    assert server.count("patient.ndjson") == 3


def test_the_token_goes_only_where_it_is_asked_for(north: Installation, server: BulkServer) -> None:
    server.manifest = {"requiresAccessToken": False}
    assert north.extract().complete
    assert "authorization" not in server.last("patient.ndjson").headers


def test_the_token_does_not_leave_the_server_unasked(server: BulkServer, endpoint: Endpoint) -> None:
    client = bulk_client.BulkClient(endpoint, httpx.Client(), None)
    own = bulk_client.Link("output", "Patient", f"{server.base_url}/files/x", None)
    foreign = bulk_client.Link("output", "Patient", "http://storage.example/x", None)
    assert client._sends_token(own, None)
    assert not client._sends_token(foreign, None)
    assert client._sends_token(foreign, True)


def test_the_token_is_not_sent_to_another_server_that_progress_is_asked_at(
    north: Installation, server: BulkServer, clock: FakeClock
) -> None:
    with running(clock) as other:
        server.script["kickoff"] = [Answer(202, {"Content-Location": f"{other.base_url}/jobs/1"})]
        with pytest.raises(CitywellError, match="our token is not sent there"):
            north.extract()
        assert other.count("status") == 1
        assert all("authorization" not in seen.headers for seen in other.seen)


def test_the_token_is_not_sent_to_another_server_that_holds_the_next_page(
    north: Installation, server: BulkServer, clock: FakeClock
) -> None:
    with running(clock) as other:
        other.manifest = {"requiresAccessToken": False}
        other.files["page2"] = File("", b'{"transactionTime": "2026-03-01T00:00:00Z"}')
        server.manifest = {"link": [{"relation": "next", "url": f"{other.base_url}/files/page2"}]}
        assert north.extract().complete
        assert "authorization" not in other.last("page2").headers


def test_a_redirected_file_is_fetched_and_the_token_stays_behind(
    north: Installation, server: BulkServer, clock: FakeClock
) -> None:
    with running(clock) as storage:
        storage.manifest = {"requiresAccessToken": False}
        storage.files["stored.ndjson"] = File("Patient", PATIENTS)
        server.script["patient.ndjson"] = [
            Answer(302, {"Location": f"{storage.base_url}/files/stored.ndjson"})
        ]
        server.script["encounter.ndjson"] = [Answer(307, {"Location": "encounter2.ndjson"})]
        server.files["encounter2.ndjson"] = File("Encounter", VISITS, kind="nowhere")
        result = north.extract()
        assert result.complete
        assert north.contents(result) == {PATIENT_FILE: PATIENTS, VISIT_FILE: VISITS}
        assert "authorization" not in storage.last("stored.ndjson").headers
        assert "authorization" in server.last("encounter2.ndjson").headers


def test_a_redirect_without_encryption_is_refused(endpoint: Endpoint) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": "http://bulk.example/f"})

    safe = endpoint.model_copy(update={"base_url": "https://north.example/fhir"})
    client = bulk_client.BulkClient(safe, httpx.Client(transport=httpx.MockTransport(answer)), None)
    link = bulk_client.Link("output", "Patient", "https://north.example/f", None)
    with pytest.raises(CitywellError, match="without encryption"), client.file(link, needs_token=True):
        pass
    assert asked == ["https://north.example/f"]


def test_a_redirect_in_a_circle_is_a_file_that_failed(north: Installation, server: BulkServer) -> None:
    server.script["encounter.ndjson"] = [Answer(302, {"Location": "encounter.ndjson"}, forever=True)]
    result = north.extract()
    assert [f.message for f in result.findings] == ["the file could not be fetched: redirected in a circle"]


def test_a_refused_sign_in_stops_the_run_with_its_reason(north: Installation, server: BulkServer) -> None:
    server.jwks = []
    with pytest.raises(CitywellError, match="refused our sign-in"):
        north.extract()
    assert north.on_disk() == []


# Links and files that fail


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


# What the server refuses or gets wrong


@pytest.mark.parametrize(
    ("answer", "words", "advice"),
    [
        (Answer(403), "may not export", "grant"),
        (Answer(404), "no export at level patient", "export_level"),
        (Answer(501), "no export at level patient", "export_level"),
        (Answer(400), "rejects the export", "types"),
        (Answer(202), "did not say where to ask", "maker"),
        (Answer(401, forever=True), "does not accept the token", "source check"),
    ],
    ids=["403", "404", "501", "400", "no address", "401"],
)
def test_a_refused_kick_off_is_explained(
    north: Installation, server: BulkServer, answer: Answer, words: str, advice: str
) -> None:
    server.script["kickoff"] = [answer]
    with pytest.raises(CitywellError, match=words) as error:
        north.extract()
    assert advice in error.value.do
    assert server.base_url in error.value.where


@pytest.mark.parametrize("address", ["http://[bad/x", "ftp://north/jobs/1", "http://north:port/jobs/1"])
def test_an_address_of_progress_that_is_none_is_explained(
    north: Installation, server: BulkServer, address: str
) -> None:
    server.script["kickoff"] = [Answer(202, {"Content-Location": address})]
    with pytest.raises(CitywellError, match="Content-Location is no web address"):
        north.extract()


def test_a_link_to_a_next_page_that_is_none_is_explained(north: Installation, server: BulkServer) -> None:
    server.manifest = {"link": [{"relation": "next", "url": "http://[bad/x"}]}
    with pytest.raises(CitywellError, match="next page is no web address"):
        north.extract()


@pytest.mark.parametrize("place", ["kickoff", "status", "configuration", "token"])
def test_an_answer_whose_compression_is_damaged_is_asked_for_again(
    north: Installation, server: BulkServer, place: str
) -> None:
    server.script[place] = [Answer(200, {"Content-Encoding": "gzip"}, b"\x1f\x8bno gzip")]
    assert north.extract().complete
    assert server.count(place) >= 2


def test_a_lost_export_is_discarded_before_another_is_started(
    north: Installation, server: BulkServer
) -> None:
    server.script["encounter.ndjson"] = [Answer(410)]
    assert north.extract().complete
    places = [seen.place for seen in server.seen if seen.place in ("kickoff", "discard")]
    assert places == ["kickoff", "discard", "kickoff", "discard"]


def test_a_server_that_rejects_since_is_explained(north: Installation, server: BulkServer) -> None:
    north.publish(north.extract())
    server.script["kickoff"] = [Answer(400)]
    with pytest.raises(CitywellError) as error:
        north.extract(AS_OF + timedelta(days=1))
    assert "supports_since: false" in error.value.do


@pytest.mark.parametrize(
    ("manifest", "place"),
    [
        (f'{{"patient": "{CANARY}"}}', "transactionTime"),
        (f'{{"transactionTime": "{CANARY}"}}', "transactionTime"),
        ('{"transactionTime": "0001-01-01T00:00:00+14:00"}', "transactionTime"),
        ('{"transactionTime": "2026-03-01T00:00:00Z", "output": [{"type": "Patient"}]}', "output.0.url"),
        (f"<html>{CANARY}</html>", "the document"),
    ],
)
def test_a_manifest_that_is_none_is_explained_without_its_content(
    north: Installation, server: BulkServer, manifest: str, place: str
) -> None:
    server.script["status"] = [Answer(200, body=manifest.encode())]
    with pytest.raises(CitywellError, match=f"cannot be understood: {place}") as error:
        north.extract()
    assert CANARY not in str(error.value)


def test_a_server_that_is_down_is_named(north: Installation) -> None:
    down = north.with_endpoint(lambda e: e.model_copy(update={"base_url": "http://127.0.0.1:1/fhir"}))
    with pytest.raises(CitywellError, match="no connection") as error:
        down.extract()
    assert "127.0.0.1:1" in error.value.where


def test_no_token_link_or_record_gets_into_logs_or_messages(
    north: Installation, server: BulkServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.script["kickoff"] = [Answer(503)]
    server.script["status"] = [Answer(202), Answer(503), answer_json({"transactionTime": CANARY})]
    with pytest.raises(CitywellError) as refused:
        north.extract()
    server.script["patient.ndjson"] = [Answer(cut_at=300), Answer(404)]
    server.script["encounter.ndjson"] = [Answer(500, body=CANARY.encode(), forever=True)]
    result = north.extract()
    said = caplog.text + repr(refused.getrepr(style="long").chain[-1][1]) + str(refused.value) + repr(result)
    assert "export" in caplog.text
    for secret in (CANARY, LINK_SECRET, "sekret-token", "signature=", "eyJ"):
        assert secret not in said
