"""Routes of the city's clock, its advance and the faults, below ``/city``; they answer to loopback addresses alone."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from infra.city.outcomes import FhirError
from infra.city.pharmacies.corner import Drift, set_drift
from infra.city.web.servers import Servers

LOOPBACK = ("127.0.0.1", "::1")


def add_steering_routes(app: FastAPI, servers: Servers) -> None:
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
            "messages": servers.post.outbox.status() if servers.post else {},
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
            if servers.post is not None:
                await asyncio.to_thread(servers.post.collect)
        except OSError as error:
            words = f"a day could not be written: {error.strerror}; the clock stays at {servers.city.now}"
            return JSONResponse({"error": words}, 507)
        return JSONResponse({"now": servers.city.now})

    @app.post("/city/drift", dependencies=loopback)
    async def drift(request: Request) -> Response:
        try:
            asked = msgspec.json.decode(await request.body(), type=Drift)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        if servers.city is None:
            return JSONResponse({"error": "there are no pharmacies beside a directory of records"}, 400)
        return JSONResponse(set_drift(servers.city.root, asked))

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
