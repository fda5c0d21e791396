"""One Sail session for the module tests of ``ml``, and an MLflow of their own."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from infra.engine.launch import Engine
from jobs.lake import engine
from tests.support.mlflow import tracking_store


@pytest.fixture(scope="session")
def spark(sail_engine: Engine) -> Iterator[SparkSession]:
    with engine.session(sail_engine.remote) as session:
        yield session


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tracking_store(
        tmp_path_factory.mktemp("mlflow"), "readmission_30d", "emergency_90d", "toy", "admission_180d"
    )


@pytest.fixture
def unused_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
