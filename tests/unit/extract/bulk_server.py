"""A small FHIR Bulk Data server under a test's control: real HTTP on a free port, any fault at any place.

By default it behaves. ``server.script["status"] = [Answer(429, {"Retry-After": "7"})]`` makes the next
request at that place go wrong; a FOREVER entry stays. Places: configuration, metadata, token, kickoff,
status, discard and the path of a file.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt

from jobs.extract.waiting import Clock

CLIENT_ID = "citywell"
TRANSACTION_TIME = "2026-03-01T00:00:00.000Z"
LINK_SECRET = "linksecret"


class FakeClock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.start = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.elapsed = 0.0
        self.sleeps: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.elapsed)

    def sleep(self, seconds: float) -> None:
        self.elapsed += seconds
        self.sleeps.append(seconds)
        self.on_sleep()

    def clock(self) -> Clock:
        return Clock(now=self.now, monotonic=lambda: self.elapsed, sleep=self.sleep)


@dataclass
class Answer:
    """What to answer instead.

    ``cut_at``: break the connection there. ``silent_cut``: end there as if all were well.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_at: int | None = None
    silent_cut: int | None = None
    before: Callable[[], None] = lambda: None
    forever: bool = False


@dataclass
class File:
    """A file the exports offer."""

    resource_type: str
    body: bytes
    kind: str = "output"
    count: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A request as it came in."""

    place: str
    query: dict[str, list[str]]
    headers: dict[str, str]


class BulkServer:
    """The server's state and what it has seen."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.clock_ahead_s = 0.0
        self.files: dict[str, File] = {}
        self.script: dict[str, list[Answer]] = defaultdict(list)
        self.seen: list[Seen] = []
        self.jwks: list[dict[str, Any]] = []
        self.known_client = CLIENT_ID
        self.token_seconds = 300
        self.tokens: set[str] = set()
        self.used_jti: list[str] = []
        self.assertions: list[dict[str, Any]] = []
        self.configuration: dict[str, Any] = {}
        self.manifest: dict[str, Any] = {}
        self.links_at: str | None = None
        self.jobs = 0
        self.lock = threading.RLock()
        self.base_url = ""

    def count(self, place: str) -> int:
        return sum(seen.place == place for seen in self.seen)

    def last(self, place: str) -> Seen:
        return next(seen for seen in reversed(self.seen) if seen.place == place)

    def now(self) -> datetime:
        return self.clock.now() + timedelta(seconds=self.clock_ahead_s)

    def sign_in(self, form: dict[str, list[str]]) -> Answer:
        """The token endpoint: verifies the assertion as SMART Backend Services says."""
        assertion = form["client_assertion"][0]
        kid = jwt.get_unverified_header(assertion)["kid"]
        key = next((k for k in self.jwks if k["kid"] == kid), None)
        if key is None:
            return refusal("invalid_client", "no key with this kid is registered")
        claims = jwt.decode(
            assertion,
            jwt.PyJWK(key).key,
            algorithms=["RS384", "ES384"],
            audience=f"{self.base_url}/auth/token",
            options={"verify_exp": False},
        )
        self.assertions.append(claims)
        if not claims["iss"] == claims["sub"] == self.known_client:
            return refusal("invalid_client", "unknown client")
        lifetime = claims["exp"] - self.now().timestamp()
        if not 0 < lifetime <= 300:
            return refusal("invalid_client", "bad exp")
        if claims["jti"] in self.used_jti:
            return refusal("invalid_client", "this jti was used before")
        self.used_jti.append(claims["jti"])
        token = f"sekret-token-{len(self.used_jti)}"
        self.tokens.add(token)
        return answer_json({"access_token": token, "token_type": "bearer", "expires_in": self.token_seconds})

    def usual(self, place: str, seen: Seen, form: dict[str, list[str]]) -> Answer:
        if place == "configuration":
            return answer_json({"token_endpoint": f"{self.base_url}/auth/token", **self.configuration})
        if place == "token":
            return self.sign_in(form)
        if place == "metadata":
            rest = [{"mode": "server", "operation": [{"name": "export"}]}]
            return answer_json({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest})
        needs_token = place in ("kickoff", "status", "discard") or self.manifest.get(
            "requiresAccessToken", True
        )
        if needs_token and seen.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return Answer(401)
        if place == "kickoff":
            self.jobs += 1
            return Answer(
                202, {"Content-Location": f"{self.base_url}/jobs/{self.jobs}?signature={LINK_SECRET}"}
            )
        if place == "status":
            return answer_json(self._manifest())
        if place == "discard":
            return Answer(202)
        file = self.files.get(place)
        return Answer(404) if file is None else Answer(200, file.headers, file.body)

    def _manifest(self) -> dict[str, Any]:
        base = self.links_at or self.base_url
        document: dict[str, Any] = {"transactionTime": TRANSACTION_TIME, "requiresAccessToken": True}
        for kind in ("output", "deleted", "error"):
            document[kind] = [
                {
                    "type": file.resource_type,
                    "url": f"{base}/files/{name}?job={self.jobs}&signature={LINK_SECRET}",
                    **({} if file.count is None else {"count": file.count}),
                }
                for name, file in self.files.items()
                if file.kind == kind
            ]
        return {**document, **self.manifest}

    def answer(self, place: str, seen: Seen, form: dict[str, list[str]]) -> Answer:
        with self.lock:
            self.seen.append(seen)
            planned = self.script[place]
            if planned:
                answer = planned[0] if planned[0].forever else planned.pop(0)
                answer.before()
                if answer.status != 200 or answer.body or answer.headers:
                    return answer
                usual = self.usual(place, seen, form)
                usual.cut_at, usual.silent_cut = answer.cut_at, answer.silent_cut
                return usual
            return self.usual(place, seen, form)


def answer_json(document: dict[str, Any]) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(document).encode())


def refusal(error: str, description: str) -> Answer:
    body = json.dumps({"error": error, "error_description": description}).encode()
    return Answer(401 if error == "invalid_client" else 400, {"Content-Type": "application/json"}, body)


def _place(method: str, path: str) -> str:
    if path.endswith("/.well-known/smart-configuration"):
        return "configuration"
    if path.endswith("/auth/token"):
        return "token"
    if path.endswith("/metadata"):
        return "metadata"
    if path.endswith("$export"):
        return "kickoff"
    if "/jobs/" in path:
        return "discard" if method == "DELETE" else "status"
    return path.rpartition("/files/")[2]


@contextmanager
def running(clock: FakeClock) -> Iterator[BulkServer]:
    """The server on a free port of loopback."""
    server = BulkServer(clock)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length", 0))
            form = parse_qs(self.rfile.read(length).decode())
            place = _place(self.command, parts.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(server.answer(place, Seen(place, parse_qs(parts.query), headers), form))

        do_POST = do_GET
        do_DELETE = do_GET

        def _send(self, answer: Answer) -> None:
            self.send_response_only(answer.status)
            self.send_header("Date", format_datetime(server.now(), usegmt=True))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            body = answer.body
            if answer.silent_cut is None:
                self.send_header("Content-Length", str(len(body)))
            else:
                self.send_header("Connection", "close")
                body = body[: answer.silent_cut]
            self.end_headers()
            self.wfile.write(body[: answer.cut_at])
            if answer.cut_at is not None or answer.silent_cut is not None:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    server.base_url = f"http://127.0.0.1:{httpd.server_address[1]}/fhir"
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
