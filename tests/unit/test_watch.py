"""Whether sources deliver in time and as much as usual: published, told, and shown by the command."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from typer.testing import CliRunner

from infra.cli.app import app
from jobs import watch
from jobs.lake import control
from jobs.settings import settings
from jobs.sources import load_all
from jobs.sources.endpoints import Expected
from tests.support.lake import TestLake, instant
from tests.support.webhook import Webhook, running_webhook

FIRST = instant("2026-01-01")
AIR = "air_city"


@pytest.fixture
def webhook(lake: TestLake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with running_webhook() as webhook:
        monkeypatch.setenv("CITYWELL_WEBHOOK_URL", webhook.url)
        settings.cache_clear()
        yield webhook
    settings.cache_clear()


@pytest.fixture(autouse=True)
def emptied(lake: TestLake) -> None:
    with control.connect() as conn:
        conn.execute("truncate batch, watermark, publication cascade")


def deliver(at: datetime, records: int, *, complete: bool = True) -> None:
    """A published batch of the air's readings."""
    with control.connect() as conn:
        batch = control.open_batch(conn, AIR, at)
        control.set_landed(conn, batch.batch_id, at, is_complete=complete)
        receipt = control.Receipt(batch.batch_id, AIR, "a", "Reading", records, published=records)
        control.publish(conn, batch.batch_id, {}, [receipt], at if complete else None)


def declare(monkeypatch: pytest.MonkeyPatch, **otherwise: object) -> None:
    """The air's endpoint is declared ``otherwise``."""
    declared = load_all()
    air = declared["air_quality"]
    endpoint = air.endpoints[AIR].model_copy(update=otherwise)
    changed = air.model_copy(update={"endpoints": air.endpoints | {AIR: endpoint}})
    monkeypatch.setattr(watch, "load_all", lambda: declared | {air.name: changed})


def verdict(as_of: datetime) -> watch.Delivery:
    (found,) = (each for each in watch.run(as_of) if each.source == AIR)
    return found


def test_a_source_that_has_never_come_is_told(lake: TestLake, webhook: Webhook) -> None:
    assert verdict(FIRST).verdict == "never"
    assert {"Never"} == {message["error"] for message in webhook.messages}
    assert AIR in {message["where"] for message in webhook.messages}


def test_a_delivery_in_time_is_good_and_an_old_one_late(lake: TestLake, webhook: Webhook) -> None:
    deliver(FIRST, 1000)
    assert verdict(FIRST + timedelta(hours=29)).verdict == "good"
    deliver(FIRST + timedelta(hours=29), 1000, complete=False)
    late = verdict(FIRST + timedelta(hours=31))
    assert (late.verdict, late.age_hours) == ("late", 31.0)
    assert "31 h old; one is expected within 30 h" in late.words
    told = [m for m in webhook.messages if m["where"] == AIR]
    assert [m["error"] for m in told] == ["Late"]


def test_a_delivery_of_much_less_than_usual_is_thin(lake: TestLake, webhook: Webhook) -> None:
    deliver(FIRST, 400_000)
    for day in range(1, 4):
        deliver(FIRST + timedelta(days=day), 1000 + day)
    deliver(FIRST + timedelta(days=4), 502)
    assert verdict(FIRST + timedelta(days=4)).verdict == "good"
    deliver(FIRST + timedelta(days=5), 499)
    thin = verdict(FIRST + timedelta(days=5))
    assert (thin.verdict, thin.received, thin.usual) == ("thin", 499, 1002)
    assert verdict(FIRST + timedelta(days=3)).verdict == "good"


def test_a_source_that_has_fallen_silent_stays_thin(lake: TestLake, webhook: Webhook) -> None:
    for day in range(5):
        deliver(FIRST + timedelta(days=day), 1000)
    for day in range(5, 25):
        deliver(FIRST + timedelta(days=day), 0)
        found = verdict(FIRST + timedelta(days=day))
        assert (found.verdict, found.received, found.usual) == ("thin", 0, 1000)


