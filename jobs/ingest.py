"""One endpoint's records into the lake, in the two steps an orchestrator retries one by one: extract, then load."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from jobs.errors import CitywellError
from jobs.extract import fhir_bulk
from jobs.lake import control
from jobs.lake import load as lake_load
from jobs.sources import find_endpoint

log = logging.getLogger(__name__)

OUTCOMES = ("received", "published", "superseded", "duplicate", "deleted", "unmodelled", "quarantined")


def extract(endpoint_name: str, as_of: str) -> dict[str, Any]:
    """Land one export of ``endpoint_name`` for the logical instant ``as_of`` (ISO 8601).

    Returns batch_id, files, whether it is complete, and its findings in words. A batch that has gone further stays as
    it is. Raises CitywellError as ``fhir_bulk.extract`` does; the batch is then marked failed, and a re-run goes on
    with the same export.
    """
    _, endpoint = find_endpoint(endpoint_name)
    with control.connect() as conn:
        control.migrate(conn)
        with control.source_lock(conn, endpoint_name):
            batch = control.open_batch(
                conn, endpoint_name, _instant(as_of), use_since=endpoint.supports_since
            )
            if batch.status in ("staged", "checked", "judged", "published"):
                return {"batch_id": batch.batch_id, "files": 0, "complete": True, "findings": []}
            try:
                result = fhir_bulk.extract(conn, endpoint, batch)
            except CitywellError as error:
                control.mark_failed(conn, batch.batch_id, stage="extract", what=error.what, where=error.where)
                raise
    findings = [finding.message for finding in result.findings]
    for finding in findings:
        log.warning("%s: %s", batch.batch_id, finding)
    return {
        "batch_id": batch.batch_id,
        "files": len(result.files),
        "complete": result.complete,
        "findings": findings,
    }


def load(batch_id: str) -> dict[str, Any]:
    """Load a landed batch; batch_id, source and the sums of its receipts."""
    loaded = lake_load.load(batch_id)
    sums: Counter[str] = Counter()
    for receipt in loaded.receipts:
        sums.update({name: getattr(receipt, name) for name in OUTCOMES})
    return {"batch_id": batch_id, "source": loaded.source, **{name: sums[name] for name in OUTCOMES}}


def ingest(endpoint_name: str, as_of: str) -> dict[str, Any]:
    """Extract and load."""
    landed = extract(endpoint_name, as_of)
    return {**load(landed["batch_id"]), "complete": landed["complete"], "findings": landed["findings"]}


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CitywellError(
            "The instant is not ISO 8601", where="as_of", do="write it as 2026-01-31T04:30:00Z"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
