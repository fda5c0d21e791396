"""A serving database of its own for each test, and connections in each role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest

from infra.stack.postgres import Cluster
from jobs.writeback import serving

Connect = Callable[[str], serving.Connection]


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
