"""Names, places and literals of tables."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from jobs.errors import CitywellError
from jobs.settings import settings

Value = str | int | bool | date | datetime


def path_of(table: str, lake: Path | None = None) -> Path:
    """Directory of ``schema.table``. Raises CitywellError when the name has not two plain parts."""
    parts = table.split(".")
    if len(parts) != 2 or not all(part.isidentifier() for part in parts):
        raise CitywellError(
            "a table name must be schema.table", where=table, do="use two plain names and one dot"
        )
    return (lake or settings().lake_dir) / parts[0] / parts[1]


def quoted(identifier: str) -> str:
    """SQL identifier."""
    return "`" + identifier.replace("`", "``") + "`"


def literal(value: Value) -> str:
    """SQL literal of ``value``; both engines read a backslash in a string as an escape."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return f"timestamp'{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}Z'"
    if isinstance(value, date):
        return f"date'{value.isoformat()}'"
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def literal_of_delta_rs(value: Value) -> str:
    """SQL literal of ``value`` in a predicate of delta-rs, which reads a backslash in a string as itself."""
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else literal(value)
