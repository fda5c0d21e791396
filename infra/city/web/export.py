"""Routes of Bulk Data exports: kick-off, status, cancelling and the files."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from urllib.parse import urlencode

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from infra.city.bulk import KickOff
from infra.city.faults import MANIFEST_KINDS, FaultSpec
from infra.city.outcomes import NOT_JSON, FhirError, fhir_response, outcome
from infra.city.smart import is_allowed
from infra.city.web.files import file_response, spoiled_file
from infra.city.web.servers import Servers, Site, base, scope_of, strike

_KNOWN_PARAMETERS = {"_type", "_since", "_outputFormat", "allowPartialManifests"}


def add_export_routes(app: FastAPI, servers: Servers) -> None:
    async def kick_off(hospital: str, level: str, request: Request, group: str | None = None) -> Response:
        site = servers.site(hospital)
        await strike(servers, hospital, "kickoff")
        scope = scope_of(site, request)
        prefer = request.headers.get("prefer", "").replace(" ", "").lower()
        if "respond-async" not in prefer:
            raise FhirError(400, "required", "send Prefer: respond-async")
        parameters = await _parameters(request)
        if servers.faults.hit(hospital, "kickoff", ("reject_since",)) and any(
            k == "_since" for k, _ in parameters
        ):
            raise FhirError(400, "not-supported", "_since is not supported")
        query = f"?{urlencode(parameters)}" if parameters else ""
        asked = KickOff(
            level=level,
            request=f"{base(request, hospital)}/{'' if level == 'system' else f'{level}/'}$export{query}",
            type=",".join(v for k, v in parameters if k == "_type") or None,
            since=dict(parameters).get("_since"),
            output_format=dict(parameters).get("_outputFormat"),
            others=sorted({k for k, _ in parameters} - _KNOWN_PARAMETERS),
            is_lenient="handling=lenient" in prefer,
            group=group,
            is_partial=dict(parameters).get("allowPartialManifests", "").lower() == "true",
        )
        ignore = servers.faults.hit(hospital, "kickoff", ("ignore_since",)) is not None
        job = await asyncio.to_thread(site.bulk.kick_off, asked, scope, ignore)
        return Response(
            status_code=202, headers={"Content-Location": f"{base(request, hospital)}/bulkstatus/{job.id}"}
        )

    @app.api_route("/{hospital}/fhir/$export", methods=["GET", "POST"])
    async def export_system(hospital: str, request: Request) -> Response:
        return await kick_off(hospital, "system", request)

    @app.api_route("/{hospital}/fhir/Patient/$export", methods=["GET", "POST"])
    async def export_patients(hospital: str, request: Request) -> Response:
        return await kick_off(hospital, "Patient", request)

    @app.api_route("/{hospital}/fhir/Group/{group}/$export", methods=["GET", "POST"])
    async def export_group(hospital: str, group: str, request: Request) -> Response:
        return await kick_off(hospital, f"Group/{group}", request, group)

    @app.get("/{hospital}/fhir/bulkstatus/{job_id}")
    async def export_status(hospital: str, job_id: str, request: Request) -> Response:
        site = servers.site(hospital)
        await strike(servers, hospital, "status")
        scope_of(site, request)
        job = site.bulk.job(job_id)
        if servers.faults.hit(hospital, "status", ("export_failed",)) or job.state == "failed":
            raise FhirError(500, "exception", "the export has failed; start it again")
        if servers.faults.hit(hospital, "status", ("never_ending",)) or not site.bulk.is_ready(job):
            progress = {"X-Progress": job.progress, "Retry-After": "1"}
            early = site.bulk.manifest(job, base(request, hospital), {}) if job.is_partial else None
            if early is None:
                return Response(status_code=202, headers=progress)
            return JSONResponse(early, status_code=202, headers=progress)
        spoiled = {
            kind: spec for kind in MANIFEST_KINDS if (spec := servers.faults.hit(hospital, "status", (kind,)))
        }
        manifest = site.bulk.manifest(job, base(request, hospital), spoiled)
        return JSONResponse(manifest, headers={"Expires": formatdate(job.expires, usegmt=True)})

    @app.get("/{hospital}/fhir/bulkstatus/{job_id}/pages/{page}")
    async def export_page(hospital: str, job_id: str, page: int, request: Request) -> Response:
        site = servers.site(hospital)
        await strike(servers, hospital, "status")
        scope_of(site, request)
        manifest = site.bulk.manifest(site.bulk.job(job_id), base(request, hospital), {}, page)
        if manifest is None or page < 1:
            raise FhirError(404, "not-found", "the manifest has no such page")
        return JSONResponse(manifest)

    @app.delete("/{hospital}/fhir/bulkstatus/{job_id}")
    async def cancel_export(hospital: str, job_id: str, request: Request) -> Response:
        site = servers.site(hospital)
        scope_of(site, request)
        site.bulk.cancel(job_id)
        return fhir_response(outcome("informational", "the export is cancelled", "information"), 202)

    @app.get("/{hospital}/fhir/bulkfiles/{job_id}/{number}/{name}")
    async def export_file(
        hospital: str, job_id: str, number: int, name: str, request: Request, expires: int, signature: str
    ) -> Response:
        site = servers.site(hospital)
        file = site.bulk.file(job_id, number, expires, signature)
        await strike(servers, hospital, "download", file.type)
        spec = servers.faults.hit(hospital, "download", _DOWNLOAD_FAULTS, file.type)
        if spec is not None and spec.kind not in ("cut", "truncated"):
            _refuse_download(spec, site, job_id)
        if site.hospital.habits.requires_token:
            readable = is_allowed(scope_of(site, request), file.type, "r")
            if not readable and file.type not in ("Bundle", "OperationOutcome"):
                raise FhirError(403, "forbidden", f"the token's scopes do not allow reading {file.type}")
        accepts_gzip = "gzip" in request.headers.get("accept-encoding", "")
        if spec is not None:
            return spoiled_file(file, accepts_gzip, spec)
        return file_response(file, accepts_gzip)


_DOWNLOAD_FAULTS = (
    "unauthorized",
    "revoke_tokens",
    "expired_link",
    "missing_file",
    "failing_file",
    "cut",
    "truncated",
)


def _refuse_download(spec: FaultSpec, site: Site, job_id: str) -> None:
    """Raise what a fault of the download asks for; ``revoke_tokens`` leaves the answer to the token check."""
    if spec.kind == "unauthorized":
        raise FhirError(
            401, "expired", "the token has expired", {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        )
    if spec.kind == "expired_link":
        if not spec.only_this:
            site.bulk.expire(job_id)
        raise FhirError(spec.status or 410, "expired", "this link has expired; start the export again")
    if spec.kind == "missing_file":
        raise FhirError(404, "not-found", "there is no such file")
    if spec.kind == "failing_file":
        raise FhirError(500, "exception", "the file could not be read")
    site.smart.revoked_before = time.time()


async def _parameters(request: Request) -> list[tuple[str, str]]:
    """Export parameters of a GET query or of a POSTed Parameters resource."""
    if request.method == "GET":
        return list(request.query_params.multi_items())
    try:
        body = msgspec.json.decode(await request.body())
        return [
            (str(p["name"]), str(next(v for k, v in p.items() if k.startswith("value"))))
            for p in body.get("parameter", [])
        ]
    except (*NOT_JSON, AttributeError, KeyError, TypeError, StopIteration):
        raise FhirError(400, "structure", "the body must be a Parameters resource") from None
