"""Routes of what is written to the hospitals: create, update, read and search."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from infra.city.outcomes import FhirError, fhir_response
from infra.city.risk_assessment import WrittenResources, validated, validated_observation
from infra.city.smart import is_allowed
from infra.city.web.servers import Servers, Site, base, scope_of, strike


def add_risk_routes(app: FastAPI, servers: Servers) -> None:
    """``RiskAssessment`` of patients, and ``Observation`` of organizations."""

    def assessment(site: Site, raw: bytes) -> dict[str, Any]:
        return validated(raw, site.hospital.knows_patient)

    def observation(site: Site, raw: bytes) -> dict[str, Any]:
        return validated_observation(raw)

    _add_routes(app, servers, servers.risk, "risk", assessment)
    _add_routes(app, servers, servers.observations, "observation", observation)


def _add_routes(
    app: FastAPI,
    servers: Servers,
    store: WrittenResources,
    place: str,
    valid: Callable[[Site, bytes], dict[str, Any]],
) -> None:
    """Every answer carries ETag and Last-Modified's meaning in ``meta``. place: where faults strike. valid: the
    resource of a request body."""

    path = f"/{{hospital}}/fhir/{store.type}"

    async def admit(hospital: str, request: Request, interaction: str) -> Site:
        site = servers.site(hospital)
        await strike(servers, hospital, place)
        if interaction in "cu" and servers.faults.hit(hospital, place, ("refuse",)):
            raise FhirError(422, "business-rule", f"this hospital does not take the {store.type}")
        if not is_allowed(scope_of(site, request), store.type, interaction):
            raise FhirError(403, "forbidden", f"the token's scopes do not allow this on {store.type}")
        return site

    def answer(request: Request, hospital: str, resource: dict[str, Any], status: int) -> Response:
        version = resource["meta"]["versionId"]
        location = f"{base(request, hospital)}/{store.type}/{resource['id']}/_history/{version}"
        return fhir_response(resource, status, {"ETag": f'W/"{version}"', "Location": location})

    @app.post(path)
    async def create(hospital: str, request: Request) -> Response:
        site = await admit(hospital, request, "c")
        body = await asyncio.to_thread(valid, site, await request.body())
        condition = request.headers.get("if-none-exist")
        resource, is_new = store.create(hospital, body, servers.now(site), condition)
        return answer(request, hospital, resource, 201 if is_new else 200)

    @app.put(path)
    async def update_where(hospital: str, request: Request) -> Response:
        site = await admit(hospital, request, "u")
        body = await asyncio.to_thread(valid, site, await request.body())
        resource, is_new = store.update_where(hospital, request.url.query, body, servers.now(site))
        return answer(request, hospital, resource, 201 if is_new else 200)

    @app.put(path + "/{id_}")
    async def update(hospital: str, id_: str, request: Request) -> Response:
        site = await admit(hospital, request, "u")
        body = await asyncio.to_thread(valid, site, await request.body())
        resource, is_new = store.update(
            hospital, id_, body, servers.now(site), request.headers.get("if-match")
        )
        return answer(request, hospital, resource, 201 if is_new else 200)

    @app.get(path + "/{id_}")
    async def read(hospital: str, id_: str, request: Request) -> Response:
        await admit(hospital, request, "r")
        return answer(request, hospital, store.read(hospital, id_), 200)

    @app.get(path + "/{id_}/_history/{version}")
    async def read_version(hospital: str, id_: str, version: str, request: Request) -> Response:
        await admit(hospital, request, "r")
        return answer(request, hospital, store.read(hospital, id_, version), 200)

    @app.get(path)
    async def search(hospital: str, request: Request) -> Response:
        await admit(hospital, request, "s")
        parameters = list(request.query_params.multi_items())
        return fhir_response(store.search(hospital, parameters, f"{base(request, hospital)}/{store.type}"))

    @app.post(path + "/_search")
    async def search_by_form(hospital: str, request: Request) -> Response:
        await admit(hospital, request, "s")
        form = [(k, v) for k, v in (await request.form()).multi_items() if isinstance(v, str)]
        parameters = [*request.query_params.multi_items(), *form]
        return fhir_response(store.search(hospital, parameters, f"{base(request, hospital)}/{store.type}"))
