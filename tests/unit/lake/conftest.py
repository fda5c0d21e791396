"""A control database of its own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest

from infra.stack.postgres import Cluster
from jobs.lake import control


@pytest.fixture
def new_connection(postgres: Cluster) -> Iterator[Callable[[], control.Connection]]:
    """Opens connections to an empty control database; all are closed after the test."""
    with ExitStack() as stack:

        def connection() -> control.Connection:
            return stack.enter_context(
                psycopg.connect(postgres.dsn(control.DATABASE, control.ROLE), autocommit=True)
            )

        first = connection()
        first.execute("drop schema public cascade")
        first.execute("create schema public")
        control.migrate(first)
        yield connection


@pytest.fixture
def conn(new_connection: Callable[[], control.Connection]) -> control.Connection:
    """One connection to an empty control database."""
    return new_connection()
