"""Writing resources to a hospital's own FHIR server, and reading them back: one kind of resource at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from jobs.errors import CitywellError
from jobs.extract import web
from jobs.extract.smart_auth import SmartClient, load_key
from jobs.extract.waiting import Clock
from jobs.settings import settings
from jobs.sources import FhirEndpoint, SmartSignIn, find_fhir_endpoint

ATTEMPTS = 5
LONGEST_WAIT_S = 60.0
IDENTIFIERS_PER_SEARCH = 40
SERVER_ERROR = "server error, however often it was sent"
_MEDIA_TYPE = "application/fhir+json"
_ISSUE_CODE = re.compile(r"[a-z-]{1,40}")
_FHIR_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")

Resource = dict[str, Any]
State = Literal["pending", "sent", "refused"]


@dataclass(frozen=True)
class Written:
    """A kind of resource that we write. identifier_system: of our identifiers. words: what one is, for people."""

    type: str
    identifier_system: str
    words: str

    @property
    def scope(self) -> str:
        """What a hospital must grant: to create, read, update and search (SMART App Launch 2.0)."""
        return f"system/{self.type}.crus"

    @property
    def location(self) -> re.Pattern[str]:
        """Finds id and version in a Location header."""
        return re.compile(rf"{self.type}/([A-Za-z0-9.-]{{1,64}})(?:/_history/([A-Za-z0-9.-]{{1,64}}))?$")


@dataclass(frozen=True)
class Outcome:
    """What became of one write."""

    key: str
    state: State
    status: int | None = None
    reason: str | None = None
    server_id: str | None = None
    version: str | None = None


class HospitalServer:
    """The resources of one kind that we have written to one hospital. Thread-safe.

    Raises CitywellError when the hospital does not answer or does not let us in.
    """

    def __init__(self, endpoint: FhirEndpoint, kind: Written, client: httpx.Client, clock: Clock) -> None:
        self._client, self._clock, self._kind = client, clock, kind
        self._url = f"{endpoint.base_url}/{kind.type}"
        self._where = f"{endpoint.name} ({self._url})"
        self._auth: SmartClient | None = None
        if isinstance(endpoint.auth, SmartSignIn):
            key = load_key(endpoint.key_path(settings().keys_dir), endpoint.auth.alg)
            self._auth = SmartClient(
                endpoint.name, endpoint.base_url, endpoint.auth, key, client, scope=kind.scope, clock=clock
            )

    def put(self, key: str, resource: Resource) -> Outcome:
        """Create or replace the one resource that has our identifier ``key``.

        A server error that lasts is a refusal with the reason SERVER_ERROR.
        """
        link = httpx.URL(self._url, params={"identifier": f"{self._kind.identifier_system}|{key}"})
        if self._auth is not None:
            self._auth.token()  # what goes wrong here is no trouble of the resource
        try:
            response = self._send("PUT", link, json=resource)
        except web.Unavailable as error:
            if error.status is None or error.status < 500:
                raise
            return Outcome(key, "refused", error.status, SERVER_ERROR)
        if response.status_code not in (200, 201):
            return Outcome(key, "refused", response.status_code, _issue(response))
        body = _json(response)
        meta = body.get("meta")
        located = self._kind.location.search(response.headers.get("Location", ""))
        server_id = _fhir_id(body.get("id")) or (located[1] if located else None)
        version = _fhir_id(meta.get("versionId") if isinstance(meta, dict) else None)
        version = version or (located[2] if located else None)
        return Outcome(key, "sent", response.status_code, None, server_id, version)

    def search(self, keys: Sequence[str]) -> Iterator[Resource]:
        """The resources that have one of our identifiers ``keys``."""
        for start in range(0, len(keys), IDENTIFIERS_PER_SEARCH):
            wanted = keys[start : start + IDENTIFIERS_PER_SEARCH]
            tokens = ",".join(f"{self._kind.identifier_system}|{key}" for key in wanted)
            link: httpx.URL | None = httpx.URL(self._url, params={"identifier": tokens})
            while link is not None:
                response = self._send("GET", link)
                if response.status_code != 200:
                    raise CitywellError(
                        f"The hospital does not let us read {self._kind.type} (HTTP {response.status_code}).",
                        where=self._where,
                        do=f"Have the hospital grant {self._kind.scope} to this client.",
                    )
                bundle = _json(response)
                yield from (entry["resource"] for entry in bundle.get("entry", []))
                following = [x["url"] for x in bundle.get("link", []) if x.get("relation") == "next"]
                link = self._followable(following[0]) if following else None

    def trouble(self, status: int | None) -> CitywellError:
        """The hospital answers one write after the other with a server error."""
        return CitywellError(
            f"The hospital cannot take {self._kind.words}s in: one after the other ends in a server error "
            f"(HTTP {status}).",
            where=self._where,
            do="Have its administrators look at their server's log, then run the write-back again.",
        )

    def _followable(self, link: str) -> httpx.URL:
        """The link to a further page, which our token goes to: on the hospital's own server, and encrypted if that is.

        Raises CitywellError for any other.
        """
        base = httpx.URL(self._url)
        try:
            url = base.join(link)
        except (httpx.InvalidURL, TypeError):
            url = httpx.URL()
        web.refuse_downgrade(self._url, str(url), self._where)
        if (url.scheme, url.host, url.port) != (base.scheme, base.host, base.port):
            raise CitywellError(
                "The hospital hands out a link to a page on another server.",
                where=self._where,
                do="Ask its administrators to mend the base address it builds links from; nothing was sent there.",
            )
        return url

    def _send(self, method: str, link: httpx.URL, json: Resource | None = None) -> httpx.Response:
        headers = {"Accept": _MEDIA_TYPE} | ({"Content-Type": _MEDIA_TYPE} if json is not None else {})
        return web.send(
            self._client,
            lambda: self._client.build_request(method, link, json=json, headers=headers),
            what=f"Writing a {self._kind.words} back"
            if method == "PUT"
            else f"Reading {self._kind.words}s back",
            where=self._where,
            clock=self._clock,
            cap_s=LONGEST_WAIT_S,
            auth=self._auth,
            attempts=ATTEMPTS,
        )


@contextmanager
def opened(source: str, kind: Written, clock: Clock) -> Iterator[HospitalServer]:
    """The server of the hospital ``source``, for resources of one kind."""
    endpoint = find_fhir_endpoint(source)
    with web.new_client(endpoint.base_url) as client:
        yield HospitalServer(endpoint, kind, client, clock)


def _issue(response: httpx.Response) -> str:
    """Codes of an OperationOutcome: its other words may quote what we sent."""
    issues = _json(response).get("issue", [])
    codes = [str(issue.get("code", "")) for issue in issues if isinstance(issue, dict)]
    return ", ".join(code for code in codes if _ISSUE_CODE.fullmatch(code)) or "no reason given"


def _fhir_id(value: object) -> str | None:
    return value if isinstance(value, str) and _FHIR_ID.fullmatch(value) else None


def _json(response: httpx.Response) -> Resource:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
