"""Databases of their own for each test, and a hospital to write back to."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from infra.stack.postgres import Cluster, free_port
from jobs.extract.smart_auth import ensure_key
from jobs.identity import vault
from jobs.settings import settings
from jobs.writeback import serving

Connect = Callable[[str], serving.Connection]
SOURCE = "hospital_given"
PATIENTS = 60


@pytest.fixture
def serving_as(postgres: Cluster) -> Iterator[Connect]:
    """Opens a connection to an empty serving database in the role named."""
    with psycopg.connect(postgres.dsn("serving", serving.OWNER_ROLE), autocommit=True) as owner:
        owner.execute("drop schema if exists serving cascade")
        serving.migrate(owner)
    with ExitStack() as stack:
        yield lambda role: stack.enter_context(
            psycopg.connect(postgres.dsn("serving", role), autocommit=True)
        )


@pytest.fixture
def control_conn(postgres: Cluster) -> Iterator[psycopg.Connection[Any]]:
    """The control database, nothing written back yet."""
    with psycopg.connect(postgres.dsn("control", "control"), autocommit=True) as conn:
        conn.execute("drop table if exists writeback")
        yield conn


@pytest.fixture
def vault_conn(postgres: Cluster) -> Iterator[vault.Connection]:
    """The jobs' connection to an empty vault."""
    with psycopg.connect(postgres.dsn("vault", vault.OWNER_ROLE), autocommit=True) as owner:
        owner.execute("drop schema if exists vault cascade")
        vault.migrate(owner)
    with psycopg.connect(postgres.dsn("vault", vault.CLIENT_ROLE)) as conn:
        yield conn


@dataclass(frozen=True)
class Simulator:
    """A hospital of the city simulator with the patients ``p0`` … and what it can be made to do wrong."""

    url: str
    home: Path

    def fault(self, **spec: Any) -> None:
        httpx.post(f"{self.url}/city/faults", json=spec, trust_env=False).raise_for_status()

    def mend(self) -> None:
        httpx.delete(f"{self.url}/city/faults", trust_env=False).raise_for_status()


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """The simulator on a free port, serving a small directory as ``hospital_given``."""
    home = tmp_path_factory.mktemp("hospital")
    ensure_key(home / "keys" / f"fhir_{SOURCE}.pem", "RS384")
    data = home / "data"
    data.mkdir()
    lines = (f'{{"resourceType":"Patient","id":"p{n}"}}\n' for n in range(PATIENTS))
    (data / "Patient.ndjson").write_text("".join(lines))
    port = free_port()
    command = [sys.executable, "-m", "infra.city", "serve", "--only-given", "--hospital-data", str(data)]
    log = (home / "log").open("wb")
    process = subprocess.Popen(
        [*command, "--home", str(home), "--port", str(port)], stdout=log, stderr=subprocess.STDOUT
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{url}/given/fhir/metadata", process, home / "log")
        yield Simulator(url, home)
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


@pytest.fixture
def hospital(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """The simulator, faultless, with the settings pointing at it."""
    monkeypatch.setenv("CITYWELL_HOME", str(simulator.home))
    monkeypatch.setenv("CITYWELL_CITY_PORT", simulator.url.rpartition(":")[2])
    settings.cache_clear()
    simulator.mend()
    yield simulator
    simulator.mend()
    settings.cache_clear()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the simulator did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)
