"""Where the token goes, and when it is renewed."""

from __future__ import annotations

import httpx
import pytest
from bulk_files import PATIENT_FILE, PATIENTS, VISIT_FILE, VISITS, in_turn
from bulk_installation import Installation
from bulk_server import Answer, BulkServer, FakeClock, File, running

from jobs.errors import CitywellError
from jobs.extract import bulk_client
from jobs.extract.bulk_manifest import Link
from jobs.sources import FhirEndpoint


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


def test_the_token_does_not_leave_the_server_unasked(server: BulkServer, endpoint: FhirEndpoint) -> None:
    client = bulk_client.BulkClient(endpoint, httpx.Client(), None)
    own = Link("output", "Patient", f"{server.base_url}/files/x", None)
    foreign = Link("output", "Patient", "http://storage.example/x", None)
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


def test_a_redirect_without_encryption_is_refused(endpoint: FhirEndpoint) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": "http://bulk.example/f"})

    safe = endpoint.model_copy(update={"base_url": "https://north.example/fhir"})
    client = bulk_client.BulkClient(safe, httpx.Client(transport=httpx.MockTransport(answer)), None)
    link = Link("output", "Patient", "https://north.example/f", None)
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
