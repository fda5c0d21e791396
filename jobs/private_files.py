"""Files only their owner may read."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path


def create_private(path: Path, content: bytes) -> None:
    """Creates ``path`` (0600, missing directories 0700) with ``content``, whole and synced or not at all.

    A file that is there stays as it is: of several processes doing this at once the first one wins.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):
            os.link(part, path)
        sync_directory(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Makes created, renamed and removed names in ``directory`` last through a power failure."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
