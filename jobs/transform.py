"""Silver to gold: build, test, profile what came, publish, document."""

from __future__ import annotations

from typing import Any

from jobs import gold, profile
from jobs.crash import crash_here
from jobs.lake import catalog, control
from jobs.settings import settings


def run(as_of: str) -> dict[str, Any]:
    """Build and test gold from the published silver tables and publish it; counts for a task's summary.

    as_of: the run's logical instant, ISO 8601; names the publication. Nothing is published when a test fails: readers
    go on seeing the gold of the last good run. Batches without a profile get one (quality.profile). What is published
    is then documented in ``reports/dbt_docs``.
    Waits for maintenance to end. Raises CitywellError that names the model or test.
    """
    lake, target = settings().lake_dir, settings().home / "dbt" / "target"
    page = settings().home / "reports" / "dbt_docs" / "index.html"
    with (
        control.connect() as conn,
        control.lock(conn, "gold", patience_ms=control.LONG_PATIENCE_MS),
        catalog.lake_session(name="gold") as spark,
    ):
        result = gold.build(spark, lake_dir=lake, target_dir=target)
        crash_here("gold:built")
        profiled = profile.update(spark, result.versions)
        quality = {} if profiled is None else {profile.PROFILE: profiled}
        control.publish_tables(conn, "gold", as_of, {**result.versions, **quality})
        catalog.share(spark, conn)
        crash_here("gold:published")
        gold.document(spark, lake_dir=lake, target_dir=target, page=page)
    return {
        "models": len(result.models),
        "tests": len(result.tests),
        "warnings": [warning.name for warning in result.warnings],
        "versions": dict(result.versions),
        "docs": str(page),
    }
