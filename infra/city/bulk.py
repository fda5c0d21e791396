"""Bulk Data Access v2 ``$export`` of one hospital: kick-off, status, manifest, files, cancellation; and the partial
manifests of its version 3, a page for each resource type, for clients that ask for them.

A job is a directory ``exports/<hospital>/<id>/`` with ``job.json``; it survives a restart of the server, and
a job that was running starts over from the same moment. Links carry an expiry and a signature. What the HTTP
layer (``app``) needs is here as plain calls."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import shutil
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from infra.city.faults import FaultSpec
from infra.city.hospitals import Hospital, OutputFile, Snapshot, iso
from infra.city.outcomes import FhirError, outcome
from infra.city.smart import is_allowed

OUTPUT_FORMATS = ("application/fhir+ndjson", "application/ndjson", "ndjson")
_TYPE = re.compile(r"^[A-Z][A-Za-z]+$")
_PART = 1_000_000
"""A link's number is that of the manifest's part times this, and the file's place there: a growing export keeps it."""


class Job(msgspec.Struct):
    """One export. ``state`` is running, complete or failed; times are wall-clock seconds."""

    id: str
    hospital: str
    request: str
    types: list[str]
    since_ms: int | None
    now_ms: int
    segments: int
    not_before: float
    state: str = "running"
    progress: str = "accepted"
    expires: float = 0.0
    outputs: list[OutputFile] = []
    deleted: list[OutputFile] = []
    errors: list[OutputFile] = []
    members: list[str] | None = None
    is_partial: bool = False
    pages: list[tuple[int, int]] = []
    """Of a partial export: how many output and deleted files there were at the end of each page."""

    def parts(self) -> tuple[list[OutputFile], list[OutputFile], list[OutputFile]]:
        return self.outputs, self.deleted, self.errors


class KickOff(msgspec.Struct):
    """The parameters of a kick-off request, as sent."""

    level: str
    request: str
    type: str | None = None
    since: str | None = None
    output_format: str | None = None
    others: list[str] = []
    is_lenient: bool = False
    group: str | None = None
    is_partial: bool = False


