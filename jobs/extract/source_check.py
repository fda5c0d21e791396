"""Trying a source before relying on it: what works, what is wrong, and what to do about it, in words."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import httpx

from jobs.errors import CitywellError
from jobs.extract import web
from jobs.extract.bulk_client import BulkClient, ExportGone, FileRefused, LinkExpired, open_client
from jobs.extract.bulk_manifest import Link
from jobs.extract.smart_auth import CLOCK_TOLERANCE_S, SmartClient
from jobs.extract.waiting import SYSTEM_CLOCK, Clock, Transient
from jobs.lake.lines import split
from jobs.lake.references import Addresses
from jobs.settings import settings
from jobs.sources import FhirEndpoint

SMALL_TYPES = ("Organization", "Location", "Practitioner", "Medication")
"""Types that are few and no patient's data, the least first."""
_RECENTLY = timedelta(days=1)
_WAIT_MINUTES = 2.0
_CONNECT_S = 5.0
_LONGEST_ADDRESS = 200


@dataclass(frozen=True)
class Result:
    """One step of a check. ``do`` is empty when there is nothing to do."""

    step: str
    """connection, capability, clock, sign-in, export; or the resource that a feed sends"""
    verdict: Literal["good", "warning", "wrong"]
    message: str
    do: str = ""


def check(
    endpoint: FhirEndpoint,
    *,
    keys_dir: Path | None = None,
    clock: Clock = SYSTEM_CLOCK,
    transport: httpx.BaseTransport | None = None,
) -> list[Result]:
    """Tries ``endpoint`` step by step: connection, capability, clock, sign-in, a small export.

    The first step that is wrong ends the list: what comes after it could not work.
    """
    results = []
    for result in _steps(endpoint, keys_dir or settings().keys_dir, clock, transport):
        results.append(result)
        if result.verdict == "wrong":
            break
    return results


def _steps(
    endpoint: FhirEndpoint, keys_dir: Path, clock: Clock, transport: httpx.BaseTransport | None
) -> Iterator[Result]:
    yield _connection(endpoint)
    try:
        with open_client(endpoint, keys_dir, clock=clock, transport=transport) as client:
            response = _metadata(client)
            if isinstance(response, Result):
                yield response
                return
            yield _capability(response, Addresses(endpoint.addresses))
            yield _clock(response, clock)
            yield _sign_in(client)
            yield _small_export(client)
    except CitywellError as error:
        yield Result("sign-in", "wrong", error.what, error.do)


_FHIR_JSON = {"Accept": "application/fhir+json"}


def _connection(endpoint: FhirEndpoint) -> Result:
    address = web.origin(endpoint.base_url)
    if address is None:
        return Result(
            "connection", "wrong", "base_url is no web address", "mend base_url in the source definition"
        )
    _, host, port = address
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except socket.gaierror:
        return Result(
            "connection",
            "wrong",
            f"The name {host} is not known to the name service",
            "check base_url in the source definition, and this machine's DNS or VPN",
        )
    except OSError as error:
        reason = "nothing answers in time" if isinstance(error, TimeoutError) else "the connection is refused"
        return Result(
            "connection",
            "wrong",
            f"{host} port {port}: {reason}",
            "check that the server is up, base_url in the source definition, and the firewalls between",
        )
    return Result("connection", "good", f"{host} port {port} answers")


def _metadata(client: BulkClient) -> httpx.Response | Result:
    """The answer that describes the server, or what kept it from answering."""
    link = f"{client.endpoint.base_url}/metadata"
    try:
        return web.send(
            client.client,
            lambda: client.client.build_request("GET", link, headers=_FHIR_JSON),
            what="Asking what the server can do",
            where=client.where,
            clock=client.clock,
            cap_s=10,
            attempts=2,
        )
    except CitywellError as error:
        return Result("capability", "wrong", error.what, error.do)


def _capability(response: httpx.Response, own: Addresses) -> Result:
    statement = _object(response)
    if response.status_code != 200 or statement.get("resourceType") != "CapabilityStatement":
        return Result(
            "capability",
            "warning",
            f"The server shows no capability statement at /metadata (HTTP {response.status_code})",
            "check base_url in the source definition; if the steps below are good, this does not matter",
        )
    version = str(statement.get("fhirVersion", "unknown"))
    if not version.startswith("4."):
        return Result(
            "capability",
            "wrong",
            f"The server speaks FHIR {version[:10]}; Citywell reads R4",
            "use the address of its R4 service as base_url",
        )
    if not _offers_export(statement):
        return Result(
            "capability",
            "warning",
            "The capability statement names no export operation",
            "ask whether Bulk Data export is switched on; some servers support it without saying so",
        )
    implementation = statement.get("implementation")
    address = implementation.get("url") if isinstance(implementation, dict) else None
    if isinstance(address, str) and not own.include(address):
        return Result(
            "capability",
            "warning",
            f"The server calls itself {address[:_LONGEST_ADDRESS]}, which is not its base_url",
            "if its records refer to each other by that address, name it under other_base_urls in the source "
            "definition; references such as Patient/1 need nothing",
        )
    return Result("capability", "good", f"FHIR {version} with Bulk Data export")


