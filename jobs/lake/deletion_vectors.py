"""Files of Delta deletion vectors that a table's log names, so that cleaning up leaves them alone.

delta-rs (1.6.6) lists every such file as unused when it vacuums, also those of the current version, and a table
without them cannot be read. Names follow the Delta protocol, "Deletion Vectors": a relative vector is an optional
directory prefix and a UUID in 20 characters of Z85.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

RELATIVE_TO_TABLE = "u"
UUID_LENGTH = 20
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_RFC1924 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_TO_RFC1924 = str.maketrans(_Z85, _RFC1924)


def referenced(table: Path) -> set[str]:
    """Paths, relative to ``table``, of the deletion vectors that any version still in the log needs."""
    log = table / "_delta_log"
    vectors = _in_commits(log.glob("*.json"))
    return {file_of(vector) for vector in (*vectors, *_in_checkpoints(log.glob("*.checkpoint*.parquet")))}


def file_of(encoded: str) -> str:
    """Path of the vector that an action names ``encoded``, for example ``df?XzKQ741rIGtPJ7+{L+2``."""
    prefix, name = encoded[:-UUID_LENGTH], encoded[-UUID_LENGTH:]
    file = f"deletion_vector_{uuid.UUID(bytes=base64.b85decode(name.translate(_TO_RFC1924)))}.bin"
    return f"{prefix}/{file}" if prefix else file


def _in_commits(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        for line in file.read_text().splitlines():
            yield from _named_by(json.loads(line).get("add"))


def _in_checkpoints(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(columns=["add.deletionVector"]):
            for row in batch.to_pylist():
                yield from _named_by(row["add"])


def _named_by(add: Mapping[str, Any] | None) -> Iterator[str]:
    vector = (add or {}).get("deletionVector")
    if vector and vector["storageType"] == RELATIVE_TO_TABLE:
        yield vector["pathOrInlineDv"]
