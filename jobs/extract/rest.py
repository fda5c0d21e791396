"""JSON over HTTP: the records of a web service's pages, as they were sent, one a line, into the landing.

A record's bytes are taken out of its page unread; only line ends between its members are replaced, which JSON allows
inside no string. What pages say about themselves (totals, the instant they are of) goes into the manifest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import httpx
import msgspec

from jobs.errors import CitywellError
from jobs.extract import drift, web
from jobs.extract.delivery import Delivery, ExtractResult, Places, extracted
from jobs.extract.waiting import SYSTEM_CLOCK, Clock, Transient, retrying
from jobs.lake.control import Batch, Connection
from jobs.lake.landing import Finding, Manifest
from jobs.lake.lines import one_line
from jobs.sources import RestEndpoint, RestFeed, SecretHeader, Source, Table
from jobs.sources.endpoints import CursorPages, HeaderPages, LinkedPages, NumberedPages

_PAGE_ATTEMPTS = 4
_NEXT_LINK = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')
_PAGE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RECORDS = msgspec.json.Decoder(list[msgspec.Raw])


def extract(
    conn: Connection,
    source: Source,
    endpoint: RestEndpoint,
    batch: Batch,
    *,
    places: Places | None = None,
    clock: Clock = SYSTEM_CLOCK,
    transport: httpx.BaseTransport | None = None,
) -> ExtractResult:
    """Lands what each feed of ``endpoint`` has, or what has changed since ``batch.since`` where it can tell.

    The delivery is of ``batch.as_of``, but never of an instant that is still to come: the next one asks from there on.
    Raises CitywellError when the service is down, refuses our key, or does not answer with JSON.
    """
    places = places or Places.of_settings()

    def run() -> Manifest:
        delivery = Delivery(conn, batch, places)
        answered, until = [], min(batch.as_of, clock.now())
        with _service(endpoint, places.keys_dir, until, clock, transport) as service:
            for entity, feed in endpoint.feeds.items():
                resource = source.tables[entity].resource
                seen = _Seen()
                lines = service.lines(feed, source.tables[entity], batch.since, seen)
                file = delivery.land(resource, lines, form="ndjson", known_by=feed.path)
                delivery.stated(file, resource, records=seen.records, stated=seen.total)
                if seen.names:
                    for finding in drift.findings(
                        seen.names, source.tables[entity], feed, service.where(feed)
                    ):
                        delivery.announce(finding)
                if seen.answered_at is not None:
                    answered.append(seen.answered_at)
        return delivery.finish(min(answered, default=until))

    return extracted(conn, batch, places, run)


def probe(
    endpoint: RestEndpoint, feed: RestFeed, table: Table, keys_dir: Path, clock: Clock = SYSTEM_CLOCK
) -> tuple[str, list[Finding]]:
    """What the first page of a feed holds, in words, and what of it nothing declares. Raises CitywellError."""
    with _service(endpoint, keys_dir, clock.now(), clock, None) as service:
        page = next(service.pages(feed, None))
        names = drift.names(page.records, table, feed)
        findings = drift.findings(names, table, feed, service.where(feed)) if names else []
        total = _number(page.told(feed.total))
    stated = "" if total is None else f" of {total}"
    return f"{len(page.records)}{stated} records on the first page", findings


@dataclass
class _Seen:
    """What the pages of a feed have said so far."""

    records: int = 0
    total: int | None = None
    answered_at: datetime | None = None
    names: set[str] = field(default_factory=set)


class _Page(NamedTuple):
    records: list[bytes]
    members: dict[str, Any]
    """Of a page that is more than a list."""
    headers: httpx.Headers

    def told(self, name: str | None) -> Any:
        """What the page says by the name of a member (of a member), or of a header."""
        found: Any = self.members
        for part in (name or "").split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return self.headers.get(name) if found is None and name else found


@dataclass
class _Service:
    endpoint: RestEndpoint
    client: httpx.Client
    clock: Clock
    until: datetime
    headers: dict[str, str] = field(default_factory=dict)

    def lines(self, feed: RestFeed, table: Table, since: datetime | None, seen: _Seen) -> Iterator[bytes]:
        """The records of a feed as lines, a page at a time; counts them in ``seen``."""
        for number, page in enumerate(self.pages(feed, since)):
            if number == 0:
                seen.total = _number(page.told(feed.total))
                seen.answered_at = self._instant(page, feed)
            seen.records += len(page.records)
            seen.names |= drift.names(page.records, table, feed)
            yield b"".join(record + b"\n" for record in page.records)

    def pages(self, feed: RestFeed, since: datetime | None) -> Iterator[_Page]:
        """The pages of a feed, one after another; an empty one is not the last where it names another.

        Raises CitywellError for pages in a circle.
        """
        asked: set[str] = set()
        url, params = f"{self.endpoint.base_url}{feed.path}", dict(feed.params)
        if feed.since_param and since is not None:
            earlier = since - timedelta(hours=feed.overlap_hours)
            params[feed.since_param] = earlier.astimezone(UTC).isoformat().replace("+00:00", "Z")
        if feed.until_param:
            params[feed.until_param] = self.until.astimezone(UTC).isoformat().replace("+00:00", "Z")
        if isinstance(feed.pages, NumberedPages):
            params[feed.pages.param] = str(feed.pages.first)
        for _ in range(self.endpoint.max_pages):
            page = self._page(feed, url, params)
            yield page
            match feed.pages:
                case CursorPages(param=param) | HeaderPages(param=param):
                    cursor = _cursor(page, feed.pages)
                    if not cursor:
                        return
                    if cursor in asked:
                        raise self._turns_in_a_circle(feed)
                    asked.add(cursor)
                    params = {**params, param: cursor}
                case NumberedPages(param=param, first=first, pages=member):
                    number = int(params[param]) + 1
                    if number - first >= (_number(page.told(member)) or 0):
                        return
                    params = {**params, param: str(number)}
                case LinkedPages():
                    link = _NEXT_LINK.search(page.headers.get("Link", ""))
                    if link is None:
                        return
                    url, params = self._own(web.joined(url, link[1])), {}
                case _:
                    return
        raise CitywellError(
            f"{feed.path} has more than {self.endpoint.max_pages} pages",
            where=self.where(feed),
            do="raise max_pages in the source definition if that is as it should be; else the pages go in a circle",
        )

    def _turns_in_a_circle(self, feed: RestFeed) -> CitywellError:
        return CitywellError(
            f"A page of {feed.path} names a page as the next that was asked for already",
            where=self.where(feed),
            do="ask the service's owner: each page has to name another, and the last one none",
        )

    def _page(self, feed: RestFeed, url: str, params: dict[str, str]) -> _Page:
        def attempt() -> _Page:
            response = web.send(
                self.client,
                lambda: self.client.build_request("GET", url, params=params or None, headers=self.headers),
                what=f"Asking for {feed.path}",
                where=self.where(feed),
                clock=self.clock,
                cap_s=self.endpoint.wait_cap_s,
            )
            self._refused(feed, response)
            return _lines_of(response) if feed.form == "lines" else _records_of(response, feed)

        try:
            attempts = retrying(
                feed.path, clock=self.clock, attempts=_PAGE_ATTEMPTS, cap_s=self.endpoint.wait_cap_s
            )
            return attempts(attempt)
        except Transient as last:
            raise CitywellError(
                f"A page of {feed.path} cannot be read: {last.reason}",
                where=self.where(feed),
                do="look at what the service answers there; `records` in the source definition names the member "
                "that holds the list of records",
            ) from None

    def _refused(self, feed: RestFeed, response: httpx.Response) -> None:
        status = response.status_code
        if status == 200:
            return
        if status in (401, 403):
            do = "check the secret of this endpoint below keys/, and what its owner lets us read"
        elif status == 404:
            do = "check base_url and the feed's path in the source definition"
        else:
            do = "check the feed's parameters in the source definition, or ask the service's owner"
        raise CitywellError(f"The service refuses {feed.path} (HTTP {status})", where=self.where(feed), do=do)

    def _own(self, url: str) -> str:
        """An address to follow: the service's own, since our secret goes there."""
        if web.origin(url) != web.origin(self.endpoint.base_url):
            raise CitywellError(
                "The link to the next page leads to another server; our key is not sent there",
                where=self.endpoint.name,
                do="set base_url in the source definition to the address the service hands out links from",
            )
        return url

    def _instant(self, page: _Page, feed: RestFeed) -> datetime | None:
        if feed.answered_at is None:
            return None
        try:
            moment = datetime.fromisoformat(str(page.told(feed.answered_at)))
        except ValueError:
            raise CitywellError(
                f"{feed.path} does not say up to when it is complete: {feed.answered_at} is no instant",
                where=self.where(feed),
                do="mend answered_at in the source definition, or leave it out",
            ) from None
        zone = ZoneInfo(self.endpoint.time_zone)
        return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(UTC)

    def where(self, feed: RestFeed) -> str:
        return f"{self.endpoint.name} ({self.endpoint.base_url}{feed.path})"


