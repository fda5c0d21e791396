"""The HTTP face of the city: one FHIR server per hospital below ``/<hospital>/fhir``, and the clock below
``/city``.

Routes only translate: parameters in, a call, an answer out. ``/city/...`` answers to loopback addresses
alone."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.city.bulk import BulkServer, KickOff
from infra.city.capability import capability_statement
from infra.city.city import City
from infra.city.faults import MANIFEST_KINDS, FaultBook, FaultSpec, retry_header
from infra.city.given import GivenHospital
from infra.city.habits import HOSPITALS
from infra.city.hospitals import CityHospital, Hospital, OutputFile, iso
from infra.city.outcomes import NOT_JSON, FhirError, fhir_response, outcome
from infra.city.risk_assessment import RiskAssessments, validated
from infra.city.smart import AuthError, SmartServer, is_allowed

NDJSON = "application/fhir+ndjson"
LOOPBACK = ("127.0.0.1", "::1")
_KNOWN_PARAMETERS = {"_type", "_since", "_outputFormat"}


@dataclass(frozen=True)
class ServerOptions:
    """How the servers behave: lifetimes in seconds, how long an export takes at least, where keys and state
    live."""

    home: Path
    token_seconds: int = 300
    link_seconds: float = 3600.0
    export_seconds: float = 0.5


@dataclass
class Site:
    """One hospital's servers."""

    hospital: Hospital
    smart: SmartServer
    bulk: BulkServer


@dataclass
class Servers:
    """Everything the routes need."""

    options: ServerOptions
    city: City | None
    sites: dict[str, Site]
    risk: RiskAssessments
    faults: FaultBook
    pool: ThreadPoolExecutor = field(repr=False)

    def site(self, name: str) -> Site:
        if name not in self.sites:
            raise FhirError(
                404, "not-found", f"there is no hospital here by that name; there are {', '.join(self.sites)}"
            )
        return self.sites[name]

    def close(self) -> None:
        """Close the databases."""
        self.risk.close()
        for site in self.sites.values():
            site.smart.close()

    def now(self, site: Site) -> str:
        return iso(site.hospital.snapshot().now_ms)


def make_servers(options: ServerOptions, city: City | None, given: GivenHospital | None) -> Servers:
    """The servers of the city's hospitals and of the given directory."""
    faults = FaultBook()
    pool = ThreadPoolExecutor(2, thread_name_prefix="export")
    root = options.home / "city"
    hospitals: list[Hospital] = [CityHospital(h, city) for h in HOSPITALS] if city else []
    if given is not None:
        hospitals.append(given)
    sites = {}
    for hospital in hospitals:
        habits = hospital.habits
        name = habits.name
        smart = SmartServer(
            name,
            habits.algorithms,
            options.home / "keys" / f"fhir_{habits.source}.jwks.json",
            root,
            options.token_seconds,
            lambda name=name: time.time() + faults.skew_seconds(name),  # type: ignore[misc]
        )
        bulk = BulkServer(
            hospital, root / "exports" / name, pool, options.link_seconds, options.export_seconds
        )
        sites[name] = Site(hospital, smart, bulk)
    return Servers(options, city, sites, RiskAssessments(root / "risk_assessment.sqlite"), faults, pool)