def looked(as_of: datetime) -> watch.Delivery:
    with control.connect() as conn:
        (found,) = (each for each in watch.look(conn, as_of) if each.source == AIR)
    return found


def test_the_quiet_hours_of_an_hourly_feed_are_not_thin(lake: TestLake) -> None:
    for hour in range(6 * 24):
        deliver(FIRST + timedelta(hours=hour), 100 if 8 <= hour % 24 < 18 else 2)
    for hour in range(5 * 24, 6 * 24):
        found = looked(FIRST + timedelta(hours=hour))
        assert (found.verdict, found.usual) == ("good", 1028)
    for hour in range(6 * 24, 7 * 24):
        deliver(FIRST + timedelta(hours=hour), 0)
    found = looked(FIRST + timedelta(days=7) - timedelta(hours=1))
    assert (found.verdict, found.words) == ("thin", "0 records came in 24 h; 1028 are usual")


def test_a_second_delivery_on_the_day_is_not_thin(lake: TestLake) -> None:
    for day in range(5):
        deliver(FIRST + timedelta(days=day), 1000)
    at = FIRST + timedelta(days=4, hours=6)
    deliver(at, 3)
    found = looked(at)
    assert (found.verdict, found.received, found.usual) == ("good", 1003, 1000)


def test_a_daily_delivery_may_come_a_little_sooner_or_later(lake: TestLake) -> None:
    for day in range(9):
        at = FIRST + timedelta(days=day, minutes=25 if day % 2 else -25)
        deliver(at, 1000)
        if day > watch.FEWEST:
            assert (looked(at).received, looked(at).usual) == (1000, 1000)


def test_what_may_come_every_two_days_is_not_thin_after_one_without(
    lake: TestLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, expected=Expected(within_hours=54))
    for day in range(12):
        deliver(FIRST + timedelta(days=day), 0 if day % 2 else 1000)
    assert [looked(FIRST + timedelta(days=day)).verdict for day in (10, 11)] == ["good", "good"]
    for day in range(12, 14):
        deliver(FIRST + timedelta(days=day), 0)
    assert looked(FIRST + timedelta(days=13)).verdict == "thin"


def test_empty_deliveries_alone_are_nothing_that_came(lake: TestLake, webhook: Webhook) -> None:
    for day in range(5):
        deliver(FIRST + timedelta(days=day), 0)
    assert verdict(FIRST + timedelta(days=4)).verdict == "never"
    deliver(FIRST + timedelta(days=5), 1)
    assert verdict(FIRST + timedelta(days=5)).verdict == "good"


def test_every_source_of_the_schedule_is_watched(lake: TestLake) -> None:
    scheduled = {
        endpoint.name
        for source in load_all().values()
        for endpoint in source.endpoints.values()
        if not endpoint.on_demand
    }
    assert {found.source for found in watch.run(FIRST)} == scheduled


def test_a_source_on_demand_is_not_expected_although_it_once_was(
    lake: TestLake, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, on_demand=True)
    deliver(FIRST, 1000)
    assert AIR not in {found.source for found in watch.run(FIRST + timedelta(days=9))}
    assert AIR not in {message["where"] for message in webhook.messages}


def test_what_was_found_can_be_read(lake: TestLake) -> None:
    deliver(FIRST, 1000)
    watch.run(FIRST)
    watch.run(FIRST)
    rows = lake.rows(f"select verdict, received from quality.deliveries where source = '{AIR}'")
    assert {"verdict": "good", "received": None} in rows


def test_the_command_shows_every_source_and_ends_with_1(lake: TestLake) -> None:
    deliver(FIRST, 1000)
    ended = CliRunner().invoke(app, ["watch", "--date", "2026-01-03"])
    assert ended.exit_code == 1
    assert f"{AIR},late,2026-01-01 00:00" in ended.output
