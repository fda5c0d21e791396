"""A small city made once; tests that move its clock or write to it work on a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.city.city import City
from infra.city.options import Options
from infra.city.web import Servers
from tests.unit.city.served import Client, register_keys, served

SMALL = Options(population=300, years=1.0, admission_factor=4.0)


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the small city and registered keys. Read only."""
    home = tmp_path_factory.mktemp("home")
    City.open(home / "city", SMALL).close()
    register_keys(home)
    return home


@pytest.fixture
def home(made_home: Path, tmp_path: Path) -> Path:
    """A copy of the small city, the test's own."""
    return Path(shutil.copytree(made_home, tmp_path / "home"))


@pytest.fixture
def city(home: Path) -> Iterator[City]:
    opened = City.open(home / "city", SMALL)
    yield opened
    opened.close()


@pytest.fixture
def servers(home: Path, city: City) -> Iterator[Servers]:
    with served(home, city) as running:
        yield running


@pytest.fixture
def client(home: Path, servers: Servers) -> Callable[..., Client]:
    """``client("north")``: a signed-in client of a hospital; keywords as of ``Client``."""
    return lambda hospital, **kw: Client(servers, home, hospital, **kw)
