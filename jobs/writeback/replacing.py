"""Making a table of the serving database equal to what was found, within a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql

_ROWS_AT_ONCE = 10_000


def stage(cursor: psycopg.Cursor[Any], table: sql.Identifier, columns: Sequence[str], rows: pa.Table) -> None:
    """Copy ``rows`` (``columns``) into the temporary table ``staged``, shaped as ``table``, which is locked against
    other writers. Readers are not kept waiting."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    cursor.execute(sql.SQL("lock table {} in share row exclusive mode").format(table))
    cursor.execute(
        sql.SQL("create temporary table staged (like {} including defaults) on commit drop").format(table)
    )
    with cursor.copy(sql.SQL("copy staged ({}) from stdin").format(names)) as copy:
        for batch in rows.select(list(columns)).to_batches(max_chunksize=_ROWS_AT_ONCE):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                copy.write_row(row)


def merge(
    cursor: psycopg.Cursor[Any], table: sql.Identifier, columns: Sequence[str], key: Sequence[str]
) -> int:
    """Make ``table`` equal to ``staged`` by ``key``; rows added, updated or removed. What is equal is not touched."""
    values = [name for name in columns if name not in key]
    cursor.execute(
        sql.SQL(
            "merge into {table} as held using staged as new on {on} "
            "when matched and ({held}) is distinct from ({new}) then update set {update} "
            "when not matched by target then insert ({names}) values ({all}) "
            "when not matched by source then delete"
        ).format(
            table=table,
            on=sql.SQL(" and ").join(sql.SQL("held.{0} = new.{0}").format(sql.Identifier(n)) for n in key),
            held=sql.SQL(", ").join(sql.Identifier("held", name) for name in values),
            new=sql.SQL(", ").join(sql.Identifier("new", name) for name in values),
            update=sql.SQL(", ").join(sql.SQL("{0} = new.{0}").format(sql.Identifier(n)) for n in values),
            names=sql.SQL(", ").join(map(sql.Identifier, columns)),
            all=sql.SQL(", ").join(sql.Identifier("new", name) for name in columns),
        )
    )
    return cursor.rowcount
