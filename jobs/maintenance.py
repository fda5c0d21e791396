"""Keeping the lake small and quick: compact tables, drop what no version in use needs, expire landed files."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from typing import Any

from jobs.lake import control, landing, tables
from jobs.settings import settings
from jobs.sources import load_all

log = logging.getLogger(__name__)


def run(now: datetime) -> dict[str, Any]:
    """Maintain every published table and expire landed files; what was done, for a task's summary.

    Rows stay as they are, and so does the version that readers see; earlier ones can be read for another
    ``tables.RETENTION_HOURS``. Landed files go when they are older than the setting ``landing_retention_days`` and
    their batch is published. Waits for the work that writes the same tables; raises CitywellError when that takes too
    long. now: the wall clock's time, by which files age.
    """
    with control.connect() as conn:
        control.migrate(conn)
        with ExitStack() as locks:
            for name in (*(f"merge {source}" for source in load_all()), "gold"):
                locks.enter_context(control.lock(conn, name, patience_ms=control.LONG_PATIENCE_MS))
            published = control.current_versions(conn)
            for number, (name, version) in enumerate(sorted(published.items()), 1):
                log.info("maintaining %s (%d of %d)", name, number, len(published))
                tables.retrying(partial(tables.maintain, name, keep_versions=[version]))
        unpublished = [batch.batch_id for batch in control.unpublished(conn)]
    expired = landing.expire(
        settings().landing_dir, settings().landing_retention_days, now=now, keep=unpublished
    )
    return {"tables": len(published), "landed_files_expired": len(expired)}
