"""Routes of the wearables platform; see ``infra.city.wearables`` for what they answer."""

from __future__ import annotations

import base64
import hmac
import zlib
from collections.abc import Iterator
from datetime import datetime

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from infra.city.outcomes import FhirError
from infra.city.store import Piece, read_pieces, split_pieces
from infra.city.wearables.feeds import FEEDS, FOLDER
from infra.city.web.servers import Servers, strike
from infra.stack.secrets import ensure_secret

MOST_LINES = 5_000
NDJSON = "application/x-ndjson"
TOKEN_FILE = "city_wearables.token"  # noqa: S105


class _Refused(Exception):
    """An answer other than success: HTTP status and words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


def add_wearables_routes(app: FastAPI, servers: Servers) -> None:
    """The platform of a generated city; there is none beside a directory of given records."""
    if servers.city is None:
        return
    city, secret = servers.city, ensure_secret(servers.options.home / "keys" / TOKEN_FILE)

    @app.get("/wearables/v1/{feed}")
    async def read(feed: str, request: Request) -> Response:
        try:
            await strike(servers, FOLDER, "download")
            if not hmac.compare_digest(request.headers.get("authorization", ""), f"Bearer {secret}"):
                raise _Refused(401, "a bearer token is needed")
            if feed not in FEEDS:
                raise _Refused(404, f"there is no feed of that name; there are {', '.join(FEEDS)}")
            since_ms, limit, page, segments = _asked(request, city.segments)
        except FhirError as fault:
            return JSONResponse({"error": fault.words}, fault.status, fault.headers)
        except _Refused as refusal:
            return JSONResponse({"error": refusal.words}, refusal.status)
        pieces = list(city.store.select(FOLDER, feed, segments, since_ms))
        pages = split_pieces(pieces, limit)
        headers = {"X-Total-Count": str(sum(p.lines for p in pieces)), "Vary": "Accept-Encoding"}
        if page + 1 < len(pages):
            headers["X-Next-After"] = _token(segments, since_ms, limit, page + 1)
        body = _lines(pages[page]) if page < len(pages) else iter(())
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = _packed(body)
        return StreamingResponse(body, headers=headers, media_type=NDJSON)


def _asked(request: Request, segments: int) -> tuple[int | None, int, int, int]:
    """Instant after which lines are wanted (ms, None for all), lines per page, page, segments. Raises _Refused."""
    given = request.query_params
    try:
        if token := given.get("after"):
            known, since, limit, page = (int(n) for n in base64.urlsafe_b64decode(token).decode().split("."))
            if known > segments or limit < 1 or page < 1:
                raise ValueError(token)
            return (since if since >= 0 else None), limit, page, known
        limit = int(given.get("limit", MOST_LINES))
        if not 1 <= limit <= MOST_LINES:
            raise ValueError(limit)
        if text := given.get("updated_since"):
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                raise ValueError(text)
            return max(0, round(moment.timestamp() * 1000) - 1), limit, 0, segments
    except ValueError:
        words = f"after is a token handed out here, limit 1 to {MOST_LINES}, updated_since an instant with its zone"
        raise _Refused(400, words) from None
    return None, limit, 0, segments


def _token(segments: int, since_ms: int | None, limit: int, page: int) -> str:
    text = f"{segments}.{-1 if since_ms is None else since_ms}.{limit}.{page}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def _lines(pieces: list[Piece]) -> Iterator[bytes]:
    for block in read_pieces(pieces):
        yield bytes(block)


def _packed(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks as one gzip stream."""
    packer = zlib.compressobj(level=1, wbits=31)
    for block in blocks:
        yield packer.compress(block)
    yield packer.flush()
