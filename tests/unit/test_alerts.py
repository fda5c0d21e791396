"""What the webhook is told: which task, which part of it, what was wrong; never a record's value."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from infra.stack.postgres import Cluster, free_port
from jobs import alerts
from jobs.alerts import Place
from jobs.errors import CitywellError
from jobs.settings import settings
from jobs.writeback import fhir, forecast_fhir
from jobs.writeback.forecast_fhir import Sent
from tests.support.webhook import Webhook, running_webhook

PLACE = Place("ingest_hospital", "each.load", "manual__1", "hospital_north")
TASK = {"dag": "ingest_hospital", "task": "each.load", "run": "manual__1"}


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with running_webhook() as webhook:
        monkeypatch.setenv("CITYWELL_WEBHOOK_URL", webhook.url)
        settings.cache_clear()
        yield webhook
    settings.cache_clear()


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("hospital_north, batch 7", "hospital_north, batch 7"),
        ("table silver.hospital__patient", "hospital_north: table silver.hospital__patient"),
    ],
)
def test_an_expected_failure_is_told_in_its_own_words(webhook: Webhook, where: str, told: str) -> None:
    assert alerts.failed(PLACE, CitywellError("Too many bad lines", where=where, do="Call them"))
    assert webhook.messages == [
        {**TASK, "error": "CitywellError", "what": "Too many bad lines", "where": told, "do": "Call them"}
    ]


def test_an_unexpected_failure_names_its_place_and_quotes_nothing(webhook: Webhook) -> None:
    assert alerts.failed(PLACE, ValueError("Canary Name is not a number"))
    [message] = webhook.messages
    assert message["error"] == "ValueError"
    assert message["where"] == "ingest_hospital.each.load, hospital_north"
    assert "Canary" not in str(message)


def test_a_task_that_is_not_mapped_is_its_own_place(webhook: Webhook) -> None:
    alerts.failed(Place("transform", "build_gold", "manual__1"), None)
    assert webhook.messages[0]["where"] == "transform.build_gold"


def test_a_webhook_that_refuses_or_is_away_stops_nothing(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook.status = 500
    assert alerts.failed(PLACE, None) is False
    monkeypatch.setenv("CITYWELL_WEBHOOK_URL", f"http://127.0.0.1:{free_port()}/")
    settings.cache_clear()
    assert alerts.failed(PLACE, None) is False
    monkeypatch.setenv("CITYWELL_WEBHOOK_URL", "http://alerts.example:port/")
    settings.cache_clear()
    assert alerts.failed(PLACE, None) is False


def test_without_a_webhook_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CITYWELL_WEBHOOK_URL", raising=False)
    settings.cache_clear()
    assert alerts.failed(PLACE, None) is False
    assert alerts.refused(PLACE) is False
    settings.cache_clear()


def test_refused_scores_are_told_by_hospital(
    webhook: Webhook, postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in postgres.environment().items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    rows = [
        ("1", "hospital_north", "refused", 422, "business-rule"),
        ("2", "hospital_north", "refused", 404, "not-found"),
        ("3", "hospital_north", "sent", 201, None),
        ("4", "hospital_harbour", "refused", None, "the vault knows no such patient of this hospital"),
        ("5", "hospital_university", "pending", None, "no answer"),
        ("7", "hospital_north", "expired", 410, "gone"),
        ("6", "hospital_no_longer_declared", "refused", 422, "business-rule"),
    ]
    with psycopg.connect(postgres.dsn("control", "control"), autocommit=True) as conn:
        conn.execute("drop table if exists writeback")
        fhir.migrate(conn)
        with conn.cursor() as cursor:
            cursor.executemany(
                "insert into writeback (risk_key, source, digest, state, last_status, last_reason) "
                "values (%s, %s, '', %s, %s, %s)",
                rows,
            )
        assert alerts.refused(Place("writeback", "to_hospitals", "manual__1"))
        conn.execute("drop table writeback")
    assert [(message["where"], message["what"]) for message in webhook.messages] == [
        (
            "hospital_harbour",
            "1 risk scores were refused (the vault knows no such patient of this hospital)",
        ),
        ("hospital_north", "2 risk scores were refused (HTTP 404 not-found; HTTP 422 business-rule)"),
    ]
    assert {message["error"] for message in webhook.messages} == {"Refused"}


def test_refused_forecasts_are_told_by_hospital(
    webhook: Webhook, postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the newest run alone."""
    for name, value in postgres.environment().items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    place = Place("writeback", "forecasts_to_hospitals", "manual__1")
    taken = Sent(sent=14, already=0, refused=0, unknown=0, holding=14)
    refused = Sent(sent=11, already=0, refused=3, unknown=0, holding=11, codes="HTTP 422 business-rule")
    results = {"hospital_north": refused, "hospital_harbour": taken, "hospital_no_longer_declared": refused}
    with psycopg.connect(postgres.dsn("control", "control"), autocommit=True) as conn:
        forecast_fhir.record(conn, results)
        assert alerts.refused_forecasts(place)
        forecast_fhir.record(conn, {"hospital_north": taken})
        assert alerts.refused_forecasts(place)
    [message] = webhook.messages
    assert (message["where"], message["what"]) == (
        "hospital_north",
        "3 forecasts were refused (HTTP 422 business-rule)",
    )
