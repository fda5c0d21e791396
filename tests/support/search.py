"""A search through everything an installation keeps, for words that must not be there."""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg import sql

from infra.stack.postgres import DATABASES, SUPERUSER, Cluster
from jobs.identity.demographics import normalised
from jobs.lake import landing

SEALED = {"landing", "keys", "city"}
"""Parts of a home where names may be: landing, the keys, and the simulated city itself."""
VAULT = "vault"
PHARMACY = "city_pharmacy"
FIELDS = {
    "birth_dates": "birth_date",
    "customer_numbers": "record_number",
    "emails": "email",
    "family_names": "family",
    "full_names": "given",
    "national_ids": "national_id",
    "participant_ids": "record_number",
    "patient_ids": "record_number",
    "phones": "phone",
    "practitioner_names": "family",
    "record_numbers": "record_number",
    "staff_names": "family",
    "streets": "street",
}
"""By kind of what is planted, which field of ``Demographics`` is of that kind."""
OF_PATIENTS = (
    *("birth_dates", "customer_numbers", "emails", "family_names", "national_ids", "patient_ids", "phones"),
    *("record_numbers", "streets"),
)
"""Kinds of which landing and vault must hold some."""
WORDS_AT_ONCE = 300
"""More in one regular expression, and RE2 searches ten times as slowly."""
BYTES_AT_ONCE = 16 << 20
_TABLES = """
select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')
"""


def planted(home: Path) -> dict[str, set[str]]:
    """By kind, what is planted in the city of ``home``: as it is sent, and as the vault and linkage have it."""
    sent = json.loads((home / "city" / "answer_key" / "canary_kinds.json").read_text())
    return {kind: {form for word in words for form in forms(kind, word)} for kind, words in sent.items()}


def forms(kind: str, word: str) -> set[str]:
    """``word`` as it is sent and as the vault and linkage have it, there without the scheme of a national id."""
    field = FIELDS[kind]
    return {word, getattr(normalised(**{field: word}), field).rpartition(":")[2]} - {""}


def found(words: Iterable[str], texts: Iterable[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """(place, word) for each of ``words`` in each of ``texts``, in whatever case; no text at all is an error of the
    search."""
    sought = [(word, word.encode().lower()) for word in sorted(words)]
    groups = [sought[start : start + WORDS_AT_ONCE] for start in range(0, len(sought), WORDS_AT_ONCE)]
    hits, places = [], 0
    for batch in _batches(texts):
        places += len(batch)
        lower = [text.lower() for _, text in batch]
        column = pa.array(lower, pa.large_binary())
        for group in groups:
            pattern = b"|".join(re.escape(form) for _, form in group)
            for n in pc.indices_nonzero(pc.match_substring_regex(column, pattern)).to_pylist():
                hits += [(batch[n][0], word) for word, form in group if form in lower[n]]
    assert places, "there was nothing to search"
    return hits


def _batches(texts: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    batch: list[tuple[str, bytes]] = []
    size = 0
    for place, text in texts:
        batch.append((place, text))
        size += len(text)
        if size > BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def files(home: Path) -> Iterator[tuple[str, bytes]]:
    """Every file outside the sealed parts. Parquet is decoded, archives are unpacked.

    The files of the PostgreSQL server are left out, because its one log of changes holds the vault's too: its databases
    are read by ``databases``.
    """
    for part in sorted(home.iterdir()):
        if part.name not in SEALED:
            yield from below(part, home, without=home / "postgres" / "data")


def below(part: Path, home: Path, *, without: Path | None = None) -> Iterator[tuple[str, bytes]]:
    """Every file of a directory, or the one file, read as by ``files``; places are relative to ``home``."""
    for file in sorted(part.rglob("*")) if part.is_dir() else [part]:
        if file.is_file() and without not in file.parents:
            with suppress(FileNotFoundError):  # servers at work remove what they need no more
                yield from _contents(str(file.relative_to(home)), file.read_bytes())


def landed(home: Path) -> Iterator[tuple[str, bytes]]:
    """Every landed file, opened with the key of ``home``."""
    key = landing.load_key(home / "keys" / "landing.key")
    for file in sorted((home / "landing").rglob(f"*{landing.SUFFIX}")):
        yield str(file.relative_to(home)), b"".join(landing.read_frames(file, key))


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
