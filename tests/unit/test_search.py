"""The search that privacy tests rely on finds a word wherever it hides, and knows what it may not look into."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.stack.postgres import Cluster
from tests.support import search

WORD = "Canary Name"


def test_it_looks_into_every_kind_of_file(tmp_path: Path) -> None:
    parquet, archive = io.BytesIO(), io.BytesIO()
    nested = [[{"name": f"Dr {WORD}"}]]
    pq.write_table(pa.table({"people": nested, "n": [1]}), parquet, compression="zstd")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("inner.parquet", parquet.getvalue())
    contents = {
        "logs/a.log": f"x{WORD}x".encode(),
        "lake/b.parquet": parquet.getvalue(),
        "mlflow/c.gz": gzip.compress(WORD.encode() * 3),
        "mlflow/model.skops": archive.getvalue(),
        "lake/d.ndjson": WORD.upper().encode(),
        "landing/sealed": WORD.encode(),
        "city/sealed": WORD.encode(),
        "postgres/data/base/1": WORD.encode(),
        "file": b"nothing",
    }
    for name, data in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    places = {place.split(" ")[0].split("!")[0] for place, _ in search.found([WORD], search.files(tmp_path))}
    assert places == {"logs/a.log", "lake/b.parquet", "lake/d.ndjson", "mlflow/c.gz", "mlflow/model.skops"}


def test_it_finds_a_word_in_any_case_and_as_linkage_has_it() -> None:
    sent = {
        "family_names": "O'Neilzqbadino",
        "phones": "+1-234-555-0123-456",
        "national_ids": "0123456789-42",
        "record_numbers": "N00471123-05",
        "birth_dates": "1961-04-09",
    }
    texts = [
        ("as sent", "; ".join(sent.values()).encode()),
        ("in capitals", "; ".join(sent.values()).upper().encode()),
        ("in the vault", b"oneilzqbadino; 12345550123456; city:012345678942; n0047112305; 1961-04-09"),
        ("elsewhere", b"O'Neil; +1-234-555-0123-457; 012345678943; 1961-04-10"),
    ]
    for kind, word in sent.items():
        hits = search.found(search.forms(kind, word), texts)
        assert {place for place, _ in hits} == {"as sent", "in capitals", "in the vault"}, kind
    words = search.forms("full_names", "Björn O'Neilzqbadino")
    texts = [("as sent", "Björn O'Neilzqbadino".encode()), ("in the vault", b"bjoern oneilzqbadino")]
    assert {place for place, _ in search.found(words, texts)} == {"as sent", "in the vault"}


def test_it_finds_each_of_many_words_in_many_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "BYTES_AT_ONCE", 100)
    words = [f"word{n}." for n in range(2 * search.WORDS_AT_ONCE + 1)]
    texts = [(word, f"a {word}".encode()) for word in words]
    assert sorted(search.found(words, texts)) == sorted((word, word) for word in words)


def test_it_reads_every_database_but_the_vault(postgres: Cluster) -> None:
    for database, value in (
        ("control", "text"),
        ("serving", "json"),
        ("airflow", "bytea"),
        ("vault", "text"),
    ):
        cast = {"text": f"'{WORD}'", "json": f"""'["{WORD}"]'::json""", "bytea": f"'{WORD}'::bytea"}[value]
        with psycopg.connect(postgres.dsn(database, database), autocommit=True) as conn:
            conn.execute("create schema hidden")
            conn.execute(f"create table hidden.told as select {cast} as said".encode())
    try:
        hits = search.found([WORD], search.databases(postgres))
    finally:
        for database in ("control", "serving", "airflow", "vault"):
            with psycopg.connect(postgres.dsn(database, database), autocommit=True) as conn:
                conn.execute("drop schema hidden cascade")
    assert sorted(place for place, _ in hits) == [
        f"{name}: hidden.told" for name in ("airflow", "control", "serving")
    ]