def make_app(servers: Servers) -> FastAPI:
    """The ASGI application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        servers.pool.shutdown(wait=False, cancel_futures=True)
        servers.close()

    app = FastAPI(title="City of Citywell", openapi_url=None, lifespan=lifespan)

    @app.exception_handler(FhirError)
    async def on_fhir_error(_: Request, error: FhirError) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def on_odd_address(_: Request, __: RequestValidationError) -> Response:
        return FhirError(400, "value", "the address is not one handed out here").response()

    @app.exception_handler(HTTPException)
    async def on_no_route(_: Request, error: HTTPException) -> Response:
        return FhirError(
            error.status_code, "not-supported", error.detail, dict(error.headers or {})
        ).response()

    @app.exception_handler(AuthError)
    async def on_auth_error(_: Request, error: AuthError) -> Response:
        return JSONResponse({"error": error.error, "error_description": error.words}, error.status)

    app.add_middleware(_DateHeader, faults=servers.faults)
    _add_city_routes(app, servers)
    _add_sign_in_routes(app, servers)
    _add_export_routes(app, servers)
    _add_risk_routes(app, servers)
    return app


class _DateHeader:
    """Adds the Date header by the hospital's own, perhaps skewed, clock. Plain ASGI, so that files stream at
    full speed."""

    def __init__(self, app: ASGIApp, faults: FaultBook) -> None:
        self.app, self.faults = app, faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        hospital = scope["path"].split("/", 2)[1]

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(time.time() + self.faults.skew_seconds(hospital), usegmt=True)
                MutableHeaders(scope=message)["Date"] = date
            await send(message)

        await self.app(scope, receive, send_dated)


def _base(request: Request, hospital: str) -> str:
    return f"{str(request.base_url).rstrip('/')}/{hospital}/fhir"


async def _strike(servers: Servers, hospital: str, where: str, type_: str | None = None) -> FaultSpec | None:
    """Let the general faults strike: waits, or raises FhirError; a fault special to the place is returned."""
    slow = servers.faults.hit(hospital, where, ("slow",), type_)
    if slow is not None:
        await asyncio.sleep(slow.seconds if slow.seconds is not None else 1.0)
    spec = servers.faults.hit(hospital, where, ("too_many", "unavailable", "server_error"), type_)
    if spec is None:
        return None
    if spec.kind == "too_many":
        raise FhirError(429, "throttled", "too many requests", retry_header(spec, "seconds"))
    if spec.kind == "unavailable":
        raise FhirError(503, "transient", "the server is busy", retry_header(spec, "none"))
    raise FhirError(spec.status or 500, "exception", "the server has failed")


def _scope(site: Site, request: Request) -> str:
    return site.smart.authorise(request.headers.get("authorization"))


def _add_city_routes(app: FastAPI, servers: Servers) -> None:
    """The clock, its advance and the faults."""

    def only_loopback(request: Request) -> None:
        if request.client is None or request.client.host not in LOOPBACK:
            raise FhirError(403, "forbidden", "the city is steered from this machine only")

    loopback = [Depends(only_loopback)]

    @app.get("/city/clock")
    def clock() -> dict[str, Any]:
        if servers.city is None:
            return {"now": servers.now(next(iter(servers.sites.values())))}
        return {"now": servers.city.now}

    @app.get("/city/status", dependencies=loopback)
    def status() -> dict[str, Any]:
        people = len(servers.city.world.people) if servers.city else 0
        return {
            **clock(),
            "people": people,
            "hospitals": {n: s.hospital.habits.title for n, s in servers.sites.items()},
        }

    @app.post("/city/advance", dependencies=loopback)
    async def advance(request: Request) -> Response:
        raw = await request.body()
        try:
            days = msgspec.json.decode(raw or b"{}", type=dict[str, int]).get("days", 1)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return JSONResponse({"error": 'send {"days": 1}'}, 400)
        if servers.city is None or not 0 <= days <= 366:
            return JSONResponse({"error": "days must be 0 to 366, and the city must be generated"}, 400)
        try:
            await asyncio.to_thread(servers.city.advance, days)
        except OSError as error:
            words = f"a day could not be written: {error.strerror}; the clock stays at {servers.city.now}"
            return JSONResponse({"error": words}, 507)
        return JSONResponse({"now": servers.city.now})

    @app.get("/city/faults", dependencies=loopback)
    def faults() -> list[dict[str, Any]]:
        return servers.faults.listed()

    @app.post("/city/faults", dependencies=loopback)
    async def add_fault(request: Request) -> Response:
        try:
            return JSONResponse(servers.faults.add(await request.body()), 201)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)

    @app.delete("/city/faults", dependencies=loopback, status_code=204)
    def remove_faults() -> None:
        servers.faults.remove(None)

    @app.delete("/city/faults/{number}", dependencies=loopback, status_code=204)
    def remove_fault(number: int) -> None:
        servers.faults.remove(number)


def _add_sign_in_routes(app: FastAPI, servers: Servers) -> None:
    @app.get("/{hospital}/fhir/.well-known/smart-configuration")
    async def smart_configuration(hospital: str, request: Request) -> Response:
        site = servers.site(hospital)
        await _strike(servers, hospital, "configuration")
        return JSONResponse(site.smart.configuration(_base(request, hospital)))

    @app.get("/{hospital}/fhir/metadata")
    async def metadata(hospital: str, request: Request) -> Response:
        site = servers.site(hospital)
        await _strike(servers, hospital, "metadata")
        types = site.hospital.types(site.hospital.snapshot())
        return fhir_response(
            capability_statement(site.hospital.habits, types, _base(request, hospital), servers.now(site))
        )

    @app.post("/{hospital}/fhir/auth/token")
    async def token(hospital: str, request: Request) -> Response:
        site = servers.site(hospital)
        await _strike(servers, hospital, "token")
        form = {k: v for k, v in (await request.form()).items() if isinstance(v, str)}
        granted = site.smart.grant(form, f"{_base(request, hospital)}/auth/token")
        return JSONResponse(granted, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


def _add_export_routes(app: FastAPI, servers: Servers) -> None:
    async def kick_off(hospital: str, level: str, request: Request) -> Response:
        site = servers.site(hospital)
        await _strike(servers, hospital, "kickoff")
        scope = _scope(site, request)
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
            request=f"{_base(request, hospital)}/{'' if level == 'system' else f'{level}/'}$export{query}",
            type=",".join(v for k, v in parameters if k == "_type") or None,
            since=dict(parameters).get("_since"),
            output_format=dict(parameters).get("_outputFormat"),
            others=sorted({k for k, _ in parameters} - _KNOWN_PARAMETERS),
            is_lenient="handling=lenient" in prefer,
        )
        ignore = servers.faults.hit(hospital, "kickoff", ("ignore_since",)) is not None
        job = await asyncio.to_thread(site.bulk.kick_off, asked, scope, ignore)
        return Response(
            status_code=202, headers={"Content-Location": f"{_base(request, hospital)}/bulkstatus/{job.id}"}
        )

    @app.api_route("/{hospital}/fhir/$export", methods=["GET", "POST"])
    async def export_system(hospital: str, request: Request) -> Response:
        return await kick_off(hospital, "system", request)

    @app.api_route("/{hospital}/fhir/Patient/$export", methods=["GET", "POST"])
    async def export_patients(hospital: str, request: Request) -> Response:
        return await kick_off(hospital, "Patient", request)

    @app.get("/{hospital}/fhir/bulkstatus/{job_id}")
    async def export_status(hospital: str, job_id: str, request: Request) -> Response:
        site = servers.site(hospital)
        await _strike(servers, hospital, "status")
        _scope(site, request)
        job = site.bulk.job(job_id)
        if servers.faults.hit(hospital, "status", ("export_failed",)) or job.state == "failed":
            raise FhirError(500, "exception", "the export has failed; start it again")
        if servers.faults.hit(hospital, "status", ("never_ending",)) or not site.bulk.is_ready(job):
            return Response(status_code=202, headers={"X-Progress": job.progress, "Retry-After": "1"})
        spoiled = {
            kind: spec for kind in MANIFEST_KINDS if (spec := servers.faults.hit(hospital, "status", (kind,)))
        }
        manifest = site.bulk.manifest(job, _base(request, hospital), spoiled)
        return JSONResponse(manifest, headers={"Expires": formatdate(job.expires, usegmt=True)})

    @app.delete("/{hospital}/fhir/bulkstatus/{job_id}")
    async def cancel_export(hospital: str, job_id: str, request: Request) -> Response:
        site = servers.site(hospital)
        _scope(site, request)
        site.bulk.cancel(job_id)
        return fhir_response(outcome("informational", "the export is cancelled", "information"), 202)

    @app.get("/{hospital}/fhir/bulkfiles/{job_id}/{number}/{name}")
    async def export_file(
        hospital: str, job_id: str, number: int, name: str, request: Request, expires: int, signature: str
    ) -> Response:
        site = servers.site(hospital)
        file = site.bulk.file(job_id, number, expires, signature)
        await _strike(servers, hospital, "download", file.type)
        spec = servers.faults.hit(hospital, "download", _DOWNLOAD_FAULTS, file.type)
        if spec is not None and spec.kind not in ("cut", "truncated"):
            _refuse_download(spec, site, job_id)
        if site.hospital.habits.requires_token:
            readable = is_allowed(_scope(site, request), file.type, "r")
            if not readable and file.type not in ("Bundle", "OperationOutcome"):
                raise FhirError(403, "forbidden", f"the token's scopes do not allow reading {file.type}")
        accepts_gzip = "gzip" in request.headers.get("accept-encoding", "")
        if spec is not None:
            return _spoiled_file(file, accepts_gzip, spec)
        return _file_response(file, accepts_gzip)


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


class _BigChunks(FileResponse):
    """A file in chunks of 1 MiB: fewer hops between threads than the default of 64 KiB."""

    chunk_size = 1 << 20


def _file_response(file: OutputFile, accepts_gzip: bool) -> Response:
    """The file as it lies there: gzip-encoded where it is packed and the client takes it. Ranges are
    honoured."""
    if file.packed is not None and accepts_gzip:
        return _BigChunks(
            file.packed, media_type=NDJSON, headers={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        )
    if file.path is not None:
        return _BigChunks(file.path, media_type=NDJSON, headers={"Vary": "Accept-Encoding"})
    return StreamingResponse(_unpacked(str(file.packed)), media_type=NDJSON)


def _unpacked(path: str) -> Iterator[bytes]:
    with gzip.open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            yield block


def _spoiled_file(file: OutputFile, accepts_gzip: bool, spec: FaultSpec) -> Response:
    """Half of a file (or ``bytes`` of it): as if it were all (truncated), or with the connection breaking off
    (cut)."""
    is_packed = file.packed is not None and (accepts_gzip or file.path is None)
    headers = {"Content-Encoding": "gzip"} if is_packed and spec.kind == "cut" else {}
    if spec.kind == "cut":
        whole = Path(str(file.packed if is_packed else file.path)).read_bytes()
        part = whole[: spec.bytes if spec.bytes is not None else len(whole) // 2]

        async def broken() -> AsyncIterator[bytes]:
            yield part
            raise ConnectionResetError("fault: the connection is cut")

        return StreamingResponse(
            broken(), media_type=NDJSON, headers={**headers, "Content-Length": str(len(whole))}
        )
    plain = Path(file.path).read_bytes() if file.path else b"".join(_unpacked(str(file.packed)))
    half = plain[: spec.bytes if spec.bytes is not None else len(plain) // 2]
    return Response(half.rstrip(b"\n"), media_type=NDJSON)


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


def _add_risk_routes(app: FastAPI, servers: Servers) -> None:
    """``RiskAssessment``: every answer carries ETag and Last-Modified's meaning in ``meta``."""

    path = "/{hospital}/fhir/RiskAssessment"

    async def admit(hospital: str, request: Request, interaction: str) -> Site:
        site = servers.site(hospital)
        await _strike(servers, hospital, "risk")
        if interaction in "cu" and servers.faults.hit(hospital, "risk", ("refuse",)):
            raise FhirError(422, "business-rule", "this hospital does not take the assessment")
        if not is_allowed(_scope(site, request), "RiskAssessment", interaction):
            raise FhirError(403, "forbidden", "the token's scopes do not allow this on RiskAssessment")
        return site

    def answer(request: Request, hospital: str, resource: dict[str, Any], status: int) -> Response:
        version = resource["meta"]["versionId"]
        location = f"{_base(request, hospital)}/RiskAssessment/{resource['id']}/_history/{version}"
        return fhir_response(resource, status, {"ETag": f'W/"{version}"', "Location": location})

    @app.post(path)
    async def create(hospital: str, request: Request) -> Response:
        site = await admit(hospital, request, "c")
        body = await asyncio.to_thread(validated, await request.body(), site.hospital.knows_patient)
        condition = request.headers.get("if-none-exist")
        resource, is_new = servers.risk.create(hospital, body, servers.now(site), condition)
        return answer(request, hospital, resource, 201 if is_new else 200)

    @app.put(path)
    async def update_where(hospital: str, request: Request) -> Response:
        site = await admit(hospital, request, "u")
        body = await asyncio.to_thread(validated, await request.body(), site.hospital.knows_patient)
        resource, is_new = servers.risk.update_where(hospital, request.url.query, body, servers.now(site))
        return answer(request, hospital, resource, 201 if is_new else 200)

    @app.put(path + "/{id_}")
    async def update(hospital: str, id_: str, request: Request) -> Response:
        site = await admit(hospital, request, "u")
        body = await asyncio.to_thread(validated, await request.body(), site.hospital.knows_patient)
        resource, is_new = servers.risk.update(
            hospital, id_, body, servers.now(site), request.headers.get("if-match")
        )
        return answer(request, hospital, resource, 201 if is_new else 200)

    @app.get(path + "/{id_}")
    async def read(hospital: str, id_: str, request: Request) -> Response:
        await admit(hospital, request, "r")
        return answer(request, hospital, servers.risk.read(hospital, id_), 200)

    @app.get(path + "/{id_}/_history/{version}")
    async def read_version(hospital: str, id_: str, version: str, request: Request) -> Response:
        await admit(hospital, request, "r")
        return answer(request, hospital, servers.risk.read(hospital, id_, version), 200)

    @app.get(path)
    async def search(hospital: str, request: Request) -> Response:
        await admit(hospital, request, "s")
        parameters = list(request.query_params.multi_items())
        return fhir_response(
            servers.risk.search(hospital, parameters, f"{_base(request, hospital)}/RiskAssessment")
        )

    @app.post(path + "/_search")
    async def search_by_form(hospital: str, request: Request) -> Response:
        await admit(hospital, request, "s")
        form = [(k, v) for k, v in (await request.form()).multi_items() if isinstance(v, str)]
        parameters = [*request.query_params.multi_items(), *form]
        return fhir_response(
            servers.risk.search(hospital, parameters, f"{_base(request, hospital)}/RiskAssessment")
        )
