"""Taking the space of a small disk (fixture ``small_disk``)."""

from __future__ import annotations

import shutil
from pathlib import Path


def fill(place: Path) -> Path:
    """The file that takes all space of the disk."""
    filler = place / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(place).free))
    return filler
