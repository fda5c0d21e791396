"""The two engines, and a lake in a temporary directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from infra.engine.launch import Engine
from jobs.lake.engine import session
from tests.conftest import APACHE_SPARK


@pytest.fixture(scope="session", params=["sail", APACHE_SPARK])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine of the test run in turn."""
    return request.getfixturevalue(f"{request.param}_engine")


@pytest.fixture(scope="session")
def spark(engine: Engine) -> Iterator[SparkSession]:
    """One session on ``engine``."""
    with session(engine.remote) as spark:
        yield spark


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"
