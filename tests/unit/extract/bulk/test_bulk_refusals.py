"""What the server refuses or gets wrong is explained, without its content."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from bulk_files import CANARY
from bulk_installation import AS_OF, Installation
from bulk_server import LINK_SECRET, Answer, BulkServer, answer_json

from jobs.errors import CitywellError


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


def test_an_export_of_an_instant_still_to_come_is_refused(north: Installation, server: BulkServer) -> None:
    """Its instant would be the watermark: nothing that changes before it would be asked for again."""
    server.script["status"] = [answer_json({"transactionTime": "2062-03-01T00:00:00Z", "output": []})]
    with pytest.raises(CitywellError, match="still to come") as refused:
        north.extract()
    assert "clock" in refused.value.do


def test_an_outcome_in_the_place_of_a_manifest_starts_another_export(
    north: Installation, server: BulkServer
) -> None:
    issue = {"severity": "error", "code": "exception", "diagnostics": CANARY}
    server.script["status"] = [answer_json({"resourceType": "OperationOutcome", "issue": [issue]})]
    assert north.extract().complete
    assert server.count("kickoff") == 2


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
