"""Bulk extraction: one export of one FHIR server, streamed into the encrypted landing.

``extract`` converges: killed at any point and run again with the same batch it goes on polling the same
export, keeps the files that landed whole, and fetches the others. The batch has landed once its
``manifest.json`` is there. From a server with partial manifests files are fetched while the export still runs.

What is missing or disagrees does not stop the rest: it becomes a finding, and a batch with findings is not
complete, so that its watermark stays where it was and the next export asks for the same span again.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

import httpx

from jobs.crash import crash_here
from jobs.errors import CitywellError
from jobs.extract.bulk_client import (
    BulkClient,
    ExportGone,
    FileRefused,
    LinkExpired,
    open_client,
)
from jobs.extract.bulk_manifest import BulkManifest, Link
from jobs.extract.delivery import ExtractResult, Places, extracted, remove_others
from jobs.extract.waiting import SYSTEM_CLOCK, Clock, Transient, retrying
from jobs.lake import control, landing
from jobs.lake.control import Batch, Connection, ExportJob
from jobs.lake.landing import Finding, Landed, LandedFile, LandingKey, LandingWriter, Manifest
from jobs.sources import FhirEndpoint

log = logging.getLogger(__name__)

_FILE_ATTEMPTS = 5
_TYPE_IN_A_NAME = re.compile(r"[A-Za-z]{1,60}")


def extract(
    conn: Connection,
    endpoint: FhirEndpoint,
    batch: Batch,
    *,
    places: Places | None = None,
    clock: Clock = SYSTEM_CLOCK,
    transport: httpx.BaseTransport | None = None,
) -> ExtractResult:
    """Lands one export of ``endpoint`` as ``batch`` (see the module).

    The caller holds the source's lock. Raises CitywellError when the server is down, refuses our sign-in or
    the export, does not finish within the endpoint's deadline, or the disk is full; running again goes on.
    """
    places = places or Places.of_settings()

    def run() -> Manifest:
        with open_client(endpoint, places.keys_dir, clock=clock, transport=transport) as client:
            return _Extraction(conn, client, batch, places.directory(batch), places.landing_key()).run()

    return extracted(conn, batch, places, run)


class _Extraction:
    """One run of ``extract`` against the server."""

    def __init__(
        self, conn: Connection, client: BulkClient, batch: Batch, directory: Path, key: LandingKey
    ) -> None:
        self.conn, self.client, self.batch, self.directory, self.key = conn, client, batch, directory, key
        self.endpoint = client.endpoint
        self.stop = threading.Event()
        self.landed: dict[str, LandedFile] = {}
        """Files that this run knows to be whole."""
        self.put_off: set[str] = set()
        """Links that did not give their file while the export was under way: they are asked once it is done."""

    def run(self) -> Manifest:
        """Exports and lands; starts anew, up to the endpoint's limit, when an export is lost on the way."""
        for started in range(1, self.endpoint.max_exports + 1):
            is_last = started == self.endpoint.max_exports
            job = self._job()
            try:
                offer = self.client.wait(job.status_url, self._land_early)
                manifest = self._land(job, offer, tolerate_expired=is_last)
            except (ExportGone, LinkExpired) as lost:
                control.save_job(self.conn, replace(job, state="expired"))
                log.warning("%s: export %d is lost: %s", self.batch.batch_id, job.attempt, lost)
                self.client.discard(job.status_url)
                reason = str(lost)
                continue
            control.save_job(self.conn, replace(job, state="complete"))
            self.client.discard(job.status_url)
            return manifest
        raise CitywellError(
            f"{self.endpoint.max_exports} exports were lost on the server, lastly: {reason}",
            where=f"{self.client.where}, batch {self.batch.batch_id}",
            do="ask its administrators why exports disappear or fail; run again to start another one",
        )

    def _job(self) -> ExportJob:
        """The export under way for the batch, or a new one."""
        last = control.last_job(self.conn, self.batch.batch_id)
        if last is not None and last.state == "running":
            log.info("%s: going on with export %d", self.batch.batch_id, last.attempt)
            return last
        status_url = self.client.kick_off(self.endpoint.types, self.batch.since)
        crash_here("extract:kicked off")
        attempt = last.attempt + 1 if last else 1
        job = ExportJob(self.batch.batch_id, attempt, status_url, self.client.clock.now(), "running")
        with self.conn.transaction():
            control.forget_files(self.conn, self.batch.batch_id)
            control.save_job(self.conn, job)
        crash_here("extract:job saved")
        return job

    def _land_early(self, offer: BulkManifest) -> None:
        """Fetches what an export under way offers. What fails is left to the time when it is done."""
        links = {file: link for file, link in _named(offer).items() if link.url not in self.put_off}
        _, findings = self._fetch_all(links, offer.needs_token, tolerate_expired=True)
        self.put_off |= {links[finding.file].url for finding in findings if finding.file is not None}

    def _land(self, job: ExportJob, offer: BulkManifest, *, tolerate_expired: bool) -> Manifest:
        crash_here("extract:polled")
        links = _named(offer)
        landed, findings = self._fetch_all(links, offer.needs_token, tolerate_expired=tolerate_expired)
        was_offered = any(link.kind == "output" for link in links.values())
        if findings and was_offered and not any(file.kind == "output" for file in landed):
            raise CitywellError(
                f"None of the export's {len(links)} files could be fetched: {findings[0].message}",
                where=f"{self.client.where}, batch {self.batch.batch_id}",
                do="check the server with `citywell source check`, then run again",
            )
        findings += _disagreements(landed)
        if self.batch.is_full and not any(f.kind == "output" and f.lines > f.blank_lines for f in landed):
            findings.append(
                Finding("nothing_exported", "a full export was asked for, and not one record came")
            )
        remove_others(self.directory, (file.file for file in landed))
        manifest = Manifest(
            batch_id=self.batch.batch_id,
            source=self.batch.source,
            as_of=self.batch.as_of,
            since=self.batch.since,
            transaction_time=offer.transaction_time,
            attempt=job.attempt,
            key_id=self.key.key_id,
            files=tuple(landed),
            findings=tuple(findings),
            complete=not findings,
        )
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        crash_here("extract:all files landed")
        landing.write_manifest(self.directory, manifest)
        crash_here("extract:manifest written")
        for finding in findings:
            log.warning("%s: %s: %s", self.batch.batch_id, finding.file or "export", finding.message)
        return manifest

    def _fetch_all(
        self, links: dict[str, Link], needs_token: bool | None, *, tolerate_expired: bool
    ) -> tuple[list[LandedFile], list[Finding]]:
        """Every file that is not there yet, several at a time; recorded in ``control`` as they come."""
        landed = {file.file: file for file in self._already_landed(links)}
        findings: list[Finding] = []
        with ThreadPoolExecutor(self.endpoint.parallel_downloads, thread_name_prefix="download") as pool:
            pending = {
                pool.submit(self._fetch, file, link, needs_token): file
                for file, link in links.items()
                if file not in landed
            }
            try:
                for future in as_completed(pending):
                    file = pending[future]
                    try:
                        landed[file] = future.result()
                    except FileRefused as refused:
                        findings.append(_failed(file, links[file], str(refused)))
                    except LinkExpired as expired:
                        if not tolerate_expired:
                            raise
                        findings.append(_failed(file, links[file], str(expired)))
                    else:
                        crash_here("extract:file landed")
                        self.landed[file] = landed[file]
                        control.record_file(self.conn, self.batch.batch_id, landed[file])
                        crash_here("extract:file recorded")
            except BaseException:
                self.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                self.stop.clear()
                raise
        return [landed[file] for file in links if file in landed], findings

    def _already_landed(self, links: dict[str, Link]) -> Iterator[LandedFile]:
        """Files of this export that an earlier run landed whole."""
        for file in control.landed_files(self.conn, self.batch.batch_id):
            link = links.get(file.file)
            if link is None or file.url_digest != _digest(link.url):
                continue
            is_known = self.landed.get(file.file) == file
            if is_known or landing.verify(self.directory / file.file, self.key, file.sha256):
                self.landed[file.file] = file
                yield file

    def _fetch(self, file: str, link: Link, needs_token: bool | None) -> LandedFile:
        """One file into the landing; tried a second time when its lines are not as many as announced."""
        attempts = retrying(
            f"{self.batch.batch_id}: {file}",
            clock=self.client.clock,
            attempts=_FILE_ATTEMPTS,
            cap_s=self.endpoint.poll_cap_s,
        )
        try:
            landed = attempts(self._download, file, link, needs_token)
        except Transient as last:
            raise FileRefused(f"{last.reason}, {_FILE_ATTEMPTS} times") from None
        if link.count is not None and landed.lines - landed.blank_lines != link.count:
            try:
                landed = attempts(self._download, file, link, needs_token)
            except (Transient, LinkExpired, FileRefused) as error:
                log.warning("%s: %s: the first copy stays: %s", self.batch.batch_id, file, error)
        return LandedFile(
            file=file,
            resource_type=link.resource_type,
            kind=link.kind,
            url_digest=_digest(link.url),
            bytes=landed.bytes,
            lines=landed.lines,
            blank_lines=landed.blank_lines,
            sha256=landed.sha256,
            expected_lines=link.count,
        )

    def _download(self, file: str, link: Link, needs_token: bool | None) -> Landed:
        if self.stop.is_set():
            raise FileRefused("stopped")
        with (
            self.client.file(link, needs_token=needs_token) as pieces,
            LandingWriter(self.directory / file, self.key) as writer,
        ):
            for piece in pieces:
                if self.stop.is_set():
                    raise FileRefused("stopped")
                writer.write(piece)
        assert writer.landed is not None
        return writer.landed


