"""Empty cities to fill."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.engine.launch import Engine
from tests.unit.dbt.city import City, a_city


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all modules, so that dbt parses its project once."""
    return tmp_path_factory.mktemp("city")


@pytest.fixture(scope="module")
def city(sail_engine: Engine, home: Path) -> Iterator[City]:
    """An empty city on Sail, one a test module."""
    shutil.rmtree(home / "lake", ignore_errors=True)
    with a_city(sail_engine, home) as made:
        yield made
