"""The two write-backs as an orchestrator calls them: summaries of counts, no row values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from jobs.errors import CitywellError
from jobs.identity import vault
from jobs.lake import catalog, control, tables
from jobs.sources import load_all
from jobs.writeback import fhir, serving

SCORES = "scores.risk"


def to_serving(run_id: str) -> dict[str, Any]:
    """Load the newest scores into ``serving.risk``; ``{"scores": 0}`` when nobody has been scored yet."""
    with control.connect() as conn:
        versions = control.current_versions(conn)
    if SCORES not in versions:
        return {"scores": 0}
    with catalog.lake_session() as spark:
        scores = serving.newest(spark)
    if not scores.num_rows:
        return {"scores": 0}
    with serving.connect() as conn:
        serving.migrate(conn)
        result = serving.load(conn, scores, run_id=run_id, data_versions=versions)
    return {"scores": scores.num_rows, **asdict(result)}


def to_hospitals(run_id: str) -> dict[str, Any]:
    """Send the newest scores to the hospitals their people came from; refusals stay queued for the next run.

    One hospital's trouble does not keep the others from theirs; it is raised at the end.
    """
    if not tables.exists(SCORES):
        return {}
    sent: dict[str, Any] = {}
    troubles: list[CitywellError] = []
    with catalog.lake_session() as spark, control.connect() as conn, vault.connect() as vault_conn:
        fhir.migrate(conn)
        for source in (name for definition in load_all().values() for name in definition.endpoints):
            scores = fhir.newest(spark, source)
            if not scores:
                continue
            try:
                result = fhir.write_back(source, scores, conn=conn, vault_conn=vault_conn, run_id=run_id)
            except CitywellError as trouble:
                troubles.append(trouble)
            else:
                sent[source] = asdict(result)
    if troubles:
        raise troubles[0]
    return sent
