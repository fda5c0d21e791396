"""Files that a command writes."""

from __future__ import annotations

import os
from pathlib import Path

import typer


def writable(out: Path | None) -> Path | None:
    """Callback of an option: refuses a file whose directory is missing or cannot be written to."""
    if out is None:
        return None
    directory = out.expanduser().absolute().parent
    if not directory.is_dir():
        raise typer.BadParameter(f"there is no directory {directory}")
    if not os.access(directory, os.W_OK):
        raise typer.BadParameter(f"directory {directory} cannot be written to")
    return out.expanduser()