def _clock(response: httpx.Response, clock: Clock) -> Result:
    ahead_s = web.clock_difference_s(response, clock.now())
    if ahead_s is None:
        return Result(
            "clock", "warning", "The server does not say what time it has", "compare the clocks by hand"
        )
    if abs(ahead_s) > CLOCK_TOLERANCE_S:
        return Result(
            "clock",
            "warning",
            f"The server's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} ours",
            "set the clock that is wrong (NTP): signing in fails when they are minutes apart",
        )
    return Result("clock", "good", "The clocks agree")


def _sign_in(client: BulkClient) -> Result:
    if not isinstance(client.auth, SmartClient):
        return Result("sign-in", "warning", "This endpoint is declared to need no sign-in", "")
    client.auth.token()
    return Result("sign-in", "good", "Signed in by SMART Backend Services")


def _small_export(client: BulkClient) -> Result:
    """Exports as little as the endpoint's level and types allow, and counts the lines without keeping them."""
    small = BulkClient(
        client.endpoint.model_copy(update={"deadline_minutes": _WAIT_MINUTES}),
        client.client,
        client.auth,
        client.clock,
    )
    type_, since, what = _smallest(client)
    status_url = None
    try:
        status_url = small.kick_off([type_], since)
        offer = small.wait(status_url)
        links = [link for link in offer.links if link.kind == "output"]
        lines = sum(_lines(small, link, offer.needs_token) for link in links)
    except (ExportGone, FileRefused, LinkExpired, Transient) as error:
        return Result("export", "wrong", f"A small export failed: {error}", "ask the server's administrators")
    except CitywellError as error:
        return Result("export", "wrong", error.what, error.do)
    finally:
        if status_url is not None:
            small.discard(status_url)
    if any(link.kind == "error" for link in offer.links):
        return Result(
            "export",
            "warning",
            f"The server reports errors of its own in a small export ({what}), which brought {lines} lines",
            "ask its administrators; while it does so, exports count as incomplete and are asked for again",
        )
    if not links:
        return Result(
            "export",
            "warning",
            f"A small export ({what}) brought no file: downloading was not tried",
            "nothing to do if the server holds nothing of the kind; else ask its administrators what we may see",
        )
    files = f"{len(links)} file{'' if len(links) == 1 else 's'}"
    return Result("export", "good", f"A small export ({what}) brought {lines} lines in {files}")


def _smallest(client: BulkClient) -> tuple[str, datetime | None, str]:
    """What to export for a try: resource type, since when, and both in words.

    A small type of no patient's data where the endpoint's types have one. Exports below patients and groups need not
    know such types: there, patients who changed within a day, or all of them from a server without ``_since``.
    """
    endpoint = client.endpoint
    allowed = endpoint.types or (SMALL_TYPES if endpoint.export_level == "system" else ("Patient",))
    if small := next((type_ for type_ in SMALL_TYPES if type_ in allowed), None):
        return small, None, small
    type_ = "Patient" if "Patient" in allowed else allowed[0]
    if not endpoint.supports_since:
        return type_, None, type_
    return type_, client.clock.now() - _RECENTLY, f"{type_} changed within a day"


def _lines(client: BulkClient, link: Link, needs_token: bool | None) -> int:
    with client.file(link, needs_token=needs_token) as pieces:
        return sum(1 for _ in split(pieces))


def _offers_export(statement: dict[str, Any]) -> bool:
    """Whether operations named export, or the Bulk Data guide, appear anywhere they may be declared."""
    if any("bulkdata" in str(guide) for guide in statement.get("instantiates") or []):
        return True
    rest = [x for x in statement.get("rest") or [] if isinstance(x, dict)]
    holders = rest + [r for x in rest for r in x.get("resource") or [] if isinstance(r, dict)]
    names = [str(o.get("name")) for h in holders for o in h.get("operation") or [] if isinstance(o, dict)]
    return any(name.lstrip("$").endswith("export") for name in names)


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
