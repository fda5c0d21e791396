"""Secrets made at first start: one file each below ``secrets/``, readable by the owner only, never in git."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from jobs.private_files import create_private


def ensure_secret(path: Path, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
    """The secret kept in ``path``; made at the first call, and never replaced."""
    if not path.exists():
        create_private(path, f"{make()}\n".encode())
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` with mode 0600 from its first byte; an old file of that name is replaced."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
