"""Faults on demand: each does what its line in the table says, as often as it was asked to."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from infra.city.faults import USUAL_PLACES
from infra.city.web import Servers, make_app
from tests.unit.city.served import Client, resources

SignedIn = Callable[..., Client]
CITY = "http://testserver/city"


def plan(c: Client, **fault: Any) -> None:
    assert c.http.post(f"{CITY}/faults", json={"hospital": c.hospital, **fault}).status_code == 201


@pytest.mark.parametrize("style", ["seconds", "http-date", "epoch", "none"])
def test_too_many_names_the_wait_in_each_style(client: SignedIn, style: str) -> None:
    c = client("north")
    plan(c, kind="too_many", where="kickoff", retry_after=style, seconds=3)
    struck = c.kick_off()
    assert struck.status_code == 429
    header = struck.headers.get("retry-after")
    if style == "none":
        assert header is None
    elif style == "http-date":
        assert abs(parsedate_to_datetime(header).timestamp() - time.time() - 3) < 2
    else:
        assert abs(float(header) - (3 if style == "seconds" else time.time() + 3)) < 2
    assert c.kick_off().status_code == 202, "once, unless told otherwise"


def test_unavailable_comes_without_a_header_and_counts(client: SignedIn) -> None:
    c = client("north")
    plan(c, kind="unavailable", where="token", times=2, skip=1)
    answers = [c.sign_in() for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 503, 503, 200]
    assert "retry-after" not in answers[1].headers
    assert c.http.get(f"{CITY}/faults").json()[0]["hits"] == 2


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"kind": "unauthorized"}, 401),
        ({"kind": "missing_file"}, 404),
        ({"kind": "failing_file"}, 500),
        ({"kind": "expired_link", "only_this": True}, 410),
        ({"kind": "expired_link", "only_this": True, "status": 403}, 403),
        ({"kind": "server_error", "where": "download", "status": 502}, 502),
    ],
)
def test_downloads_fail_for_one_type_alone(client: SignedIn, fault: dict[str, Any], status: int) -> None:
    c = client("north")
    manifest = c.export(_type="Patient,Location")
    urls = {r["type"]: r["url"] for r in manifest["output"]}
    plan(c, type="Patient", **fault)
    assert c.get(urls["Location"]).status_code == 200
    assert c.get(urls["Patient"]).status_code == status
    again = 500 if fault["kind"] == "failing_file" else 200
    assert c.get(urls["Patient"]).status_code == again


def test_an_expired_link_takes_its_export_along(client: SignedIn) -> None:
    c = client("north")
    manifest = c.export(_type="Patient,Location")
    plan(c, kind="expired_link", type="Patient")
    urls = {r["type"]: r["url"] for r in manifest["output"]}
    assert c.get(urls["Patient"]).status_code == 410
    assert c.get(urls["Location"]).status_code == 410
    assert c.get(c.export(_type="Location")["output"][0]["url"]).status_code == 200


def test_revoked_tokens_stop_working_and_a_new_one_does_not(client: SignedIn) -> None:
    c = client("north")
    url = c.export(_type="Location")["output"][0]["url"]
    plan(c, kind="revoke_tokens")
    assert c.get(url).status_code == 401
    assert c.kick_off().status_code == 401
    c.token = c.sign_in("system/*.rs").json()["access_token"]
    assert c.get(url).status_code == 200


def test_truncated_files_end_inside_a_line(client: SignedIn) -> None:
    c = client("north")
    row = c.export(_type="Location")["output"][0]
    plan(c, kind="truncated")
    short = c.get(row["url"])
    assert short.status_code == 200
    assert short.content.count(b"\n") < row["count"] - 1
    assert not short.content.endswith(b"}")
    assert c.get(row["url"]).content.count(b"\n") == row["count"]


def test_manifests_are_spoiled_as_asked(client: SignedIn) -> None:
    c = client("north")
    honest = {r["type"]: r["count"] for r in c.export()["output"]}
    plan(c, kind="wrong_count", type="Encounter", by=-2)
    assert {r["type"]: r["count"] for r in c.export()["output"]} == {
        **honest,
        "Encounter": honest["Encounter"] - 2,
    }
    plan(c, kind="no_count")
    assert all("count" not in r for r in c.export()["output"])
    plan(c, kind="no_deleted")
    assert "deleted" not in c.export()
    plan(c, kind="missing_output", type="Encounter")
    assert {r["type"] for r in c.export()["output"]} == honest.keys() - {"Encounter"}


def test_an_error_list_without_final_newline(client: SignedIn) -> None:
    c = client("north")
    plan(c, kind="error_list", type="Encounter")
    manifest = c.export()
    assert [r["type"] for r in manifest["error"]] == ["OperationOutcome"]
    content = c.get(manifest["error"][0]["url"]).content
    assert not content.endswith(b"\n")
    assert [r["resourceType"] for r in resources(content.split(b"\n"))] == ["OperationOutcome"] * 2


def test_polls_that_fail_or_never_end(client: SignedIn) -> None:
    c = client("north")
    kicked_off = c.kick_off(_type="Location")
    assert c.wait(kicked_off).status_code == 200
    plan(c, kind="export_failed")
    failed = c.get(kicked_off.headers["content-location"])
    assert (failed.status_code, failed.json()["resourceType"]) == (500, "OperationOutcome")
    plan(c, kind="never_ending")
    assert {c.get(kicked_off.headers["content-location"]).status_code for _ in range(5)} == {202}
    c.http.delete(f"{CITY}/faults")
    assert c.get(kicked_off.headers["content-location"]).status_code == 200


def test_servers_without_since(client: SignedIn) -> None:
    c = client("north")
    full = c.export(_type="Encounter")["output"][0]["count"]
    since = {"_type": "Encounter", "_since": "2025-12-31T00:00:00Z"}
    assert sum(r["count"] for r in c.export(**since)["output"]) < full
    plan(c, kind="ignore_since")
    assert c.export(**since)["output"][0]["count"] == full
    c.http.delete(f"{CITY}/faults")
    plan(c, kind="reject_since")
    assert c.kick_off(**since).status_code == 400
    assert c.kick_off(_type="Encounter").status_code == 202


def test_refused_assessments_and_slow_answers(client: SignedIn) -> None:
    c = client("north")
    plan(c, kind="refuse")
    body = {"resourceType": "RiskAssessment"}
    assert c.http.post(f"{c.base}/RiskAssessment", json=body, headers=c.headers()).status_code == 422
    plan(c, kind="slow", where="metadata", seconds=0.3)
    began = time.monotonic()
    c.http.get(f"{c.base}/metadata")
    assert time.monotonic() - began >= 0.3


def test_a_fault_strikes_its_hospital_alone(client: SignedIn) -> None:
    north, harbour = client("north"), client("harbour")
    plan(north, kind="too_many", times=-1)
    assert harbour.kick_off().status_code == 202
    assert north.kick_off().status_code == 429


@pytest.mark.parametrize(
    "wrong", [{}, {"kind": "flood"}, {"kind": "slow", "where": "roof"}, {"kind": "slow", "x": 1}]
)
def test_faults_that_are_not_understood(client: SignedIn, wrong: dict[str, Any]) -> None:
    answer = client("north").http.post(f"{CITY}/faults", json=wrong)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_the_admin_side_is_for_this_machine_alone(servers: Servers) -> None:
    stranger = TestClient(make_app(servers), client=("10.1.2.3", 50_000))
    for method, path in (("GET", "faults"), ("POST", "faults"), ("DELETE", "faults"), ("POST", "advance")):
        assert stranger.request(method, f"{CITY}/{path}").status_code == 403
    assert stranger.get(f"{CITY}/clock").status_code == 200


def test_the_table_in_the_documentation_names_every_kind() -> None:
    from infra.city import faults

    documented = {line.split()[0] for line in (faults.__doc__ or "").splitlines() if line.startswith("    ")}
    assert USUAL_PLACES.keys() <= documented
