"""A bulk data server under control, a registered key, and a control database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bulk_installation import Installation
from bulk_server import BulkServer, FakeClock, running

from infra.stack.postgres import Cluster
from jobs.extract.delivery import Places
from jobs.extract.smart_auth import ensure_key
from jobs.lake import control
from jobs.sources import FhirEndpoint, SmartSignIn


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys, made once: an RSA key takes a while."""
    directory = tmp_path_factory.mktemp("keys")
    ensure_key(directory / "fhir_north.pem", "RS384")
    ensure_key(directory / "fhir_harbour.pem", "ES384")
    return directory


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def registered_keys(keys_dir: Path) -> list[dict[str, Any]]:
    """What the hospital has registered for us."""
    return [
        key for path in sorted(keys_dir.glob("*.jwks.json")) for key in json.loads(path.read_text())["keys"]
    ]


@pytest.fixture
def server(clock: FakeClock, registered_keys: list[dict[str, Any]]) -> Iterator[BulkServer]:
    """A server that knows our keys."""
    with running(clock) as server:
        server.jwks = registered_keys
        yield server


@pytest.fixture
def endpoint(server: BulkServer) -> FhirEndpoint:
    """The server as a source definition would declare it."""
    return FhirEndpoint(
        protocol="fhir_bulk",
        name="north",
        description="A hospital under control.",
        base_url=server.base_url,
        auth=SmartSignIn(method="smart", client_id="citywell", alg="RS384"),
        time_zone="Europe/Berlin",
    )


@pytest.fixture
def conn(postgres: Cluster) -> Iterator[control.Connection]:
    """An empty control database."""
    with psycopg.connect(postgres.dsn(control.DATABASE, control.ROLE), autocommit=True) as conn:
        conn.execute("drop schema public cascade")
        conn.execute("create schema public")
        control.migrate(conn)
        yield conn


@pytest.fixture
def north(
    conn: control.Connection, endpoint: FhirEndpoint, keys_dir: Path, tmp_path: Path, clock: FakeClock
) -> Installation:
    """An installation with one endpoint."""
    return Installation(conn, endpoint, Places(tmp_path / "landing", keys_dir), clock)
