"""Silver to gold: build, test, publish."""

from __future__ import annotations

from typing import Any

from jobs import gold
from jobs.lake import catalog, control
from jobs.settings import settings


def run(as_of: str) -> dict[str, Any]:
    """Build and test gold from the published silver tables and publish it; counts for a task's summary.

    as_of: the run's logical instant, ISO 8601; names the publication. Nothing is published when a test fails: readers
    go on seeing the gold of the last good run. Raises CitywellError that names the model or test.
    """
    with control.connect() as conn, control.lock(conn, "gold"):
        with catalog.lake_session() as spark:
            result = gold.build(
                spark, lake_dir=settings().lake_dir, target_dir=settings().home / "dbt" / "target"
            )
        control.publish_tables(conn, "gold", as_of, result.versions)
    return {
        "models": len(result.models),
        "tests": len(result.tests),
        "warnings": [warning.name for warning in result.warnings],
        "versions": dict(result.versions),
    }
