"""What a disk says, in words."""

from __future__ import annotations

from pathlib import Path

from jobs import disk
from jobs.errors import CitywellError


def said_plainly(error: OSError, path: Path) -> CitywellError:
    """The error to show when ``path`` could not be written."""
    if disk.is_full(error):
        return disk.full(error, path)
    return CitywellError(
        f"A received file could not be landed: {error.strerror or 'input/output error'}",
        where=str(path),
        do="check that the landing directory exists, is writable and that its disk is healthy",
    )
