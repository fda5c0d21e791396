"""HTTP as the extractors use it: quiet logs, bounded waits, retries of what is worth retrying."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx

from jobs.errors import CitywellError
from jobs.extract.waiting import Clock, Transient, retry_after_s, retrying

ATTEMPTS = 6
_TIMEOUT = httpx.Timeout(60, connect=10)
_CHATTY_LOGGERS = ("httpx", "httpcore")
"""They log full links, whose queries may hold tokens."""


def new_client(base_url: str, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """A client for the server at ``base_url``; on loopback it ignores proxies of the environment."""
    for name in _CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx.Client(
        timeout=_TIMEOUT,
        trust_env=not _is_loopback(base_url),
        transport=transport,
        headers={"User-Agent": "citywell"},
        limits=httpx.Limits(max_connections=32, keepalive_expiry=15),
    )


def send(
    client: httpx.Client,
    build: Callable[[], httpx.Request],
    *,
    what: str,
    where: str,
    clock: Clock,
    cap_s: float,
    auth: httpx.Auth | None = None,
    attempts: int = ATTEMPTS,
) -> httpx.Response:
    """The response to a request, built anew for each try after 429, 5xx and failures of the network.

    Other statuses are the caller's to judge. Raises CitywellError when all attempts fail.
    """

    def attempt() -> httpx.Response:
        try:
            response = client.send(build(), auth=auth)
        except httpx.TransportError as error:
            raise Transient(network_trouble(error)) from None
        raise_if_transient(response, clock)
        return response

    try:
        return retrying(what, clock=clock, attempts=attempts, cap_s=cap_s)(attempt)
    except Transient as last:
        raise unavailable(what, where, last.reason, attempts) from None


def raise_if_transient(response: httpx.Response, clock: Clock) -> None:
    """Raises Transient for 429 and for 5xx other than 501 (not implemented)."""
    status = response.status_code
    if status == 429 or (status >= 500 and status != 501):
        wait_s = retry_after_s(response.headers.get("Retry-After"), clock.now())
        raise Transient(f"HTTP {status}", wait_s)


def unavailable(what: str, where: str, reason: str, attempts: int) -> CitywellError:
    """The server could not be brought to answer."""
    return CitywellError(
        f"{what} failed {attempts} times, lastly: {reason}",
        where=where,
        do="check that the server is up and reachable from here (`citywell source check`), then run again",
    )


def network_trouble(error: httpx.TransportError) -> str:
    """A failure of the network in words, without the link."""
    words = {
        httpx.ConnectTimeout: "no connection in time",
        httpx.ConnectError: "no connection",
        httpx.ReadTimeout: "no answer in time",
        httpx.RemoteProtocolError: "the connection was cut in mid-answer",
        httpx.ReadError: "the connection was cut in mid-answer",
    }
    return next((text for kind, text in words.items() if isinstance(error, kind)), type(error).__name__)


def clock_difference_s(response: httpx.Response, now: datetime) -> float | None:
    """Seconds by which the server's clock is ahead of ours, by its Date header; None without one."""
    try:
        return (parsedate_to_datetime(response.headers["Date"]) - now).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None


def refuse_downgrade(base_url: str, link: str, where: str) -> None:
    """Raises CitywellError when an https server hands out a link that would bare the token."""
    if urlsplit(base_url).scheme == "https" and urlsplit(link).scheme != "https":
        raise CitywellError(
            "The server uses https, but hands out a link without encryption",
            where=where,
            do="ask its administrators to mend the base address it builds links from; nothing was sent there",
        )


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