class BulkServer:
    """Exports of one hospital.

    link_seconds: how long links live. export_seconds: an export takes at least so long, so that clients must
    poll."""

    def __init__(
        self,
        hospital: Hospital,
        folder: Path,
        pool: ThreadPoolExecutor,
        link_seconds: float,
        export_seconds: float,
    ) -> None:
        self.hospital, self.folder, self.pool = hospital, folder, pool
        self.link_seconds, self.export_seconds = link_seconds, export_seconds
        self.clock: Callable[[], float] = time.time
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._secret = secrets.token_bytes(32)
        folder.mkdir(parents=True, exist_ok=True)
        secret = folder / "link.key"
        if secret.exists():
            self._secret = secret.read_bytes()
        else:
            secret.touch(mode=0o600)
            secret.write_bytes(self._secret)
        self._resume()

    def _resume(self) -> None:
        """Take up the jobs of an earlier run of the server."""
        for path in sorted(self.folder.glob("*/job.json")):
            job = msgspec.json.decode(path.read_bytes(), type=Job)
            if job.state == "complete" and job.expires < self.clock():
                shutil.rmtree(path.parent)
                continue
            self._jobs[job.id] = job
            if job.state == "running":
                self.pool.submit(self._run, job)

    # -- kick-off --------------------------------------------------------------------------------------------

    def kick_off(self, asked: KickOff, scope: str, ignore_since: bool = False) -> Job:
        """Start an export. Raises FhirError 400 or 403 for what is not supported or not allowed."""
        if asked.output_format is not None and asked.output_format.replace(" ", "+") not in OUTPUT_FORMATS:
            raise FhirError(400, "not-supported", f"_outputFormat must be one of {', '.join(OUTPUT_FORMATS)}")
        if asked.others and not asked.is_lenient:
            raise FhirError(
                400,
                "not-supported",
                f"not supported: {', '.join(asked.others)}; use Prefer: handling=lenient",
            )
        since_ms = None if asked.since is None else _instant_ms(asked.since)
        if asked.is_partial and not self.hospital.habits.partial_manifests and not asked.is_lenient:
            raise FhirError(400, "not-supported", "allowPartialManifests is not supported")
        members = None if asked.group is None else self.hospital.members(asked.group)
        if asked.group is not None and members is None:
            raise FhirError(404, "not-found", "there is no such group")
        self._sweep()
        snapshot = self.hospital.snapshot()
        job = Job(
            id=secrets.token_hex(12),
            hospital=self.hospital.habits.name,
            request=asked.request,
            types=self._types(asked, scope, snapshot),
            since_ms=None if ignore_since else since_ms,
            now_ms=snapshot.now_ms,
            segments=snapshot.segments,
            not_before=self.clock() + self.export_seconds,
            members=None if members is None else sorted(members),
            is_partial=asked.is_partial and self.hospital.habits.partial_manifests,
        )
        if job.is_partial:
            job.expires = job.not_before + self.link_seconds
        (self.folder / job.id).mkdir()
        self._save(job)
        with self._lock:
            self._jobs[job.id] = job
        self.pool.submit(self._run, job)
        return job

    def _sweep(self) -> None:
        """Remove exports whose links have expired."""
        now = self.clock()
        with self._lock:
            jobs = list(self._jobs.values())
        for job in [j for j in jobs if j.state == "complete" and j.expires < now]:
            self._forget(job.id)

    def _forget(self, job_id: str) -> None:
        with self._lock:
            self._jobs.pop(job_id, None)
        shutil.rmtree(self.folder / job_id, ignore_errors=True)

    def _types(self, asked: KickOff, scope: str, snapshot: Snapshot) -> list[str]:
        there = self.hospital.types(snapshot)
        if asked.type:
            wanted = [t.strip() for t in asked.type.split(",") if t.strip()]
            for type_ in wanted:
                if not _TYPE.match(type_):
                    raise FhirError(400, "value", "_type must be a list of resource types")
                if not is_allowed(scope, type_, "r"):
                    raise FhirError(403, "forbidden", f"the token's scopes do not allow reading {type_}")
            return [t for t in there if t in wanted]
        if asked.level != "system":
            there = [t for t in there if t not in self.hospital.not_of_a_patient]
        allowed = [t for t in there if is_allowed(scope, t, "r")]
        if not allowed:
            raise FhirError(403, "forbidden", "the token's scopes do not allow reading anything")
        return allowed

    def _run(self, job: Job) -> None:
        """Prepare the files of a job, in a worker thread."""

        def report(share: float, what: str) -> None:
            job.progress = f"{what}, {share:.0%} done"

        folder = self.folder / job.id
        try:
            snapshot = Snapshot(job.now_ms, job.segments)
            members = None if job.members is None else frozenset(job.members)
            job.outputs, job.deleted, job.errors, job.pages = [], [], [], []
            for types in [[t] for t in job.types] if job.is_partial else [job.types]:
                prepared = self.hospital.prepare(folder, types, job.since_ms, snapshot, report, members)
                job.outputs += prepared.outputs
                job.deleted += prepared.deleted
                job.errors += prepared.errors
                if job.is_partial and (prepared.outputs or prepared.deleted):
                    job.pages.append((len(job.outputs), len(job.deleted)))
        except Exception:  # noqa: BLE001  a worker must report, not vanish
            if job.id in self._jobs:
                traceback.print_exc()
                job.state = "failed"
                self._save(job)
            return
        if not job.is_partial:
            job.expires = max(self.clock(), job.not_before) + self.link_seconds
        job.state = "complete"
        if job.id in self._jobs:
            self._save(job)

    def _save(self, job: Job) -> None:
        part = self.folder / job.id / "job.part"
        part.write_bytes(msgspec.json.encode(job))
        part.replace(part.with_name("job.json"))

    # -- status ----------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> Job:
        """A job that exists and whose links live. Raises FhirError 404."""
        job = self._jobs.get(job_id)
        if job is None or (job.state == "complete" and job.expires < self.clock()):
            raise FhirError(404, "not-found", "there is no such export, or it has expired")
        return job

    def cancel(self, job_id: str) -> None:
        """Forget a job and remove its files. Raises FhirError 404."""
        self.job(job_id)
        self._forget(job_id)

    def is_ready(self, job: Job) -> bool:
        return job.state != "running" and self.clock() >= job.not_before

    def manifest(
        self, job: Job, base: str, faults: dict[str, FaultSpec], page: int = 0
    ) -> dict[str, Any] | None:
        """The manifest with absolute links; ``base`` is the hospital's FHIR address. Faults spoil it as
        asked. Of a partial export it is one page, None where it is not there yet."""
        if "error_list" in faults and not job.errors:
            self._add_error_file(job, faults["error_list"])
        first, last = (0, 0, 0), (len(job.outputs), len(job.deleted), len(job.errors))
        following = None
        if job.is_partial:
            pages = job.pages or ([(0, 0)] if job.state == "complete" else [])
            if page >= len(pages):
                return None
            before = pages[page - 1] if page else (0, 0)
            first, last = (*before, 0), (*pages[page], 0 if page else last[2])
            following = page + 1 if page + 1 < len(pages) else None
        rows: list[list[dict[str, Any]]] = [
            [
                {"type": f.type, "url": self._link(job, part * _PART + n, f, base), "count": f.count}
                for n, f in enumerate(files[first[part] : last[part]], first[part])
            ]
            for part, files in enumerate(job.parts())
        ]
        outputs, deleted, errors = rows
        if "wrong_count" in faults:
            spec = faults["wrong_count"]
            for row in [r for r in outputs if spec.type in (None, r["type"])][:1]:
                row["count"] += spec.by
        if "no_count" in faults:
            for row in (*outputs, *deleted, *errors):
                del row["count"]
        if "missing_output" in faults:
            spec = faults["missing_output"]
            for row in [r for r in outputs if spec.type in (None, r["type"])][:1]:
                outputs.remove(row)
        manifest: dict[str, Any] = {
            "transactionTime": iso(job.now_ms),
            "request": job.request,
            "requiresAccessToken": self.hospital.habits.requires_token,
            "output": outputs,
            "deleted": deleted,
            "error": errors,
        }
        if following is not None:
            manifest["link"] = [{"relation": "next", "url": f"{base}/bulkstatus/{job.id}/pages/{following}"}]
        if "no_deleted" in faults:
            del manifest["deleted"]
        return manifest

    def _add_error_file(self, job: Job, spec: FaultSpec) -> None:
        """A file of OperationOutcomes whose last line has no newline, as some servers write it."""
        what = spec.type or "Observation"
        lines = [
            msgspec.json.encode(outcome("processing", f"{n} {what} records could not be exported"))
            for n in (2, 1)
        ]
        path = self.folder / job.id / "errors.ndjson"
        path.write_bytes(b"\n".join(lines))
        job.errors = [OutputFile("OperationOutcome", path.name, len(lines), path=str(path))]
        self._save(job)

    # -- files -----------------------------------------------------------------------------------------------

    def _link(self, job: Job, number: int, file: OutputFile, base: str) -> str:
        expires = math.ceil(job.expires)
        return (
            f"{base}/bulkfiles/{job.id}/{number}/{file.name}"
            f"?expires={expires}&signature={self._signature(job.id, number, expires)}"
        )

    def _signature(self, job_id: str, number: int, expires: int) -> str:
        message = f"{job_id}/{number}/{expires}".encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:32]

    def file(self, job_id: str, number: int, expires: int, signature: str) -> OutputFile:
        """The file behind a link. Raises FhirError 403 (forged), 410 (expired or cancelled) or 404 (no such file)."""
        if not hmac.compare_digest(signature.encode(), self._signature(job_id, number, expires).encode()):
            raise FhirError(403, "forbidden", "this link was not made here")
        if expires < self.clock():
            raise FhirError(410, "expired", "this link has expired; start the export again")
        job = self._jobs.get(job_id)
        if job is None or job.expires < self.clock():
            raise FhirError(410, "expired", "this link has expired; start the export again")
        part, place = divmod(number, _PART)
        if part >= len(job.parts()) or place >= len(job.parts()[part]):
            raise FhirError(404, "not-found", "there is no such file")
        return job.parts()[part][place]

    def expire(self, job_id: str) -> None:
        """All links of a job stop working."""
        job = self._jobs.get(job_id)
        if job is not None:
            job.expires = 0.0
            self._save(job)


def _instant_ms(text: str) -> int:
    """Milliseconds since 1970 of a FHIR instant. Raises FhirError 400."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+").replace("Z", "+00:00"))
        if moment.tzinfo is None:
            raise FhirError(400, "value", "_since needs a time zone")
        return round(moment.astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise FhirError(400, "value", "_since must be a FHIR instant such as 2026-01-01T00:00:00Z") from None
