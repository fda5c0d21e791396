"""Routes of the systems around the hospitals: air, weather, transport, housing, and given readings below ``/beijing``.

What each serves is told by ``surroundings.<name>_feed``. Here: who may ask, how pages are cut and named, and how
errors look: ``{"error": "…"}``. Pages are made from arrays; what a query has found is kept for its next pages.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from infra.city.faults import FaultSpec
from infra.city.outcomes import FhirError
from infra.city.surroundings import air_feed, housing_feed, transport_feed, weather_feed
from infra.city.surroundings.clock import instant, utc_texts
from infra.city.surroundings.given_air import GivenAir
from infra.city.surroundings.listing import Listing, Setting, since
from infra.city.web.servers import Servers, strike
from jobs.private_files import create_private

MOST = 10_000
_USUAL = 1_000
_KEPT_LISTINGS = 12
_FEED_FAULTS = ("unauthorized", "invalid_json", "wrong_total", "stuck_cursor", "truncated", "cut")
TRANSPORT_KEY, HOUSING_TOKEN = "city_transport.key", "city_housing.token"
Find = Callable[[Setting, int, int | None], Listing]


class FeedError(Exception):
    """An answer other than success, in plain JSON."""

    def __init__(self, status: int, words: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(words)
        self.status, self.words, self.headers = status, words, headers or {}


class Query(msgspec.Struct, frozen=True):
    """What a cursor stands for: as of when (ms), changed since (ms), and the first row of the page."""

    as_of: int
    since: int | None
    first: int = 0

    def cursor(self) -> str:
        return base64.urlsafe_b64encode(msgspec.msgpack.encode(self)).decode().rstrip("=")

    @classmethod
    def of(cls, cursor: str) -> Query:
        """Raises FeedError for what is no cursor."""
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            return msgspec.msgpack.decode(raw, type=cls)
        except (binascii.Error, ValueError, msgspec.DecodeError, msgspec.ValidationError):
            raise FeedError(400, "the cursor is not one handed out here") from None


@dataclass
class Listings:
    """The last few listings, by what was asked for. Thread-safe."""

    _kept: OrderedDict[tuple[str, int, int | None], Listing] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, name: str, query: Query, make: Callable[[], Listing]) -> Listing:
        key = (name, query.as_of, query.since)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
                while len(self._kept) > _KEPT_LISTINGS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


@dataclass(frozen=True)
class Page:
    """Some items of a listing, and what there is in all. next: the query of the next page, None on the last."""

    items: list[str]
    total: int
    query: Query
    limit: int
    next: Query | None


def constant(listing: Listing) -> Find:
    return lambda _setting, _as_of, since_ms: since(listing, since_ms)


FEEDS: dict[str, dict[str, Find]] = {
    "air": {"stations": constant(air_feed.stations()), "readings": air_feed.listing},
    "weather": {"stations": constant(weather_feed.stations()), "readings": weather_feed.listing},
    "transport": {
        "segments": constant(transport_feed.segments()),
        "traffic": transport_feed.counts,
        "incidents": transport_feed.incidents,
        "transit": transport_feed.transit_days,
        "ambulance-runs": transport_feed.ambulance_runs,
    },
    "housing": {
        "areas": constant(housing_feed.areas()),
        "facilities": constant(housing_feed.facilities()),
        "dwellings": housing_feed.dwellings,
        "districts": housing_feed.districts,
        "residences": housing_feed.residences,
    },
}


def make_keys(home: Path) -> None:
    """The keys of the transport and the housing API, for their owner alone; those that are there stay."""
    for name in (TRANSPORT_KEY, HOUSING_TOKEN):
        create_private(home / "keys" / name, secrets.token_urlsafe(32).encode())


def add_open_data_routes(app: FastAPI, servers: Servers) -> None:
    """``/air/v1``, ``/weather/v1``, ``/transport/v1``, ``/housing/v1`` of a generated city; ``/beijing/…`` of given
    data."""
    listings = Listings()

    @app.exception_handler(FeedError)
    async def on_feed_error(_: Request, error: FeedError) -> Response:
        return JSONResponse({"error": error.words}, error.status, error.headers)

    async def answer(api: str, find_of: dict[str, Find], style: str, name: str, request: Request) -> Response:
        spec = await _struck(servers, api, name)
        _admit(servers.options.home, style, request)
        if spec is not None and spec.kind == "unauthorized":
            raise FeedError(401, "the key has expired", {"WWW-Authenticate": "Bearer"})
        if name not in find_of:
            raise FeedError(404, f"there is no {name} here; there are {', '.join(find_of)}")
        page = await asyncio.to_thread(
            _page, servers, listings, f"{api} {style} {name}", find_of[name], style, request
        )
        return _spoiled(STYLES[style], page, request, spec)

    def serve(api: str, prefix: str, find_of: dict[str, Find], style: str) -> None:
        @app.get(f"{prefix}/v1/{{name}}")
        async def feed(name: str, request: Request) -> Response:
            return await answer(api, find_of, style, name, request)

    if servers.city is not None:
        make_keys(servers.options.home)
        for api, find_of in FEEDS.items():
            serve(api, f"/{api}", find_of, api)
    if servers.given_air is not None:
        for style, find_of in _given(servers.given_air).items():
            serve("beijing", f"/beijing/{style}", find_of, style)


def _given(data: GivenAir) -> dict[str, dict[str, Find]]:
    return {
        "air": {
            "stations": constant(data.air_stations()),
            "readings": lambda _setting, as_of, since_ms: data.air_readings(as_of, since_ms),
        },
        "weather": {
            "stations": constant(data.weather_stations()),
            "readings": lambda _setting, as_of, since_ms: data.weather_readings(as_of, since_ms),
        },
    }


async def _struck(servers: Servers, api: str, name: str) -> FaultSpec | None:
    """Let the faults strike: waits, raises, or gives the fault that spoils the page."""
    try:
        await strike(servers, api, "feed", name)
    except FhirError as error:
        raise FeedError(error.status, error.words, error.headers) from None
    return servers.faults.hit(api, "feed", _FEED_FAULTS, name)


def _admit(home: Path, style: str, request: Request) -> None:
    """Raises FeedError without the key or token that the API asks for."""
    if style == "transport":
        given, name, challenge = request.headers.get("x-api-key", ""), TRANSPORT_KEY, {}
    elif style == "housing":
        given, name = request.headers.get("authorization", ""), HOUSING_TOKEN
        given = given.removeprefix("Bearer ") if given.startswith("Bearer ") else ""
        challenge = {"WWW-Authenticate": "Bearer"}
    else:
        return
    path = home / "keys" / name
    wanted = path.read_text().strip() if path.exists() else ""
    if not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise FeedError(401, f"send the key of {name}", challenge)


def _page(servers: Servers, listings: Listings, name: str, find: Find, style: str, request: Request) -> Page:
    """The page a request asks for. Raises FeedError for parameters that mean nothing."""
    parameters = request.query_params
    now_ms = servers.now_ms
    limit = _number(parameters.get("per_page" if style == "weather" else "limit"), _USUAL, MOST)
    if style != "weather" and "cursor" in parameters:
        query = Query.of(parameters["cursor"])
        as_of = min(query.as_of, now_ms)
    else:
        until = _instant(parameters.get("updated_until"))
        as_of = now_ms if until is None else min(until, now_ms)
        first = 0
        if style == "weather":
            first = (_number(parameters.get("page"), 1, 10**9) - 1) * limit
        query = Query(as_of, _instant(parameters.get("updated_since")), first)
    setting = servers.city.surroundings if servers.city is not None else None
    found = listings.get(name, query, lambda: find(setting, as_of, query.since))  # type: ignore[arg-type]
    last = min(query.first + limit, len(found))
    items = found.write(np.arange(query.first, last)) if query.first < last else []
    following = Query(query.as_of, query.since, last) if last < len(found) else None
    return Page(items, len(found), query, limit, following)


def _number(text: str | None, usual: int, most: int) -> int:
    if text is None:
        return usual
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise FeedError(400, f"{text!r} is not a number from 1 on")
    return min(int(text), most)


def _instant(text: str | None) -> int | None:
    try:
        return None if text is None else instant(text)
    except (ValueError, OverflowError):
        raise FeedError(400, f"{text!r} is no instant such as 2025-12-31T23:00:00Z") from None


Style = Callable[[Page, Request], tuple[str, dict[str, str]]]


def _as_air(page: Page, _: Request) -> tuple[str, dict[str, str]]:
    head = f'{{"generated_at":"{_moment(page.query.as_of)}","total":{page.total},"items":['
    following = f'"{page.next.cursor()}"' if page.next else "null"
    return f'{head}{",".join(page.items)}],"next_cursor":{following}}}', {}


def _as_weather(page: Page, _: Request) -> tuple[str, dict[str, str]]:
    number, pages = page.query.first // page.limit + 1, max(1, -(-page.total // page.limit))
    head = f'{{"page":{number},"pages":{pages},"per_page":{page.limit},"count":{page.total},"results":['
    return f"{head}{','.join(page.items)}]}}", {}


def _as_transport(page: Page, request: Request) -> tuple[str, dict[str, str]]:
    headers = {"X-Total-Count": str(page.total)}
    if page.next:
        address = request.url.include_query_params(cursor=page.next.cursor(), limit=page.limit)
        headers["Link"] = f'<{address.remove_query_params("updated_since")}>; rel="next"'
    return f"[{','.join(page.items)}]", headers


def _as_housing(page: Page, _: Request) -> tuple[str, dict[str, str]]:
    following = f'"{page.next.cursor()}"' if page.next else "null"
    meta = f'{{"count":{page.total},"as_of":"{_moment(page.query.as_of)}"}}'
    return f'{{"data":[{",".join(page.items)}],"meta":{meta},"next":{following}}}', {}


STYLES: dict[str, Style] = {
    "air": _as_air,
    "weather": _as_weather,
    "transport": _as_transport,
    "housing": _as_housing,
}


def _moment(ms: int) -> str:
    return utc_texts(np.array([ms]))[0]


def _spoiled(style: Style, page: Page, request: Request, spec: FaultSpec | None) -> Response:
    """The page in the API's manner, spoiled as a fault asks for."""
    kind = spec.kind if spec is not None else ""
    if spec is not None and kind == "wrong_total":
        page = Page(page.items, page.total + spec.by, page.query, page.limit, page.next)
    if kind == "stuck_cursor":
        page = Page(page.items, page.total, page.query, page.limit, page.query)
    text, headers = style(page, request)
    headers["X-As-Of"] = _moment(page.query.as_of)
    body = text.encode()
    if kind == "invalid_json":
        body = body[:-1] + b',"note":'
    if spec is not None and kind in ("truncated", "cut"):
        half = body[: spec.bytes if spec.bytes is not None else len(body) // 2]
        if kind == "cut":
            return _cut(half, len(body), headers)
        body = half
    return Response(body, 200, headers, media_type="application/json")


def _cut(part: bytes, length: int, headers: dict[str, str]) -> Response:
    async def broken() -> AsyncIterator[bytes]:
        yield part
        raise ConnectionResetError("fault: the connection is cut")

    headers = {**headers, "Content-Length": str(length)}
    return StreamingResponse(broken(), 200, headers, media_type="application/json")