def _named(offer: BulkManifest) -> dict[str, Link]:
    """The links of a manifest by landing file name; a link listed twice is fetched once."""
    once = {link.url: link for link in reversed(offer.links)}
    links = [link for link in offer.links if once.get(link.url) is link]
    return {
        f"{index:04d}-{_type_name(link)}.ndjson{landing.SUFFIX}": link for index, link in enumerate(links)
    }


def _type_name(link: Link) -> str:
    return link.resource_type if _TYPE_IN_A_NAME.fullmatch(link.resource_type) else "Unknown"


def _disagreements(files: list[LandedFile]) -> list[Finding]:
    findings = [
        Finding(
            "count_mismatch",
            f"{file.lines - file.blank_lines} records came, {file.expected_lines} were announced",
            file.file,
            file.resource_type,
        )
        for file in files
        if file.expected_lines is not None and file.lines - file.blank_lines != file.expected_lines
    ]
    errors = [file for file in files if file.kind == "error"]
    if errors:
        lines = sum(file.lines - file.blank_lines for file in errors)
        message = f"the server reports {lines} problems of its own in {len(errors)} error files"
        findings.append(Finding("server_errors", message))
    return findings


def _failed(file: str, link: Link, reason: str) -> Finding:
    return Finding("file_failed", f"the file could not be fetched: {reason}", file, link.resource_type)


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
