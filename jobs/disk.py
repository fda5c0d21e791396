"""A full disk, told as one: files, PostgreSQL, the engine and Delta each raise an error of their own."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from psycopg.errors import DiskFull

from jobs.errors import CitywellError

FEWEST_BYTES = 4 * 1024 * 1024
"""Below that a write that failed has failed for want of space, whatever the engine says of it."""
_WORDS = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT))


def is_full(error: BaseException | None) -> bool:
    """Whether ``error``, or what it came of, is that no space was left."""
    while error is not None:
        if isinstance(error, DiskFull) or any(words in str(error) for words in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def has_room(place: Path) -> bool:
    """Whether the disk of ``place``, which need not exist yet, has some megabytes left."""
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    return shutil.disk_usage(there).free >= FEWEST_BYTES


def full(error: BaseException, home: Path) -> CitywellError:
    """The error to show in the place of ``error``; ``home`` is named where that names no file."""
    file = error.filename if isinstance(error, OSError) else None
    return CitywellError(
        "the disk is full",
        where=str(file or home),
        do="free some space, shorten the retention of landed files, or move the data directory to a larger disk "
        "(CITYWELL_HOME), then try again",
    )
