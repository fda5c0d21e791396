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
    their batch is published. Before anything is removed from a table, its files are checked: what can be derived from
    its log is mended, and a table with other damage is left as it is. Waits for the work that writes the same tables.
    Raises CitywellError when that takes too long, and, when all is done, for the tables that are damaged. now: the wall
    clock's time, by which files age.
    """
    with control.connect() as conn:
        control.migrate(conn)
        with ExitStack() as locks:
            for name in (*(f"merge {source}" for source in load_all()), "gold"):
                locks.enter_context(control.lock(conn, name, patience_ms=control.LONG_PATIENCE_MS))
            published = control.current_versions(conn)
            damages: list[tables.Damage] = []
            for number, (name, version) in enumerate(sorted(published.items()), 1):
                log.info("maintaining %s (%d of %d)", name, number, len(published))
                left = _mended(name, version)
                damages += left
                if not left:
                    tables.retrying(partial(tables.maintain, name, keep_versions=[version]))
        unpublished = [batch.batch_id for batch in control.unpublished(conn)]
    expired = landing.expire(
        settings().landing_dir, settings().landing_retention_days, now=now, keep=unpublished
    )
    if damages:
        raise tables.damaged(damages)
    return {"tables": len(published), "landed_files_expired": len(expired)}


def _mended(table: str, version: int) -> list[tables.Damage]:
    """The damage of ``table`` that is left once what can be mended is."""
    for _ in range(2):
        found = tables.check(table, [version])
        if not any(damage.is_derived for damage in found):
            break
        for damage in set(found) - set(tables.mend(found)):
            log.warning("mended: %s", damage)
    return found
