"""The extract step as an orchestrator runs it: what it answers, what it asks for, and what a failure leaves behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bulk_server import Answer, BulkServer, FakeClock, File
from typer.testing import CliRunner

from infra.cli.app import app
from infra.stack.postgres import Cluster
from jobs import ingest
from jobs.errors import CitywellError
from jobs.extract import fhir_bulk
from jobs.lake import control
from jobs.settings import settings
from jobs.sources import FhirEndpoint
from tests.support.lake import use_home

DAY_1, DAY_2 = "2026-03-01T04:30:00Z", "2026-03-02T04:30:00Z"
CANARY = "Zorblax-Quintarelli"
Declare = Callable[..., None]


@pytest.fixture
def declare(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    postgres: Cluster,
    server: BulkServer,
    endpoint: FhirEndpoint,
    keys_dir: Path,
    clock: FakeClock,
) -> Iterator[Declare]:
    """``declare(supports_since=False)``: the endpoint as its source definition says, in a home of the test's own."""
    clock.start = datetime.now(UTC)
    server.files = {"patient.ndjson": File("Patient", b'{"resourceType":"Patient","id":"p1"}\n', count=1)}
    use_home(monkeypatch, tmp_path / "home", postgres, "sc://127.0.0.1:1")
    shutil.copytree(keys_dir, settings().keys_dir, dirs_exist_ok=True)

    def declared(**changes: Any) -> None:
        changed = endpoint.model_copy(update=changes)
        monkeypatch.setattr(ingest, "find_endpoint", lambda _: (None, changed))

    declared()
    yield declared
    settings.cache_clear()


def publish(batch_id: str) -> None:
    with control.connect() as conn, control.source_lock(conn, "north"):
        batch = control.get_batch(conn, batch_id)
        control.publish(conn, batch_id, {}, [], batch.transaction_time if batch.is_complete else None)


@pytest.mark.usefixtures("declare")
def test_a_batch_that_went_further_still_says_what_is_missing(server: BulkServer) -> None:
    server.files["patient.ndjson"].count = 2
    first = ingest.extract("north", DAY_1)
    assert (first["files"], first["complete"]) == (1, False)
    assert first["findings"] == ["1 records came, 2 were announced"]
    publish(first["batch_id"])
    assert ingest.extract("north", DAY_1) == first


@pytest.mark.parametrize(
    ("declared", "full", "has_since"),
    [
        ({}, False, True),
        ({}, True, False),
        ({"supports_since": False}, False, False),
        ({"absence_means_deletion": True}, False, False),
    ],
)
def test_everything_is_asked_for_again_where_it_is_declared_or_wanted(
    declare: Declare, server: BulkServer, declared: dict[str, bool], full: bool, has_since: bool
) -> None:
    declare(**declared)
    publish(ingest.extract("north", DAY_1)["batch_id"])
    assert ingest.extract("north", DAY_2, full=full)["complete"]
    assert ("_since" in server.last("kickoff").query) == has_since


@pytest.mark.usefixtures("declare")
def test_a_full_export_asked_for_too_late_is_refused() -> None:
    publish(ingest.extract("north", DAY_1)["batch_id"])
    publish(ingest.extract("north", DAY_2)["batch_id"])
    with pytest.raises(CitywellError, match="has begun with what came since") as error:
        ingest.extract("north", DAY_2, full=True)
    assert "another date" in error.value.do


@pytest.mark.usefixtures("declare")
def test_the_command_asks_for_everything_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def noted(name: str, as_of: str, *, full: bool) -> dict[str, Any]:
        asked.append((name, full))
        return {"batch_id": "b", "findings": [], **dict.fromkeys(ingest.OUTCOMES, 0)}

    monkeypatch.setattr(ingest, "ingest", noted)
    assert CliRunner().invoke(app, ["ingest", "north", "--full"]).exit_code == 0
    assert CliRunner().invoke(app, ["ingest", "north"]).exit_code == 0
    assert asked == [("north", True), ("north", False)]
    assert "--full" in CliRunner().invoke(app, ["ingest", "--help"]).output


@pytest.mark.usefixtures("declare")
def test_an_error_nobody_foresaw_marks_the_batch_failed_and_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise KeyError(CANARY)

    with monkeypatch.context() as patched:
        patched.setattr(fhir_bulk, "extract", broken)
        with pytest.raises(KeyError):
            ingest.extract("north", DAY_1)
    with control.connect() as conn:
        (batch,) = control.batches(conn)
    assert batch.status == "failed"
    assert batch.failure is not None
    assert (batch.failure["stage"], batch.failure["what"]) == ("extract", "unexpected KeyError")
    assert ingest.extract("north", DAY_1)["complete"]


@pytest.mark.usefixtures("declare")
def test_a_failure_that_is_explained_is_recorded_in_its_words(server: BulkServer) -> None:
    server.script["kickoff"] = [Answer(403)]
    with pytest.raises(CitywellError, match="may not export"):
        ingest.extract("north", DAY_1)
    with control.connect() as conn:
        (batch,) = control.batches(conn)
    assert batch.failure is not None
    assert "may not export" in batch.failure["what"]
