"""The ASGI application: the routes, what errors look like, and each hospital's own clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.city.faults import FaultBook
from infra.city.outcomes import FhirError
from infra.city.smart import AuthError
from infra.city.web.export import add_export_routes
from infra.city.web.open_data import add_open_data_routes
from infra.city.web.risk import add_risk_routes
from infra.city.web.servers import Servers
from infra.city.web.sign_in import add_sign_in_routes
from infra.city.web.steering import add_steering_routes
from infra.city.web.wearables import add_wearables_routes


def make_app(servers: Servers) -> FastAPI:
    """The ASGI application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if servers.post is not None:
            await asyncio.to_thread(servers.post.start)
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
    add_steering_routes(app, servers)
    add_sign_in_routes(app, servers)
    add_export_routes(app, servers)
    add_risk_routes(app, servers)
    add_wearables_routes(app, servers)
    add_open_data_routes(app, servers)
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
