"""Each score arrives once at the hospital it belongs to, under its own ids, whatever goes wrong."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from jobs.errors import CitywellError
from jobs.extract.waiting import Clock
from jobs.identity import vault
from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake import control
from jobs.sources import find_endpoint
from jobs.writeback import fhir, hospital
from jobs.writeback.fhir import WritebackResult
from jobs.writeback.risk_assessment import Score

SOURCE = "hospital_given"
AS_OF = datetime(2026, 1, 2, tzinfo=UTC)
REASONS = """[
    {"label": "two stays in the last year", "effect": "raises"},
    {"label": "no heart failure", "effect": "lowers"}
]"""
PSEUDONYMS = Pseudonymiser(bytes(32), SOURCE)


class World:
    """A hospital, the databases, and scores of its patients; risk keys are the test's own."""

    def __init__(
        self, name: str, hospital: Any, conn: control.Connection, vault_conn: vault.Connection
    ) -> None:
        self.name, self.hospital, self.conn, self.vault_conn = name, hospital, conn, vault_conn
        self.slept: list[float] = []
        self.clock = Clock(sleep=self.slept.append)

    def score(self, number: int, **more: Any) -> Score:
        patient, encounter = (
            PSEUDONYMS.key("Patient", f"p{number}"),
            PSEUDONYMS.key("Encounter", f"e{number}"),
        )
        known = [
            vault.Identity(patient, "k", SOURCE, "Patient", f"p{number}", AS_OF),
            vault.Identity(encounter, "k", SOURCE, "Encounter", f"e{number}", AS_OF),
        ]
        vault.register(self.vault_conn, "batch", known, method="test")
        values: dict[str, Any] = {
            "risk_key": f"{self.name}-{number}",
            "patient_key": patient,
            "encounter_key": encounter,
            "source": SOURCE,
            "target": "readmission_30d",
            "as_of": AS_OF,
            "probability": 0.1 + number / 1000,
            "band": "medium",
            "model_name": "readmission",
            "model_version": "3",
            "reasons": REASONS,
            "horizon_days": 30,
            "input_digest": f"features of {number}",
        }
        return Score(**values | more)

    def send(self, *scores: Score) -> WritebackResult:
        return fhir.write_back(
            SOURCE, scores, conn=self.conn, vault_conn=self.vault_conn, run_id="run", clock=self.clock
        )

    def verify(self, *scores: Score) -> fhir.Verification:
        return fhir.verify(SOURCE, scores, vault_conn=self.vault_conn, run_id="run", clock=self.clock)

    def held(self, *scores: Score) -> list[dict[str, Any]]:
        with fhir._hospital(SOURCE, self.clock) as hospital:
            return list(hospital.search([score.risk_key for score in scores]))

    def states(self) -> list[tuple[Any, ...]]:
        query = "select state, attempts, last_status, last_reason from writeback order by risk_key"
        return self.conn.execute(query).fetchall()


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    hospital: Any,
    control_conn: psycopg.Connection[Any],
    vault_conn: vault.Connection,
) -> World:
    return World(str(abs(hash(request.node.name))), hospital, control_conn, vault_conn)


def test_a_score_arrives_under_the_hospitals_own_ids(world: World) -> None:
    score = world.score(1)
    assert world.send(score) == WritebackResult(sent=1, refused=0, pending=0)
    [held] = world.held(score)
    assert held["subject"] == {"reference": "Patient/p1"}
    assert held["encounter"] == {"reference": "Encounter/e1"}
    assert held["identifier"] == [{"system": "urn:citywell:risk", "value": score.risk_key}]
    assert held["occurrenceDateTime"] == "2026-01-02T00:00:00Z"
    assert held["method"]["text"] == "readmission, version 3"
    [prediction] = held["prediction"]
    assert prediction["outcome"]["coding"] == [{"system": "urn:citywell:target", "code": "readmission_30d"}]
    assert prediction["probabilityDecimal"] == 0.101
    assert prediction["qualitativeRisk"]["coding"][0]["code"] == "moderate"
    assert prediction["whenPeriod"] == {"start": "2026-01-02T00:00:00Z", "end": "2026-02-01T00:00:00Z"}
    assert [basis.get("reference") or basis["identifier"]["value"] for basis in held["basis"]] == [
        "Encounter/e1",
        "features of 1",
    ]
    assert prediction["rationale"] == "two stays in the last year"
    assert score.patient_key not in str(held)


