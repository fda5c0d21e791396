"""pytest fixtures of the stack, loaded by ``addopts = -p infra.stack.testing`` in pyproject.toml."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.stack.postgres import Cluster, throwaway


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """One throw-away PostgreSQL for the session, with all roles and databases, all empty.

    ``postgres.dsn("control", "control")`` connects; ``infra.stack.postgres.recreate(postgres, "control")``
    empties; ``postgres.environment()`` are the settings that make ``jobs.settings`` point at it.
    """
    with throwaway() as cluster:
        yield cluster
