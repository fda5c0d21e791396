"""A hospital under control that the whole ingest runs against, and what kills a job in the middle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs import ingest
from jobs.extract.smart_auth import ensure_key
from jobs.settings import settings
from tests.support.kills import Killer, running_killer
from tests.support.lake import TestLake, use_home
from tests.unit.extract.bulk_server import BulkServer, FakeClock, running

NORTH = "hospital_north"
KEY = f"fhir_{NORTH}"


class RealClock(FakeClock):
    """The clock that other processes see too."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True)
class Hospital:
    """``lake`` ingests what ``server``, the endpoint ``hospital_north``, exports."""

    lake: TestLake
    server: BulkServer

    def ingest(self, as_of: str) -> dict[str, Any]:
        return ingest.ingest(NORTH, as_of)


@pytest.fixture(scope="session")
def north_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key we sign in with, made once: an RSA key takes a while."""
    directory = tmp_path_factory.mktemp("north_keys")
    ensure_key(directory / f"{KEY}.pem", "RS384")
    return directory


@contextmanager
def opened_hospital(home: Path, postgres: Cluster, remote: str, keys: Path) -> Iterator[Hospital]:
    """An empty lake below ``home`` and a server that exports nothing yet."""
    with running(RealClock()) as server, pytest.MonkeyPatch.context() as monkeypatch:
        lake = use_home(monkeypatch, home, postgres, remote)
        for file in keys.iterdir():
            (home / "keys" / file.name).symlink_to(file)
        server.jwks = json.loads((keys / f"{KEY}.jwks.json").read_text())["keys"]
        port = urlsplit(server.base_url).port
        monkeypatch.setenv("CITYWELL_CITY_PORT", str(port))
        settings.cache_clear()
        yield Hospital(lake, server)
    settings.cache_clear()


@pytest.fixture
def hospital(tmp_path: Path, postgres: Cluster, sail_engine: Engine, north_keys: Path) -> Iterator[Hospital]:
    """An empty lake on Sail and a server that exports nothing yet."""
    with opened_hospital(tmp_path / "home", postgres, sail_engine.remote, north_keys) as hospital:
        yield hospital


@pytest.fixture(scope="session")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    """What runs jobs that die in the middle."""
    with running_killer(tmp_path_factory.mktemp("killed")) as killer:
        yield killer
