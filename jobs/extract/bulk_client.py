"""The wire protocol of FHIR Bulk Data Access v2: kick-off, polling, the manifest's pages, files; and v3's partial
manifests.

Sources: https://hl7.org/fhir/uv/bulkdata/STU2/export.html, and for partial manifests version 3 of that page ("Response
- In-Progress Status", "Manifest Link"). Nothing here knows batches or landing. Messages name the endpoint, never a link
the server handed out: links may hold tokens.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx

from jobs.errors import CitywellError
from jobs.extract import bulk_manifest, web
from jobs.extract.bulk_manifest import BulkManifest, Link, Page
from jobs.extract.gzipped import ungzipped
from jobs.extract.smart_auth import SmartClient, load_key
from jobs.extract.waiting import SYSTEM_CLOCK, Clock, Transient, back_off_s, poll_wait_s, retry_after_s
from jobs.sources import FhirEndpoint, SmartSignIn

log = logging.getLogger(__name__)

_POLL_FIRST_S, _POLL_LONGEST_S = 1.0, 30.0
_POLL_FAILURES = 8
_GONE = (404, 410)
_LINK_EXPIRED = (401, 403, 404, 410)
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 10
_NDJSON_TYPES = ("json", "octet-stream", "text/plain", "gzip")
"""Parts of the content types under which NDJSON is sent. Any other is a page of a proxy or a sign-in, whatever the
status says."""
_PERCENT = re.compile(r"\d{1,3}(\.\d+)?\s*%")
_ISSUE_CODE = re.compile(r"[a-z-]{1,30}")


class ExportGone(Exception):
    """The server no longer has the export, or says that it failed: only a new one can help."""


class LinkExpired(Exception):
    """A link of a manifest no longer gives its file."""


class FileRefused(Exception):
    """The server answers a link in a way that trying again will not mend."""


class BulkClient:
    """One endpoint's Bulk Data API."""

    def __init__(
        self,
        endpoint: FhirEndpoint,
        client: httpx.Client,
        auth: httpx.Auth | None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.endpoint, self.client, self.auth, self.clock = endpoint, client, auth, clock
        self.where = f"{endpoint.name} ({endpoint.base_url})"

    def kick_off(self, types: Iterable[str] | None, since: datetime | None) -> str:
        """Starts an export; the address at which its progress is asked for."""
        params = {"_type": ",".join(types)} if types else {}
        if since is not None:
            params["_since"] = since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self.endpoint.partial_manifests:
            params["allowPartialManifests"] = "true"
        url = f"{self.endpoint.base_url}/{_operation(self.endpoint)}"
        headers = {"Accept": "application/fhir+json", "Prefer": "respond-async"}
        response = self._get(url, headers, "Starting the export", params)
        address = response.headers.get("Content-Location")
        if response.status_code != 202 or not address:
            raise self._kick_off_refused(response, has_since=since is not None)
        status_url = web.joined(url, address)
        if web.origin(status_url) is None:
            raise CitywellError(
                "The server started an export, but its Content-Location is no web address",
                where=self.where,
                do="report it to the maker of the server: Bulk Data Access v2 asks for an absolute address",
            )
        return self._followable(status_url)

    def wait(
        self, status_url: str, meanwhile: Callable[[BulkManifest], None] = lambda _: None
    ) -> BulkManifest:
        """Polls until the export is done; its manifest.

        meanwhile: is given what the server offers already, at each poll that finds an export with partial manifests
        under way. Its time is not held against the deadline.

        Raises ExportGone when it is lost, and CitywellError when the endpoint's deadline passes or the server
        does not answer; the export goes on and may be polled again.
        """
        deadline = self.clock.monotonic() + self.endpoint.deadline_minutes * 60
        what = f"{self.endpoint.name}: polling"
        guess_s, failures, setbacks = _POLL_FIRST_S, 0, 0
        while True:
            asked_s = None
            try:
                response = self.client.get(status_url, headers=_JSON, auth=self._auth_at(status_url))
            except web.FAILURES as error:
                web.refuse_certificate(error, self.where)
                log.warning("%s: %s", what, web.network_trouble(error))
                is_setback = is_failure = True
            else:
                offer = self._offer(response, status_url)
                if offer is not None and offer.is_done:
                    return offer
                if offer is not None:
                    begun = self.clock.monotonic()
                    meanwhile(offer)
                    deadline += self.clock.monotonic() - begun
                asked_s = retry_after_s(response.headers.get("Retry-After"), self.clock.now())
                is_failure = offer is None and self._judge_poll(response, is_own=self._is_own(status_url))
                is_setback = is_failure or response.status_code == 429
            failures = failures + 1 if is_failure else 0
            setbacks = setbacks + 1 if is_setback else 0
            if failures >= _POLL_FAILURES:
                raise web.unavailable("Asking for the export's progress", self.where, "see the log", failures)
            if setbacks:
                wait_s = back_off_s(setbacks, _POLL_LONGEST_S)
            else:
                wait_s, guess_s = guess_s, min(guess_s * 2, _POLL_LONGEST_S)
            wait_s = poll_wait_s(asked_s, wait_s, self.endpoint.poll_cap_s, what, is_failure=is_setback)
            if self.clock.monotonic() + wait_s > deadline:
                raise CitywellError(
                    f"The export was not done within {self.endpoint.deadline_minutes:g} minutes",
                    where=self.where,
                    do="run again to go on waiting for the same export; if exports take this long, raise "
                    "deadline_minutes in the source definition, else ask the server's administrators",
                )
            self.clock.sleep(wait_s)

    @contextmanager
    def file(self, link: Link, *, needs_token: bool | None) -> Iterator[Iterator[bytes]]:
        """The plain bytes behind a link, in pieces, gzip undone.

        Raises Transient, LinkExpired, FileRefused; CitywellError when signing in fails.
        """
        try:
            with self._opened(link.url, has_token=self._sends_token(link, needs_token)) as response:
                self._judge_file(response)
                yield ungzipped(response.iter_raw(1 << 20))
        except web.FAILURES as error:
            if reason := web.certificate_trouble(error):
                raise FileRefused(reason) from None
            raise Transient(web.network_trouble(error)) from None

    @contextmanager
    def _opened(self, url: str, *, has_token: bool) -> Iterator[httpx.Response]:
        """The answer to a link after its redirects. The token goes on to no other server."""
        first = web.origin(url)
        for _ in range(_MOST_REDIRECTS):
            here = web.origin(url)
            if here is None:
                raise FileRefused("its link is no web address")
            auth = self.auth if has_token and here == first else None
            with self.client.stream("GET", self._followable(url), headers=_NDJSON, auth=auth) as response:
                if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                    yield response
                    return
                url = web.joined(url, response.headers["Location"])
        raise FileRefused("redirected in a circle")

    def discard(self, status_url: str) -> None:
        """Tells the server that the export's files are no longer needed. A failure is only logged."""
        try:
            response = self.client.request("DELETE", status_url, auth=self._auth_at(status_url))
        except (httpx.HTTPError, httpx.InvalidURL, CitywellError) as error:
            log.info("%s: the export could not be discarded: %s", self.endpoint.name, type(error).__name__)
            return
        if not response.is_success and response.status_code not in _GONE:
            log.info(
                "%s: the export could not be discarded: HTTP %d", self.endpoint.name, response.status_code
            )

    def _is_own(self, url: str) -> bool:
        """Whether an address is on the server itself, where our token may go unasked."""
        return web.origin(url) == web.origin(self.endpoint.base_url)

    def _auth_at(self, url: str) -> httpx.Auth | None:
        return self.auth if self._is_own(url) else None

    def _get(
        self, url: str, headers: Mapping[str, str], what: str, params: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return web.send(
            self.client,
            lambda: self.client.build_request("GET", url, params=params, headers=headers),
            what=what,
            where=self.where,
            clock=self.clock,
            cap_s=self.endpoint.poll_cap_s,
            auth=self._auth_at(url),
        )

    def _kick_off_refused(self, response: httpx.Response, *, has_since: bool) -> CitywellError:
        status = response.status_code
        said = f"HTTP {status}" + "".join(f", {code}" for code in issue_codes(response))
        if status == 202:
            what, do = (
                "It did not say where to ask for progress (no Content-Location)",
                "report it to the maker",
            )
        elif status == 401:
            what, do = (
                "It does not accept the token it gave us",
                "run `citywell source check` for this endpoint",
            )
        elif status == 403:
            what = "Our client may not export"
            do = "have the hospital grant this client Bulk Data export of the types asked for"
        elif status in (404, 405, 501):
            what = f"It has no export at level {self.endpoint.export_level}"
            do = "check base_url; set export_level in the source definition to what it supports"
        elif self.endpoint.partial_manifests and status in (400, 422):
            what = "It rejects the export, perhaps for its allowPartialManifests"
            do = "set partial_manifests: false in the source definition if it does not know that"
        elif has_since and status in (400, 422):
            what = "It rejects the export, perhaps for its _since"
            do = "set supports_since: false in the source definition if it does not know _since"
        else:
            what, do = "It rejects the export", "check types and export_level in the source definition"
        return CitywellError(f"The server did not start an export ({said}). {what}", where=self.where, do=do)

    def _judge_poll(self, response: httpx.Response, *, is_own: bool) -> bool:
        """Whether an answer to polling other than 200 is a failure; False means that it is being done."""
        status = response.status_code
        if status == 202:
            percent = _PERCENT.search(response.headers.get("X-Progress", ""))
            log.info("%s: export in progress %s", self.endpoint.name, percent[0] if percent else "")
            return False
        if status == 429:
            log.info("%s: polled too often", self.endpoint.name)
            return False
        codes = issue_codes(response)
        if status in (502, 503, 504) or (status >= 500 and (not codes or "transient" in codes)):
            log.warning("%s: polling: HTTP %d", self.endpoint.name, status)
            return True
        if status == 401 and not is_own:
            raise CitywellError(
                "The server has us ask for the export's progress elsewhere; our token is not sent there",
                where=self.where,
                do="set base_url in the source definition to the address the server hands out links from",
            )
        if status == 401:
            raise CitywellError(
                "The server does not accept the token it gave us for the export's progress",
                where=self.where,
                do="run `citywell source check` for this endpoint; the export goes on and is polled again",
            )
        said = "".join(f", {code}" for code in codes)
        raise ExportGone(f"the server answered HTTP {status}{said} when asked for the export's progress")

    def _offer(self, response: httpx.Response, status_url: str) -> BulkManifest | None:
        """What an answer to polling offers; None where it is no manifest, nor has to be one."""
        if response.status_code == 200:
            return self._manifest(self._page(response), status_url, is_done=True)
        partial = self._partial_page(response)
        return None if partial is None else self._manifest(partial, status_url, is_done=False)

    def _partial_page(self, response: httpx.Response) -> Page | None:
        """The page that an answer "in progress" has in its body, where we said that we would take one."""
        if response.status_code != 202 or not self.endpoint.partial_manifests:
            return None
        try:
            return bulk_manifest.page(response.content, self.where)
        except CitywellError:
            return None

    def _manifest(self, page: Page, status_url: str, *, is_done: bool) -> BulkManifest:
        pages = [page]
        while following := pages[-1].following(status_url):
            if len(pages) >= self.endpoint.max_manifest_pages:
                raise CitywellError(
                    f"The export's manifest has more than {len(pages)} pages",
                    where=self.where,
                    do="raise max_manifest_pages in the source definition if that is as it should be",
                )
            if web.origin(following) is None:
                raise CitywellError(
                    "The link to the manifest's next page is no web address",
                    where=self.where,
                    do="report it to the maker of the server",
                )
            response = self._get(self._followable(following), _JSON, "Reading the manifest")
            if response.status_code == 202 and self.endpoint.partial_manifests:
                is_done = False
                partial = self._partial_page(response)
                if partial is None:
                    break
                pages.append(partial)
                continue
            if response.status_code != 200:
                raise ExportGone(f"a page of the manifest is missing (HTTP {response.status_code})")
            pages.append(self._page(response))
        return BulkManifest(
            transaction_time=bulk_manifest.made_at(pages[0], self.endpoint, self.clock.now()),
            needs_token=pages[0].requiresAccessToken,
            links=tuple(link for page in pages for link in page.links(status_url)),
            is_done=is_done,
        )

    def _page(self, response: httpx.Response) -> Page:
        try:
            return bulk_manifest.page(response.content, self.where)
        except CitywellError:
            if codes := issue_codes(response):
                raise ExportGone(
                    f"the server answered {', '.join(codes)} in the place of a manifest"
                ) from None
            raise

    def _judge_file(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in _LINK_EXPIRED:
            raise LinkExpired(f"HTTP {status}")
        web.raise_if_transient(response, self.clock)
        if status != 200:
            raise FileRefused(f"HTTP {status}")
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("identity", "gzip", "x-gzip"):
            raise FileRefused("sent in an encoding not asked for")
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind and not any(part in kind for part in _NDJSON_TYPES):
            raise FileRefused(
                "sent under a content type that is not NDJSON's: a page of a sign-in or a proxy?"
            )

    def _sends_token(self, link: Link, needs_token: bool | None) -> bool:
        """Where the manifest does not say, the token goes to the server's own links only."""
        if needs_token is None:
            return self._is_own(link.url)
        return needs_token

    def _followable(self, url: str) -> str:
        web.refuse_downgrade(self.endpoint.base_url, url, self.where)
        return url


_JSON = {"Accept": "application/json"}
_NDJSON = {"Accept": "application/fhir+ndjson", "Accept-Encoding": "gzip"}


@contextmanager
def open_client(
    endpoint: FhirEndpoint,
    keys_dir: Path,
    *,
    clock: Clock = SYSTEM_CLOCK,
    transport: httpx.BaseTransport | None = None,
) -> Iterator[BulkClient]:
    """A client for ``endpoint``, signed in when first needed."""
    with web.new_client(endpoint.base_url, transport) as client:
        auth = None
        if isinstance(endpoint.auth, SmartSignIn):
            key = load_key(endpoint.key_path(keys_dir), endpoint.auth.alg)
            auth = SmartClient(endpoint.name, endpoint.base_url, endpoint.auth, key, client, clock=clock)
        yield BulkClient(endpoint, client, auth, clock)


def issue_codes(response: httpx.Response) -> list[str]:
    """The issue codes of an OperationOutcome. Its texts may quote records and are left alone."""
    try:
        issues = response.json().get("issue", [])
        codes = [issue.get("code") for issue in issues]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return []
    return [code for code in codes if isinstance(code, str) and _ISSUE_CODE.fullmatch(code)]


def _operation(endpoint: FhirEndpoint) -> str:
    return {
        "patient": "Patient/$export",
        "system": "$export",
        "group": f"Group/{endpoint.group_id}/$export",
    }[endpoint.export_level]
