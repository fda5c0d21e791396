"""Waiting politely: what a server asks for in Retry-After, and jittered back-off where it says nothing."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

log = logging.getLogger(__name__)

_NUMBER = re.compile(r"\d+(\.\d+)?")
_EPOCH_FROM = 1e9
"""A number this large is no wait (31 years) but an instant (2001), whatever the standard says."""
_EPOCH_MILLIS_FROM = 1e11
_LEAST_S = 1.0
_JITTER_S = 0.5


@dataclass(frozen=True)
class Clock:
    """Time, replaceable in tests."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


SYSTEM_CLOCK = Clock()


class Transient(Exception):
    """A failure worth trying again: ``reason`` in words, ``retry_after_s`` the wait the server asked for.

    status: of the HTTP answer; None when there was none.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.retry_after_s, self.status = reason, retry_after_s, status


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header: seconds, an HTTP date, or (wrongly, yet seen) an epoch.

    None where there is no header or it cannot be read. Source: RFC 9110, section 10.2.3.
    """
    if header is None:
        return None
    text = header.strip()
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number < _EPOCH_FROM:
            return number
        log.warning("Retry-After holds an epoch, not seconds; read as an instant")
        return max(0.0, number / (1000 if number >= _EPOCH_MILLIS_FROM else 1) - now.timestamp())
    moment = http_date(text)
    if moment is None:
        log.warning("Retry-After cannot be read; ignored")
        return None
    return max(0.0, (moment - now).total_seconds())


def http_date(text: str) -> datetime | None:
    """The instant of an HTTP date, UTC where it names no zone; None for anything else, years beyond reason included."""
    try:
        moment = parsedate_to_datetime(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def poll_wait_s(
    asked_s: float | None, guess_s: float, cap_s: float, what: str, *, is_failure: bool = False
) -> float:
    """Seconds until the next poll: what the server asked for, else ``guess_s``; at least a second, and a little
    more at random, so that many clients do not poll in step.

    A wait asked for beside a failure does not shorten the back-off: a server that fails and says 0 would be out of
    attempts at once.
    """
    wait_s = guess_s if asked_s is None else max(asked_s, guess_s) if is_failure else asked_s
    return max(_LEAST_S, capped(wait_s, cap_s, what)) + random.uniform(0, _JITTER_S)  # noqa: S311


def back_off_s(failures: int, longest_s: float) -> float:
    """A random time between half and all of 2, 4, 8, … s, at most ``longest_s``, after so many failures in a row."""
    return min(2.0 ** min(failures, 30), longest_s) * random.uniform(0.5, 1)  # noqa: S311


def capped(wait_s: float, cap_s: float, what: str) -> float:
    """``wait_s``, at most ``cap_s``; a cut is logged."""
    if wait_s <= cap_s:
        return wait_s
    log.warning("%s: the server asks to wait %.0f s; waiting %.0f s", what, wait_s, cap_s)
    return cap_s


def retrying(what: str, *, clock: Clock, attempts: int, cap_s: float) -> Retrying:
    """Calls again after ``Transient``, up to ``attempts`` times in all, then raises the last one.

    Waits what the server asked for, at least a second, capped, and a little more at random; else a random time
    below 1, 2, 4, … s.
    """
    guess = wait_random_exponential(multiplier=1, max=min(60.0, cap_s))

    def wait(state: RetryCallState) -> float:
        asked = getattr(state.outcome.exception() if state.outcome else None, "retry_after_s", None)
        guess_s = float(guess(state))
        return guess_s if asked is None else poll_wait_s(asked, guess_s, cap_s, what, is_failure=True)

    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait_s = state.next_action.sleep if state.next_action else 0.0
        log.warning("%s: %s; trying again in %.1f s", what, error, wait_s)

    return Retrying(
        stop=stop_after_attempt(attempts),
        wait=wait,
        retry=retry_if_exception_type(Transient),
        sleep=clock.sleep,
        before_sleep=say,
        reraise=True,
    )
