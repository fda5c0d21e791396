"""A bulk data server under control, a registered key, and a control database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from bulk_server import BulkServer, FakeClock, running

from infra.stack.postgres import Cluster
from jobs.extract import fhir_bulk
from jobs.extract.fhir_bulk import ExtractResult, Places
from jobs.extract.smart_auth import ensure_key, public_jwk
from jobs.lake import control, landing
from jobs.sources import Endpoint, SmartSignIn

AS_OF = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)


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


@pytest.fixture
def server(clock: FakeClock, keys_dir: Path) -> Iterator[BulkServer]:
    """A server that knows our keys."""
    with running(clock) as server:
        for name, alg in (("north", "RS384"), ("harbour", "ES384")):
            server.jwks.append(public_jwk(ensure_key(keys_dir / f"fhir_{name}.pem", alg)))  # type: ignore[arg-type]
        yield server


@pytest.fixture
def endpoint(server: BulkServer) -> Endpoint:
    """The server as a source definition would declare it."""
    return Endpoint(
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


@dataclass
class Installation:
    """What ``extract`` needs, and ways to look at what it left behind."""

    conn: control.Connection
    endpoint: Endpoint
    places: Places
    clock: FakeClock

    def extract(self, as_of: datetime = AS_OF) -> ExtractResult:
        """One run of the extract task."""
        with control.source_lock(self.conn, self.endpoint.name):
            batch = control.open_batch(
                self.conn, self.endpoint.name, as_of, use_since=self.endpoint.supports_since
            )
            return fhir_bulk.extract(
                self.conn, self.endpoint, batch, places=self.places, clock=self.clock.clock()
            )

    def publish(self, result: ExtractResult) -> None:
        control.publish(self.conn, result.batch_id, {}, [], result.watermark)

    def content(self, result: ExtractResult, file: str) -> bytes:
        return b"".join(landing.read_frames(result.directory / file, self.places.landing_key()))

    def contents(self, result: ExtractResult) -> dict[str, bytes]:
        return {file.file: self.content(result, file.file) for file in result.files}

    def on_disk(self) -> list[str]:
        """Names below the landing, manifests aside."""
        paths = self.places.landing_dir.rglob("*")
        return sorted(p.name for p in paths if p.is_file() and p.name != landing.MANIFEST)

    def job(self) -> control.ExportJob:
        job = control.last_job(self.conn, control.batch_id(self.endpoint.name, AS_OF))
        assert job is not None
        return job

    def with_endpoint(self, change: Callable[[Endpoint], Endpoint]) -> Installation:
        return Installation(self.conn, change(self.endpoint), self.places, self.clock)


@pytest.fixture
def north(
    conn: control.Connection, endpoint: Endpoint, keys_dir: Path, tmp_path: Path, clock: FakeClock
) -> Installation:
    """An installation with one endpoint."""
    return Installation(conn, endpoint, Places(tmp_path / "landing", keys_dir), clock)
