"""Polling and retrying: how long, how often, and when it ends."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime

import pytest
from bulk_installation import Installation
from bulk_server import Answer, BulkServer, FakeClock

from jobs.errors import CitywellError


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
    for slept, least in zip(clock.sleeps[:4], (1, 2, 4, 8), strict=True):
        assert least <= slept <= 2 * least + 0.5


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
