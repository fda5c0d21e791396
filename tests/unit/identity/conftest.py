"""A vault of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from infra.stack.postgres import Cluster
from jobs.identity import vault
from tests.unit.identity.described import others, register


@pytest.fixture
def vault_owner(postgres: Cluster) -> Iterator[vault.Connection]:
    """The owner of an empty vault."""
    with psycopg.connect(postgres.dsn("vault", vault.OWNER_ROLE), autocommit=True) as conn:
        conn.execute("drop schema if exists vault cascade")
        vault.migrate(conn)
        yield conn


@pytest.fixture
def vault_client(postgres: Cluster, vault_owner: vault.Connection) -> Iterator[vault.Connection]:
    """The jobs' connection to that vault."""
    conn = psycopg.connect(postgres.dsn("vault", vault.CLIENT_ROLE))
    yield conn
    conn.close()


@pytest.fixture
def vault_linker(postgres: Cluster, vault_owner: vault.Connection) -> Iterator[vault.Connection]:
    """Linkage's connection to that vault."""
    with psycopg.connect(postgres.dsn("vault", vault.LINKER_ROLE), autocommit=True) as conn:
        yield conn


@pytest.fixture
def people(vault_client: vault.Connection) -> vault.Connection:
    """The jobs' connection to a vault of 300 people who are nobody else."""
    register(vault_client, others())
    return vault_client
