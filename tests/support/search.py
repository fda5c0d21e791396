"""A search through everything an installation keeps, for words that must not be there."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg import sql

from infra.stack.postgres import DATABASES, SUPERUSER, Cluster

SEALED = {"landing", "keys", "city"}
"""Parts of a home where names may be: landing, the keys, and the simulated city itself."""
VAULT = "vault"
PHARMACY = "city_pharmacy"
_TABLES = """
select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')
"""


def found(words: Sequence[str], texts: Iterable[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """(place, word) for each of ``words`` in each of ``texts``; no text at all is an error of the search."""
    wanted, hits, places = [word.encode() for word in words], [], 0
    for place, text in texts:
        places += 1
        hits += [(place, word.decode()) for word in wanted if word in text]
    assert places, "there was nothing to search"
    return hits


def files(home: Path) -> Iterator[tuple[str, bytes]]:
    """Every file outside the sealed parts. Parquet is decoded, archives are unpacked.

    The files of the PostgreSQL server are left out, because its one log of changes holds the vault's too: its databases
    are read by ``databases``.
    """
    for part in sorted(home.iterdir()):
        if part.name in SEALED:
            continue
        for file in sorted(part.rglob("*")) if part.is_dir() else [part]:
            if file.is_file() and home / "postgres" / "data" not in file.parents:
                with suppress(FileNotFoundError):  # servers at work remove what they need no more
                    yield from _contents(str(file.relative_to(home)), file.read_bytes())


def _contents(place: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    yield place, data
    if data[:4] == data[-4:] == b"PAR1":
        yield f"{place} (values)", _values(pq.ParquetFile(io.BytesIO(data)).read())
    elif data[:2] == b"\x1f\x8b":
        yield from _contents(f"{place} (unpacked)", gzip.decompress(data))
    elif zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield from _contents(f"{place}!{name}", archive.read(name))


def _values(table: pa.Table) -> bytes:
    """Every distinct value of every column, nested ones as Python writes them."""
    parts = []
    for column in table.columns:
        is_nested = pa.types.is_nested(column.type) or pa.types.is_map(column.type)
        values = column.to_pylist() if is_nested else pc.unique(column).to_pylist()
        parts += [value if isinstance(value, bytes) else str(value).encode() for value in values]
    return b"\n".join(parts)


def databases(cluster: Cluster) -> Iterator[tuple[str, bytes]]:
    """Every table of every database but the vault and the simulated pharmacies' own."""
    for database in sorted({*DATABASES, "postgres"} - {VAULT, PHARMACY}):
        yield from tables(cluster, database)


def tables(cluster: Cluster, database: str) -> Iterator[tuple[str, bytes]]:
    """Every table of ``database``, as the superuser sees it."""
    with psycopg.connect(cluster.dsn(database, SUPERUSER)) as conn:
        for schema, table in conn.execute(_TABLES).fetchall():
            rows = conn.execute(sql.SQL("select * from {}").format(sql.Identifier(schema, table))).fetchall()
            yield f"{database}: {schema}.{table}", b"\n".join(_bytes(value) for row in rows for value in row)


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
