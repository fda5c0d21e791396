"""HTTP as the extractors use it: quiet logs, bounded waits, retries of what is worth retrying."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urljoin, urlsplit

import httpx

from jobs.errors import CitywellError
from jobs.extract.waiting import Clock, Transient, http_date, retry_after_s, retrying

ATTEMPTS = 6
_TIMEOUT = httpx.Timeout(60, connect=10)
_CHATTY_LOGGERS = ("httpx", "httpcore")
"""They log full links, whose queries may hold tokens."""
_PORTS = {"http": 80, "https": 443}
FAILURES = (httpx.TransportError, httpx.DecodingError)
"""What httpx raises for a request that did not bring a readable answer."""


class Unavailable(CitywellError):
    """All attempts failed. ``status``: of the last HTTP answer; None when there was none."""

    status: int | None = None


def new_client(base_url: str, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """A client for the server at ``base_url``; on loopback it ignores proxies of the environment."""
    for name in _CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx.Client(
        timeout=_TIMEOUT,
        verify=_trusted(),
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

    Other statuses are the caller's to judge. Raises Unavailable when all attempts fail, and CitywellError at once for
    a certificate that is not trusted and an address that is none.
    """

    def attempt() -> httpx.Response:
        try:
            response = client.send(build(), auth=auth)
        except FAILURES as error:
            refuse_certificate(error, where)
            raise Transient(network_trouble(error)) from None
        except httpx.InvalidURL:
            raise CitywellError(
                f"{what} failed: the address is no web address",
                where=where,
                do="check base_url and auth.token_url in the source definition",
            ) from None
        raise_if_transient(response, clock)
        return response

    try:
        return retrying(what, clock=clock, attempts=attempts, cap_s=cap_s)(attempt)
    except Transient as last:
        raise unavailable(what, where, last.reason, attempts, last.status) from None


def raise_if_transient(response: httpx.Response, clock: Clock) -> None:
    """Raises Transient for 429 and for 5xx other than 501 (not implemented)."""
    status = response.status_code
    if status == 429 or (status >= 500 and status != 501):
        wait_s = retry_after_s(response.headers.get("Retry-After"), clock.now())
        raise Transient(f"HTTP {status}", wait_s, status=status)


def unavailable(what: str, where: str, reason: str, attempts: int, status: int | None = None) -> Unavailable:
    """The server could not be brought to answer."""
    error = Unavailable(
        f"{what} failed {attempts} times, lastly: {reason}",
        where=where,
        do="check that the server is up and reachable from here (`citywell source check`), then run again",
    )
    error.status = status
    return error


def network_trouble(error: Exception) -> str:
    """A failure of the network in words, without the link."""
    words = {
        httpx.ConnectTimeout: "no connection in time",
        httpx.ConnectError: "no connection",
        httpx.ReadTimeout: "no answer in time",
        httpx.RemoteProtocolError: "the connection was cut in mid-answer",
        httpx.ReadError: "the connection was cut in mid-answer",
        httpx.DecodingError: "the answer's compression is damaged",
    }
    return next((text for kind, text in words.items() if isinstance(error, kind)), type(error).__name__)


def certificate_trouble(error: BaseException) -> str | None:
    """Why the server's certificate was not accepted; None when that was not the trouble."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return None


def refuse_certificate(error: Exception, where: str) -> None:
    """Raises CitywellError when ``error`` is about the server's certificate: trying again does not help."""
    if reason := certificate_trouble(error):
        raise CitywellError(
            f"No safe connection to the server: {reason}",
            where=where,
            do="set SSL_CERT_FILE to a file of the authority's certificates (PEM) that signed it; for an expired or "
            "misnamed certificate ask the server's administrators",
        ) from None


def clock_difference_s(response: httpx.Response, now: datetime) -> float | None:
    """Seconds by which the server's clock is ahead of ours, by its Date header; None without one."""
    moment = http_date(response.headers.get("Date", ""))
    return None if moment is None else (moment - now).total_seconds()


def origin(link: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of a web address; None for what is none."""
    try:
        parts = urlsplit(link)
        httpx.URL(link)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError, httpx.InvalidURL):
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def joined(base: str, link: str) -> str:
    """``link`` as seen from ``base``; unchanged where it cannot be understood."""
    try:
        return urljoin(base, link)
    except ValueError:
        return link


def refuse_downgrade(base_url: str, link: str, where: str) -> None:
    """Raises CitywellError when an https server hands out a link that would bare the token."""
    if base_url.startswith("https:") and not link.lower().startswith("https:"):
        raise CitywellError(
            "The server uses https, but hands out a link without encryption",
            where=where,
            do="ask its administrators to mend the base address it builds links from; nothing was sent there",
        )


def _trusted() -> ssl.SSLContext:
    """The certificate authorities to trust: those of SSL_CERT_FILE where it is set, on loopback too."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise CitywellError(
            f"The certificates of authorities to trust cannot be read: {type(error).__name__}",
            where="SSL_CERT_FILE or SSL_CERT_DIR in the environment",
            do="point it at a file of certificates (PEM), or unset it",
        ) from None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
