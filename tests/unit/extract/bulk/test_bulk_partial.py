"""Files of an export are fetched while it still runs, where the server offers them in partial manifests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from bulk_files import PATIENT_FILE, PATIENTS, VISIT_FILE, VISITS
from bulk_installation import Installation
from bulk_server import TRANSACTION_TIME, Answer, BulkServer, FakeClock, File

from jobs.errors import CitywellError


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def early(north: Installation) -> Installation:
    return north.with_endpoint(lambda e: e.model_copy(update={"partial_manifests": True}))


def page(server: BulkServer, *files: str, next_page: str | None = None) -> dict[str, Any]:
    output = [
        {
            "type": server.files[f].resource_type,
            "url": f"{server.base_url}/files/{f}",
            "count": server.files[f].count,
        }
        for f in files
    ]
    links = [{"relation": "next", "url": f"{server.base_url}/files/{next_page}"}] if next_page else []
    return {
        "transactionTime": TRANSACTION_TIME,
        "requiresAccessToken": True,
        "output": output,
        "link": links,
    }


def under_way(document: dict[str, Any], before: Callable[[], None] = lambda: None) -> Answer:
    return Answer(202, {"Content-Type": "application/json"}, json.dumps(document).encode(), before=before)


def grows(server: BulkServer) -> None:
    """The patients are there at the first poll, the visits, on a second page, at the third."""
    first = page(server, "patient.ndjson")
    server.manifest = page(server, "patient.ndjson", next_page="page2")
    server.files["page2"] = File("", json.dumps(page(server, "encounter.ndjson")).encode())
    server.script["status"] = [under_way(first), under_way(first)]


def test_what_is_offered_early_lands_early_and_once(
    early: Installation, server: BulkServer, clock: FakeClock
) -> None:
    grows(server)
    seen: list[list[str]] = []
    clock.on_sleep = lambda: seen.append(early.on_disk())
    result = early.extract()
    assert seen == [[PATIENT_FILE], [PATIENT_FILE]]
    assert result.complete
    assert early.contents(result) == {PATIENT_FILE: PATIENTS, VISIT_FILE: VISITS}
    assert (server.count("patient.ndjson"), server.count("encounter.ndjson")) == (1, 1)
    assert server.last("kickoff").query["allowPartialManifests"] == ["true"]


def test_killed_while_the_export_runs_what_landed_is_not_fetched_again(
    early: Installation, server: BulkServer, clock: FakeClock
) -> None:
    def kill() -> None:
        raise Killed

    grows(server)
    clock.on_sleep = kill
    with pytest.raises(Killed):
        early.extract()
    assert early.on_disk() == [PATIENT_FILE]
    clock.on_sleep = lambda: None
    assert early.extract().complete
    assert (server.count("patient.ndjson"), server.count("kickoff")) == (1, 1)


def test_a_page_that_is_not_ready_is_waited_for(early: Installation, server: BulkServer) -> None:
    grows(server)
    server.script["status"] = []
    server.script["page2"] = [Answer(202), under_way(page(server))]
    result = early.extract()
    assert [f.file for f in result.files] == [PATIENT_FILE, VISIT_FILE]
    assert server.count("status") == 3


def test_a_file_that_fails_early_is_fetched_when_the_export_is_done(
    early: Installation, server: BulkServer
) -> None:
    grows(server)
    server.script["patient.ndjson"] = [Answer(404)]
    result = early.extract()
    assert result.complete
    assert (server.count("patient.ndjson"), early.job().attempt) == (2, 1)


def test_another_export_takes_nothing_of_the_one_that_was_lost(
    early: Installation, server: BulkServer
) -> None:
    grows(server)
    server.script["status"].append(Answer(404))
    result = early.extract()
    assert early.contents(result) == {PATIENT_FILE: PATIENTS, VISIT_FILE: VISITS}
    assert (server.count("patient.ndjson"), early.job().attempt) == (2, 2)


def test_a_server_that_was_not_asked_is_taken_at_its_word(north: Installation, server: BulkServer) -> None:
    grows(server)
    assert north.extract().complete
    assert "allowPartialManifests" not in server.last("kickoff").query
    assert server.count("patient.ndjson") == 1


def test_a_server_that_does_not_know_partial_manifests_is_told_apart(
    early: Installation, server: BulkServer
) -> None:
    assert early.extract().complete
    server.script["kickoff"] = [Answer(400)]
    server.files["more.ndjson"] = server.files["patient.ndjson"]
    with pytest.raises(CitywellError, match="allowPartialManifests") as raised:
        early.extract(early.clock.now())
    assert "partial_manifests: false" in raised.value.do
