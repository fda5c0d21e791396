"""A table over time: its history, and keeping it small."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deltalake.exceptions import CommitFailedError

from jobs.lake import deletion_vectors
from jobs.lake.tables.names import path_of
from jobs.lake.tables.reading import LOG_RETENTION_DAYS, open_table
from jobs.lake.tables.writing import lost

RETENTION_HOURS = 7 * 24


@dataclass(frozen=True)
class Commit:
    """One version of a table, newest first in :func:`history`."""

    version: int
    at: datetime
    operation: str
    metrics: Mapping[str, Any] = field(default_factory=dict)


def history(table: str, lake: Path | None = None) -> list[Commit]:
    """The table's commits that its log still holds, newest first."""
    return [
        Commit(
            version=entry["version"],
            at=datetime.fromtimestamp(entry["timestamp"] / 1000, UTC),
            operation=entry.get("operation", ""),
            metrics=entry.get("operationMetrics") or {},
        )
        for entry in open_table(table, lake).history()
    ]


def maintain(
    table: str,
    *,
    keep_versions: Sequence[int] = (),
    retention_hours: int = RETENTION_HOURS,
    lake: Path | None = None,
) -> int:
    """Compact small files, remove files unused for ``retention_hours``, write a checkpoint, drop old log files.

    keep_versions: published versions that must stay readable whatever their age; while one is older than half of what
    the log is kept, its log stays whole. Returns the version afterwards; rows are the same. Raises LostRace when a
    writer committed first; neither lost anything.
    """
    handle = open_table(table, lake)
    try:
        handle.optimize.compact()
    except CommitFailedError as error:
        raise lost(table) from error
    unused = handle.vacuum(
        retention_hours=retention_hours,
        dry_run=True,
        enforce_retention_duration=False,
        full=True,
        keep_versions=list(keep_versions) or None,
    )
    path = path_of(table, lake)
    for file in set(unused) - deletion_vectors.referenced(path):
        (path / file).unlink(missing_ok=True)
    handle.update_incremental()
    handle.create_checkpoint()
    if all(_is_recent(path, version) for version in keep_versions):
        handle.cleanup_metadata()
    (path / "_delta_log" / "_last_checkpoint").unlink(missing_ok=True)
    return handle.version()


def _is_recent(path: Path, version: int) -> bool:
    """Whether the log has the commit of a version, younger than half of what a log is kept. Its age is the file's, as
    for whoever drops old log files."""
    commit = path / "_delta_log" / f"{version:020}.json"
    return commit.exists() and time.time() - commit.stat().st_mtime < LOG_RETENTION_DAYS * 86_400 / 2
