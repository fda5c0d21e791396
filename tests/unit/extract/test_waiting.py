"""Retry-After in every form seen, and waits that end."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest
from bulk_server import FakeClock

from jobs.extract.waiting import Transient, capped, retry_after_s, retrying

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("2.5", 2.5),
        ("Sun, 01 Mar 2026 12:01:30 GMT", 90.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        (str(int(NOW.timestamp()) + 40), 40.0),
        (str(int(NOW.timestamp() + 40) * 1000), 40.0),
        (str(int(NOW.timestamp()) - 40), 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
        ("Sun, 01 Mar 99999999 12:00:00 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
        ("Sun, 01 Mar 2026 12:00:00 +99999999999", None),
        ("9" * 400, float("inf")),
    ],
)
def test_retry_after_is_read_in_every_form(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW) == seconds


def test_a_long_wait_is_cut_and_said(caplog: pytest.LogCaptureFixture) -> None:
    assert capped(10, 300, "north") == 10
    assert caplog.text == ""
    assert capped(86_400, 300, "north") == 300
    assert "asks to wait 86400 s; waiting 300 s" in caplog.text


class Failing:
    """Fails ``times`` times, then returns."""

    def __init__(self, times: int, error: Exception) -> None:
        self.times, self.error, self.calls = times, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return "done"


def test_what_the_server_asks_is_waited_and_a_little_more() -> None:
    clock = FakeClock()
    call = Failing(2, Transient("HTTP 429", 7))
    assert retrying("x", clock=clock.clock(), attempts=5, cap_s=60)(call) == "done"
    assert len(clock.sleeps) == 2
    assert all(7 <= s <= 8 for s in clock.sleeps)


def test_a_server_that_says_zero_is_not_asked_again_at_once() -> None:
    clock = FakeClock()
    retrying("x", clock=clock.clock(), attempts=5, cap_s=60)(Failing(4, Transient("HTTP 503", 0.0)))
    assert all(s >= 1 for s in clock.sleeps)
    assert len(set(clock.sleeps)) == 4


def test_back_off_without_a_header_is_jittered_and_bounded() -> None:
    waits = []
    for _ in range(30):
        clock = FakeClock()
        retrying("x", clock=clock.clock(), attempts=9, cap_s=20)(Failing(8, Transient("HTTP 503")))
        waits.append(tuple(clock.sleeps))
        assert all(s <= 20 for s in clock.sleeps)
    assert len(set(waits)) == len(waits)
    assert sum(w[-1] for w in waits) > sum(w[0] for w in waits)


def test_attempts_end_and_other_errors_are_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    clock = FakeClock()
    call = Failing(99, Transient("HTTP 503"))
    with pytest.raises(Transient, match="HTTP 503"):
        retrying("north: polling", clock=clock.clock(), attempts=4, cap_s=60)(call)
    assert call.calls == 4
    assert "north: polling: HTTP 503; trying again in" in caplog.text

    call = Failing(99, ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        retrying("x", clock=clock.clock(), attempts=4, cap_s=60)(call)
    assert call.calls == 1
