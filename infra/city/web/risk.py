"""Routes of ``RiskAssessment``: create, update, read and search."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from infra.city.outcomes import FhirError, fhir_response
from infra.city.risk_assessment import validated
from infra.city.smart import is_allowed
from infra.city.web.servers import Servers, Site, base, scope_of, strike


def add_risk_routes(app: FastAPI, servers: Servers) -> None:
    """``RiskAssessment``: every answer carries ETag and Last-Modified's meaning in ``meta``."""

    path = "/{hospital}/fhir/RiskAssessment"

    async def admit(hospital: str, request: Request, interaction: str) -> Site:
        site = servers.site(hospital)
        await strike(servers, hospital, "risk")
        if interaction in "cu" and servers.faults.hit(hospital, "risk", ("refuse",)):
            raise FhirError(422, "business-rule", "this hospital does not take the assessment")
        if not is_allowed(scope_of(site, request), "RiskAssessment", interaction):
            raise FhirError(403, "forbidden", "the token's scopes do not allow this on RiskAssessment")
        return site

    def answer(request: Request, hospital: str, resource: dict[str, Any], status: int) -> Response:
        version = resource["meta"]["versionId"]
        location = f"{base(request, hospital)}/RiskAssessment/{resource['id']}/_history/{version}"
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
            servers.risk.search(hospital, parameters, f"{base(request, hospital)}/RiskAssessment")
        )

    @app.post(path + "/_search")
    async def search_by_form(hospital: str, request: Request) -> Response:
        await admit(hospital, request, "s")
        form = [(k, v) for k, v in (await request.form()).multi_items() if isinstance(v, str)]
        parameters = [*request.query_params.multi_items(), *form]
        return fhir_response(
            servers.risk.search(hospital, parameters, f"{base(request, hospital)}/RiskAssessment")
        )
