"""Brings the tables of Citywell's own databases to this version, each as its owner, once PostgreSQL answers."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from infra.stack.postgres import Cluster, provision


def provision_all(cluster: Cluster) -> None:
    """Roles, databases, and the tables in them. Changes nothing the second time."""
    from jobs.identity import vault
    from jobs.lake import control
    from jobs.writeback import fhir, forecasts, serving

    provision(cluster)
    migrations: list[tuple[str, Callable[[psycopg.Connection], None]]] = [
        ("control", control.migrate),
        ("control", fhir.migrate),
        ("vault", vault.migrate),
        ("serving", serving.migrate),
        ("serving", forecasts.migrate),
    ]
    for database, migrate in migrations:
        with psycopg.connect(cluster.dsn(database, database), autocommit=True) as conn:
            migrate(conn)
