"""A vault of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from jobs.identity import vault


@pytest.fixture
def vault_owner(postgres: Any) -> Iterator[vault.Connection]:
    """The owner of an empty vault."""
    with psycopg.connect(postgres.dsn("vault", vault.OWNER_ROLE), autocommit=True) as conn:
        conn.execute("drop schema if exists vault cascade")
        vault.migrate(conn)
        yield conn


@pytest.fixture
def vault_client(postgres: Any, vault_owner: vault.Connection) -> Iterator[vault.Connection]:
    """The jobs' connection to that vault."""
    conn = psycopg.connect(postgres.dsn("vault", vault.CLIENT_ROLE))
    yield conn
    conn.close()
