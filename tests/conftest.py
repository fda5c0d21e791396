"""Fixtures that several kinds of tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.stack.postgres import Cluster, throwaway


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server of this test run, with all roles and databases."""
    with throwaway() as cluster:
        yield cluster
