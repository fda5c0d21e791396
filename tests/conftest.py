"""Fixtures that several kinds of tests share: servers of the test run, and a lake of a module's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.engine import sail, spark
from infra.engine.launch import Engine
from infra.stack.postgres import Cluster, throwaway
from jobs.settings import settings
from tests.support.airflow import Airflow, running_airflow
from tests.support.lake import TestLake, use_home

APACHE_SPARK = pytest.param("spark", marks=pytest.mark.spark)
SLOW_ON_SPARK = pytest.param("spark", marks=[pytest.mark.spark, pytest.mark.slow])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server of this test run, with all roles and databases."""
    with throwaway() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def sail_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A Sail of this test run."""
    with sail.running_sail(tmp_path_factory.mktemp("sail")) as engine:
        yield engine


@pytest.fixture(scope="session")
def spark_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An Apache Spark of this test run; without Java and Maven its tests are skipped, in CI they fail."""
    if missing := spark.missing_tools():
        message = f"the Apache Spark engine needs {' and '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with spark.running_spark(tmp_path_factory.mktemp("spark")) as engine:
        yield engine


@pytest.fixture(scope="module", params=["sail"])
def lake(
    request: pytest.FixtureRequest, postgres: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestLake]:
    """An empty lake of the module's own, on Sail; ``@pytest.mark.parametrize("lake", …, indirect=True)`` for both."""
    engine: Engine = request.getfixturevalue(f"{request.param}_engine")
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield use_home(monkeypatch, tmp_path_factory.mktemp("home"), postgres, engine.remote)
    settings.cache_clear()


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """An Airflow of this test run, with the DAGs of dags/."""
    with running_airflow(tmp_path_factory.mktemp("airflow")) as airflow:
        yield airflow


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of ``request.param``, such as ``2m``."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(place)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