def test_sending_again_makes_no_second_one_and_no_new_version(world: World) -> None:
    scores = [world.score(number) for number in range(10)]
    assert world.send(*scores) == world.send(*scores) == WritebackResult(sent=10, refused=0, pending=0)
    held = world.held(*scores)
    assert [resource["meta"]["versionId"] for resource in held] == ["1"] * 10


def test_a_run_killed_before_it_recorded_makes_no_second_one(world: World) -> None:
    score = world.score(1)
    world.send(score)
    world.conn.execute("update writeback set state = 'pending', server_id = null")
    world.send(score)
    assert len(world.held(score)) == 1


def test_a_newer_score_takes_the_place_of_the_older(world: World) -> None:
    score = world.score(1)
    world.send(score)
    newer = dataclasses.replace(score, probability=0.9, band="high", as_of=datetime(2026, 1, 3, tzinfo=UTC))
    assert world.send(newer).sent == 1
    [held] = world.held(newer)
    assert held["prediction"][0]["probabilityDecimal"] == 0.9
    assert held["meta"]["versionId"] == "2"


def test_a_withdrawn_score_is_entered_in_error_where_it_was_sent_and_nowhere_else(world: World) -> None:
    sent, unsent = world.score(1), dataclasses.replace(world.score(2), status="withdrawn")
    world.send(sent)
    withdrawn = dataclasses.replace(sent, status="withdrawn")
    assert world.send(withdrawn, unsent) == WritebackResult(sent=1, refused=0, pending=0)
    assert [found["status"] for found in world.held(sent, unsent)] == ["entered-in-error"]
    assert world.verify(withdrawn, unsent).matching == 2
    assert world.verify(sent).different == (sent.risk_key,)


def test_of_a_person_the_hospital_hears_alerts_and_what_becomes_of_them(world: World) -> None:
    """Below the alert line nothing is sent, but what the hospital holds is put right. Of stays it hears every score."""
    of_person = {"encounter_key": None, "target": "emergency_90d"}
    quiet = world.score(1, **of_person)
    alert = world.score(
        2, **of_person, is_alert=True, title="Emergency attendance", mitigation="Offer a plan"
    )
    assert world.send(quiet, alert, world.score(3)) == WritebackResult(sent=2, refused=0, pending=0)
    [held] = world.held(quiet, alert)
    assert (held["mitigation"], held["code"]["text"]) == ("Offer a plan", "Emergency attendance")
    assert "encounter" not in held
    assert held["basis"][0]["reference"] == "Patient/p2"
    assert world.verify(quiet, alert).matching == 2
    fallen = dataclasses.replace(alert, probability=0.01, is_alert=False)
    assert world.send(quiet, fallen).sent == 2, "the stay's score has been sent as well"
    [held] = world.held(quiet, fallen)
    assert held["prediction"][0]["probabilityDecimal"] == 0.01
    assert "mitigation" not in held


def test_a_refused_score_that_has_expired_is_tried_no_more(world: World) -> None:
    """What was sent and has expired can still be withdrawn."""
    expired, holds = world.score(1), world.score(2)
    world.hospital.fault(kind="refuse", times=2)
    assert world.send(expired, holds) == WritebackResult(sent=0, refused=2, pending=0)
    assert world.send(holds) == WritebackResult(sent=1, refused=0, pending=0)
    assert [row[:2] for row in world.states()] == [("expired", 1), ("sent", 2)]
    assert world.send() == WritebackResult(sent=1, refused=0, pending=0)
    assert world.send(dataclasses.replace(holds, status="withdrawn")).sent == 1
    assert [found["status"] for found in world.held(holds)] == ["entered-in-error"]


def test_a_table_of_an_earlier_version_takes_expired_scores_too(world: World) -> None:
    fhir.migrate(world.conn)
    world.conn.execute("alter table writeback drop constraint writeback_state_check")
    world.conn.execute("alter table writeback add check (state in ('pending', 'sent', 'refused'))")
    world.conn.execute("update migration set sha256 = 'of an earlier version' where made = 'writeback'")
    world.hospital.fault(kind="refuse", times=1)
    assert world.send(world.score(1)).refused == 1
    assert world.send() == WritebackResult(sent=0, refused=0, pending=0)


def test_a_refusal_is_recorded_without_values_and_tried_again(world: World) -> None:
    world.hospital.fault(kind="refuse", times=1)
    score = world.score(1)
    assert world.send(score) == WritebackResult(sent=0, refused=1, pending=0)
    [(state, attempts, status, reason)] = world.states()
    assert (state, attempts, status) == ("refused", 1, 422)
    assert "p1" not in reason
    assert world.send(score) == WritebackResult(sent=1, refused=0, pending=0)
    assert world.states() == [("sent", 2, 201, None)]