@contextmanager
def _service(
    endpoint: RestEndpoint,
    keys_dir: Path,
    until: datetime,
    clock: Clock,
    transport: httpx.BaseTransport | None,
) -> Iterator[_Service]:
    headers = {"Accept": "application/json, application/x-ndjson"}
    if isinstance(endpoint.auth, SecretHeader):
        headers[endpoint.auth.header] = endpoint.auth.prefix + _secret(keys_dir / endpoint.auth.secret_file)
    with web.new_client(endpoint.base_url, transport) as client:
        yield _Service(endpoint, client, clock, until, headers)


def _cursor(page: _Page, pages: CursorPages | HeaderPages) -> str:
    """What a page says to ask the next one with; empty on the last."""
    named = page.told(pages.next) if isinstance(pages, CursorPages) else page.headers.get(pages.header)
    return str(named) if named else ""


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        raise CitywellError(
            "The secret to ask the service with is missing",
            where=str(path),
            do="put what its owner gave you into this file (mode 0600)",
        ) from None


def _records_of(response: httpx.Response, feed: RestFeed) -> _Page:
    """The records of a JSON page. Raises Transient for what is cut off or no such page."""
    try:
        if feed.records is None:
            return _Page(_plain_lines(_RECORDS.decode(response.content)), {}, response.headers)
        members = _PAGE.decode(response.content)
        records = _RECORDS.decode(members.pop(feed.records))
        told = {name: msgspec.json.decode(value) for name, value in members.items()}
    except KeyError:
        raise Transient(f"it has no member {feed.records!r}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Transient("it is no JSON document with a list of records") from None
    return _Page(_plain_lines(records), told, response.headers)


def _lines_of(response: httpx.Response) -> _Page:
    lines = [line.rstrip(b"\r") for line in response.content.split(b"\n")]
    return _Page([line for line in lines if line], {}, response.headers)


def _plain_lines(records: list[msgspec.Raw]) -> list[bytes]:
    return [one_line(bytes(record)) for record in records]


def _number(told: Any) -> int | None:
    return int(told) if isinstance(told, int) or (isinstance(told, str) and told.isdecimal()) else None
