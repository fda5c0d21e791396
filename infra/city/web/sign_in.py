"""Routes before an export: SMART configuration, CapabilityStatement and token."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from infra.city.capability import capability_statement
from infra.city.outcomes import fhir_response
from infra.city.web.servers import Servers, base, strike


def add_sign_in_routes(app: FastAPI, servers: Servers) -> None:
    @app.get("/{hospital}/fhir/.well-known/smart-configuration")
    async def smart_configuration(hospital: str, request: Request) -> Response:
        site = servers.site(hospital)
        await strike(servers, hospital, "configuration")
        return JSONResponse(site.smart.configuration(base(request, hospital)))

    @app.get("/{hospital}/fhir/metadata")
    async def metadata(hospital: str, request: Request) -> Response:
        site = servers.site(hospital)
        await strike(servers, hospital, "metadata")
        types = site.hospital.types(site.hospital.snapshot())
        return fhir_response(
            capability_statement(site.hospital.habits, types, base(request, hospital), servers.now(site))
        )

    @app.post("/{hospital}/fhir/auth/token")
    async def token(hospital: str, request: Request) -> Response:
        site = servers.site(hospital)
        await strike(servers, hospital, "token")
        form = {k: v for k, v in (await request.form()).items() if isinstance(v, str)}
        granted = site.smart.grant(form, f"{base(request, hospital)}/auth/token")
        return JSONResponse(granted, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})
