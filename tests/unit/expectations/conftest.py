"""An engine of its own, started once for the tests of this directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession

from jobs.lake import engine


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A session on Sail, inside this process and on a free port."""
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    host, port = server.listening_address
    with engine.session(f"sc://{host}:{port}") as session:
        yield session
    server.stop()
