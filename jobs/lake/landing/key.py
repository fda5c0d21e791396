"""The master key of the landing."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from jobs.errors import CitywellError
from jobs.private_files import create_private


@dataclass(frozen=True)
class LandingKey:
    """The master key that wraps the data keys: 32 secret bytes and the id under which files name it."""

    key_id: str
    secret: bytes = field(repr=False)


def ensure_key(path: Path) -> LandingKey:
    """The master key at ``path``, made (mode 0600) if there is none.

    Safe against two processes doing so at once.
    """
    if not path.exists():
        create_private(path, os.urandom(32).hex().encode() + b"\n")
    return load_key(path)


def load_key(path: Path) -> LandingKey:
    """The master key at ``path``.

    Raises CitywellError when it is missing or is not 32 bytes in hexadecimal.
    """
    try:
        secret = bytes.fromhex(path.read_text().strip())
    except FileNotFoundError:
        raise CitywellError(
            "The landing key is missing",
            where=str(path),
            do="restore it from the backup of the keys; on a new installation `citywell up` makes one",
        ) from None
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise CitywellError(
            "The landing key is not 64 hexadecimal digits",
            where=str(path),
            do="restore it from the backup of the keys; without it the landed files cannot be read",
        )
    return LandingKey(
        key_id=hashlib.sha256(b"citywell landing key id" + secret).hexdigest()[:16], secret=secret
    )
