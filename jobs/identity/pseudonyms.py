"""Pseudonyms: keyed, repeatable stand-ins for source identities.

Construction
    purpose key = HKDF-Expand(master key, "citywell/pseudonym/v1/" + purpose, 32 bytes), RFC 5869 §2.3
    pseudonym   = first 128 bits, as 32 hex digits, of HMAC-SHA256(purpose key, "source|Type|id")

HMAC is RFC 2104 / FIPS 198-1; taking its leftmost 128 bits follows NIST SP 800-107 r1 §5.1. A keyed hash as
the pseudonymisation function, and a key of its own per purpose so that two data sets cannot be joined without
the master key, follow ENISA, "Pseudonymisation techniques and best practices" (2019). By the birthday bound
two of 10**9 identities collide with a probability below 2e-21.

The master key lives in the landing zone only, in ``keys/pseudonym.key``: the one place from which the vault and
the engine's workers take it, so that both make the same pseudonyms. It is never an argument of a query.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path

from jobs.errors import CitywellError
from jobs.private_files import create_private

KEY_BYTES = 32
LAKE_PURPOSE = "lake"
_BLOCK_BYTES = 64
_INFO = "citywell/pseudonym/v1/"


def ensure_key(path: Path) -> bytes:
    """The master key in ``path``, made at the first call (32 random bytes as hex, mode 0600).

    Safe against two first calls at once.
    """
    if not path.exists():
        create_private(path, secrets.token_bytes(KEY_BYTES).hex().encode() + b"\n")
    return load_key(path)


def load_key(path: Path) -> bytes:
    """The master key in ``path``.

    Raises CitywellError when there is none or it is not 32 bytes of hex; a wrong key is never replaced by a
    new one, because every pseudonym made so far would be orphaned.
    """
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        raise CitywellError(
            "The pseudonym key is missing.",
            where=str(path),
            do="Run `citywell up`, which makes one, or restore the file from its backup.",
        ) from None
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise CitywellError(
            "The pseudonym key is not 32 bytes of hex.",
            where=str(path),
            do="Restore the key from its backup; with a new one, earlier pseudonyms cannot be matched.",
        )
    return key


def _expand(key: bytes, info: str) -> bytes:
    """HKDF-Expand of RFC 5869 for one 32-byte block; ``key`` is the pseudorandom key."""
    inner, outer = _prime(key, b"")
    inner.update(info.encode() + b"\x01")
    outer.update(inner.digest())
    return outer.digest()


def key_id(key: bytes) -> str:
    """Public name of a master key: 8 hex digits that say which key was used and reveal nothing of it."""
    return _expand(key, "citywell/key-id/v1")[:4].hex()


def _prime(key: bytes, prefix: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """HMAC-SHA256's two hashes (RFC 2104 §2) after the padded key; the inner one also after ``prefix``."""
    padded = key.ljust(_BLOCK_BYTES, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + prefix)
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))
    return inner, outer


class _TypeKeys(dict[str, str]):
    """id -> pseudonym of one resource type, computed at first sight; emptied when ``limit`` are held."""

    def __init__(self, key: bytes, prefix: str, limit: int) -> None:
        super().__init__()
        inner, outer = _prime(key, prefix.encode())
        self._inner, self._outer, self._limit = inner.copy, outer.copy, limit

    def __missing__(self, source_id: str) -> str:
        inner, outer = self._inner(), self._outer()
        inner.update(source_id.encode())
        outer.update(inner.digest())
        pseudonym = outer.hexdigest()[:32]
        if len(self) >= self._limit:
            self.clear()
        self[source_id] = pseudonym
        return pseudonym


class Pseudonymiser:
    """Pseudonyms of one source for one purpose.

    About 2 µs for an id not seen lately and 0.2 µs for one that was, on one core. ``cache`` bounds the number
    of ids remembered per resource type (about 200 bytes each).
    """

    def __init__(self, key: bytes, source: str, purpose: str = LAKE_PURPOSE, *, cache: int = 100_000) -> None:
        if "|" in source:
            raise ValueError("a source name has no '|': it separates the parts of a pseudonym's input")
        self.source = source
        self.key_id = key_id(key)
        self._key = _expand(key, _INFO + purpose)
        self._cache = cache
        self._types: dict[str, _TypeKeys] = {}

    def _type_keys(self, resource_type: str) -> _TypeKeys:
        if "|" in resource_type:
            raise ValueError("a resource type has no '|': it separates the parts of a pseudonym's input")
        return _TypeKeys(self._key, f"{self.source}|{resource_type}|", self._cache)

    def key(self, resource_type: str, source_id: str) -> str:
        """32 hex digits standing for ``resource_type``/``source_id`` of this source."""
        keys = self._types.get(resource_type)
        if keys is None:
            keys = self._types[resource_type] = self._type_keys(resource_type)
        return keys[source_id]

    def keyer(self, resource_type: str) -> Callable[[str], str]:
        """``key`` of one resource type as a function of the id alone, for inner loops."""
        self.key(resource_type, "")
        return self._types[resource_type].__getitem__
