"""A session on the engine of the test run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from infra.engine.launch import Engine
from jobs.lake import engine


@pytest.fixture(scope="session")
def spark(sail_engine: Engine) -> Iterator[SparkSession]:
    """A session on Sail."""
    with engine.session(sail_engine.remote) as session:
        yield session
