"""``citywell source check``: every step says in words what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from bulk_server import Answer, BulkServer, FakeClock, File, answer_json

from jobs.extract import source_check
from jobs.extract.source_check import Result
from jobs.sources import Endpoint

STEPS = ["connection", "capability", "clock", "sign-in", "export"]


@pytest.fixture
def check(
    endpoint: Endpoint, server: BulkServer, keys_dir: Path, clock: FakeClock
) -> Callable[..., list[Result]]:
    """Checks the endpoint, changed as asked."""
    server.files = {"o.ndjson": File("Organization", b'{"id":"1"}\n{"id":"2"}\n', count=2)}

    def run(**changes: object) -> list[Result]:
        return source_check.check(endpoint.model_copy(update=changes), keys_dir=keys_dir, clock=clock.clock())

    return run


def test_a_good_server_passes_every_step(check: Callable[..., list[Result]], server: BulkServer) -> None:
    results = check()
    assert [(r.step, r.verdict) for r in results] == [(step, "good") for step in STEPS]
    assert results[-1].message == "A small export (Organization) brought 2 lines in 1 file"
    assert server.last("kickoff").query == {"_type": ["Organization"]}
    assert server.count("discard") == 1


WRONG: dict[str, tuple[Callable[[BulkServer], object], str, str, str]] = {
    "no bulk export declared": (
        lambda s: s.script.update(
            {"metadata": [answer_json({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})]}
        ),
        "capability",
        "warning",
        "names no export operation",
    ),
    "no capability statement": (
        lambda s: s.script.update({"metadata": [Answer(404)]}),
        "capability",
        "warning",
        "shows no capability statement",
    ),
    "a server in maintenance": (
        lambda s: s.script.update({"metadata": [Answer(503, forever=True)]}),
        "capability",
        "wrong",
        "failed 2 times, lastly: HTTP 503",
    ),
    "another FHIR version": (
        lambda s: s.script.update(
            {"metadata": [answer_json({"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2"})]}
        ),
        "capability",
        "wrong",
        "speaks FHIR 3.0.2",
    ),
    "a clock two minutes ahead": (
        lambda s: setattr(s, "clock_ahead_s", 120),
        "clock",
        "warning",
        "120 s ahead of ours",
    ),
    "a key that is not registered": (
        lambda s: s.jwks.clear(),
        "sign-in",
        "wrong",
        "no key registered for us",
    ),
    "no SMART configuration": (
        lambda s: s.script.update({"configuration": [Answer(404)]}),
        "sign-in",
        "wrong",
        "offers no SMART sign-in",
    ),
    "an export that is refused": (
        lambda s: s.script.update({"kickoff": [Answer(403)]}),
        "export",
        "wrong",
        "may not export",
    ),
    "an export that never ends": (
        lambda s: s.script.update({"status": [Answer(202, forever=True)]}),
        "export",
        "wrong",
        "not done within 2 minutes",
    ),
    "links that do not work": (
        lambda s: s.script.update({"o.ndjson": [Answer(403)]}),
        "export",
        "wrong",
        "A small export failed: HTTP 403",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_said_with_what_to_do(
    check: Callable[..., list[Result]], server: BulkServer, fault: str
) -> None:
    harm, step, verdict, words = WRONG[fault]
    server.jwks = list(server.jwks)
    harm(server)
    results = check()
    found = next(r for r in results if r.verdict != "good")
    assert (found.step, found.verdict) == (step, verdict)
    assert words in found.message
    assert found.do
    assert (results[-1].verdict == "wrong") == (verdict == "wrong")


def test_an_export_that_was_tried_is_discarded_even_when_it_fails(
    check: Callable[..., list[Result]], server: BulkServer
) -> None:
    server.script["o.ndjson"] = [Answer(500)]
    assert "HTTP 500" in check()[-1].message
    assert server.count("discard") == 1


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("http://127.0.0.1:1/fhir", "port 1: the connection is refused"),
        ("http://no-such-hospital.invalid/fhir", "not known to the name service"),
    ],
)
def test_a_server_that_cannot_be_reached_ends_the_check(
    check: Callable[..., list[Result]], base_url: str, words: str
) -> None:
    (only,) = check(base_url=base_url)
    assert (only.step, only.verdict) == ("connection", "wrong")
    assert words in only.message
    assert "base_url" in only.do


def test_a_missing_key_is_said(
    endpoint: Endpoint, server: BulkServer, tmp_path: Path, clock: FakeClock
) -> None:
    last = source_check.check(endpoint, keys_dir=tmp_path, clock=clock.clock())[-1]
    assert (last.step, last.verdict) == ("sign-in", "wrong")
    assert "key to sign in with is missing" in last.message