def test_a_patient_the_hospital_no_longer_has_is_refused(world: World) -> None:
    gone, here = world.score(999), world.score(1)
    assert world.send(gone, here) == WritebackResult(sent=1, refused=1, pending=0)


def test_a_patient_the_vault_does_not_know_is_refused_unsent(world: World) -> None:
    stranger = world.score(1, patient_key="f" * 32)
    assert world.send(stranger) == WritebackResult(sent=0, refused=1, pending=0)
    assert world.states() == [("refused", 1, None, "the vault knows no such patient of this hospital")]


@pytest.mark.parametrize("kind", ["too_many", "unavailable", "server_error"])
def test_a_busy_hospital_is_asked_again(world: World, kind: str) -> None:
    scores = [world.score(number) for number in range(5)]
    world.hospital.fault(kind=kind, where="risk", times=2)
    assert world.send(*scores) == WritebackResult(sent=5, refused=0, pending=0)
    assert len(world.slept) == 2
    assert len(world.held(*scores)) == 5


def test_an_expired_token_is_renewed(world: World) -> None:
    scores = [world.score(number) for number in range(5)]
    world.hospital.fault(kind="revoke_tokens", where="risk", skip=2, times=1)
    assert world.send(*scores) == WritebackResult(sent=5, refused=0, pending=0)


def test_a_hospital_that_is_down_leaves_all_for_the_next_run(world: World) -> None:
    scores = [world.score(number) for number in range(40)]
    world.hospital.fault(kind="unavailable", where="risk", times=-1)
    result = world.send(*scores)
    assert (result.sent, result.refused, result.pending) == (0, 0, 40)
    assert result.trouble is not None
    assert "503" in result.trouble.what
    world.hospital.mend()
    assert world.send(*scores) == WritebackResult(sent=40, refused=0, pending=0)
    assert len(world.held(*scores)) == 40


def test_a_score_the_server_fails_on_is_refused_and_the_others_are_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fhir, "CONNECTIONS", 1)
    scores = [world.score(number) for number in range(5)]
    world.hospital.fault(kind="server_error", where="risk", times=hospital.ATTEMPTS)
    assert world.send(*scores) == WritebackResult(sent=4, refused=1, pending=0)
    assert world.states()[0] == ("refused", 1, 500, "server error, however often it was sent")
    assert world.send(*scores) == WritebackResult(sent=5, refused=0, pending=0)


def test_server_errors_one_after_the_other_are_the_hospitals_trouble(world: World) -> None:
    scores = [world.score(number) for number in range(40)]
    world.hospital.fault(kind="server_error", where="risk", times=-1)
    result = world.send(*scores)
    assert (result.sent, result.refused, result.pending) == (0, 0, 40)
    assert "HTTP 500" in str(result.trouble)
    untried = [state for state in world.states() if state[1] == 0]
    assert len(untried) >= 40 - fhir.SERVER_ERRORS_IN_A_ROW - 2 * fhir.CONNECTIONS


@pytest.mark.parametrize(("status", "state"), [(500, "refused"), (503, "pending")])
def test_a_single_score_tells_a_failing_server_from_an_absent_one(
    world: World, status: int, state: str
) -> None:
    world.hospital.fault(kind="server_error", status=status, where="risk", times=-1)
    result = world.send(world.score(1))
    assert [row[0] for row in world.states()] == [state]
    assert (result.trouble is not None) == (state == "pending")


def test_what_was_tried_least_often_comes_first(world: World) -> None:
    scores = [world.score(number) for number in range(3)]
    fhir.migrate(world.conn)
    fhir._queue(world.conn, SOURCE, scores)
    world.conn.execute("update writeback set attempts = 2 where risk_key = %s", (scores[0].risk_key,))
    assert fhir._due(world.conn, SOURCE, scores) == [scores[1], scores[2], scores[0]]


@pytest.mark.parametrize("place", ["token", "configuration"])
def test_a_sign_in_that_is_down_is_the_hospitals_trouble(world: World, place: str) -> None:
    world.hospital.fault(kind="server_error", where=place, times=-1)
    result = world.send(world.score(1), world.score(2))
    assert (result.refused, result.pending) == (0, 2)
    assert result.trouble is not None


@pytest.mark.parametrize("content", [None, b"no key"])
def test_a_key_that_is_missing_or_wrong_leaves_all_for_the_next_run(
    world: World, content: bytes | None
) -> None:
    path = world.hospital.home / "keys" / f"fhir_{SOURCE}.pem"
    key = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    result = world.send(world.score(1))
    path.write_bytes(key)
    assert result.pending == 1
    assert path.name in str(result.trouble)
    assert world.send(world.score(1)).sent == 1


def test_a_sign_in_that_fails_leaves_all_for_the_next_run(world: World) -> None:
    world.hospital.fault(kind="clock_skew", seconds=3600)
    result = world.send(world.score(1), world.score(2))
    assert result.pending == 2
    assert result.trouble is not None
    assert "clock" in str(result.trouble)


def test_each_read_of_the_vault_is_audited(world: World, postgres: Any) -> None:
    scores = [world.score(number) for number in range(3)]
    world.send(*scores)
    world.send(*scores)
    with psycopg.connect(postgres.dsn("vault", vault.OWNER_ROLE)) as owner:
        audit = owner.execute(
            "select actor, purpose, run_id, keys_requested from vault.access_audit"
        ).fetchall()
    assert audit == [("writeback", f"write risk scores back to {SOURCE}", "run", 6)]


def test_verify_finds_what_is_missing_and_what_differs(world: World) -> None:
    scores = [world.score(number) for number in range(50)]
    world.send(*scores[:-1])
    assert world.verify(*scores[:-1]).matching == 49
    changed = dataclasses.replace(scores[0], probability=0.99)
    found = world.verify(changed, *scores[1:])
    assert (found.expected, found.matching) == (50, 48)
    assert found.different == (changed.risk_key,)
    assert found.missing == (scores[-1].risk_key,)


@pytest.mark.parametrize(
    "following",
    [
        "https://elsewhere.example/RiskAssessment?page=2",
        "https://hospital.example:8443/RiskAssessment?page=2",
        "//elsewhere.example/RiskAssessment?page=2",
        "http://hospital.example/RiskAssessment?page=2",
        "https://[nowhere",
    ],
    ids=["another server", "another port", "another server, relative", "no encryption", "no address"],
)
def test_the_token_goes_to_the_hospital_alone(world: World, following: str) -> None:
    asked, pages = read_pages(following, world.clock)
    with pytest.raises(CitywellError, match="hands out a link"):
        list(pages)
    assert [host for host, _ in asked] == ["hospital.example"] * 3
    assert sum(token is not None for _, token in asked) == 1


@pytest.mark.parametrize(
    "following",
    ["https://hospital.example/fhir?page=2", "https://hospital.example:443/x", "RiskAssessment?page=2"],
)
def test_further_pages_of_the_hospital_are_read(world: World, following: str) -> None:
    asked, pages = read_pages(following, world.clock)
    assert len(list(pages)) == 2
    assert sum(token == "Bearer secret" for _, token in asked) == 2


def read_pages(following: str, clock: Clock) -> tuple[list[tuple[str, str | None]], Iterator[Any]]:
    """(host and token of every request made so far, the RiskAssessments found) where page 1 names ``following``."""
    asked: list[tuple[str, str | None]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.host, request.headers.get("Authorization")))
        if "smart-configuration" in request.url.path:
            return httpx.Response(200, json={"token_endpoint": "https://hospital.example/token"})
        if request.url.path == "/token":
            return httpx.Response(
                200, json={"access_token": "secret", "token_type": "bearer", "expires_in": 300}
            )
        is_first = "identifier" in request.url.params
        links = [{"relation": "next", "url": following}] if is_first else []
        return httpx.Response(200, json={"entry": [{"resource": {}}], "link": links})

    endpoint = find_endpoint(SOURCE)[1].model_copy(update={"base_url": "https://hospital.example/fhir"})
    client = httpx.Client(transport=httpx.MockTransport(answer))
    return asked, hospital.HospitalServer(endpoint, fhir.RISK, client, clock).search(["risk"])


def test_what_a_database_says_of_a_row_stays_there(world: World) -> None:
    score = dataclasses.replace(world.score(1), risk_key="Canary\0Name")
    with pytest.raises(CitywellError, match="DataError") as raised:
        world.send(score)
    assert "Canary" not in "".join(traceback.format_exception(raised.value))


def test_one_run_at_a_time(world: World, postgres: Any) -> None:
    with (
        psycopg.connect(postgres.dsn("control", "control"), autocommit=True) as other,
        control.lock(other, f"writeback {SOURCE}"),
        pytest.raises(CitywellError, match="Another run"),
    ):
        world.send(world.score(1))
