"""A lake in a temporary directory, fed with exports written in the test: no network, everything else real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from pyspark.sql import SparkSession

from infra.stack.postgres import Cluster, recreate
from jobs.identity import pseudonyms, vault
from jobs.lake import catalog, control, landing
from jobs.lake.control import Receipt
from jobs.lake.formats import delimited
from jobs.lake.formats.flat import wires
from jobs.lake.formats.hl7v2 import Pieces
from jobs.lake.load import load
from jobs.settings import settings
from jobs.silver.hl7v2 import MESSAGE
from jobs.sources import AnyEndpoint, find_endpoint

Line = bytes | Mapping[str, Any]
DOWNLOADS = 2
"""Files landed at once, as the ingest does."""


@dataclass(frozen=True)
class Export:
    """One export as its server would hand it out: lines by resource type, deleted ``Type/id`` or whole bundles."""

    at: datetime
    files: Mapping[str, Sequence[Line] | bytes] = field(default_factory=dict)
    deleted: Sequence[str | Mapping[str, Any]] = ()
    complete: bool = True
    origins: Mapping[str, str] = field(default_factory=dict)
    """By resource type, what its file is called at its sender."""


class TestLake:
    """Lands exports and loads them, as the ingest does after a download."""

    __test__ = False

    def __init__(self, home: Path) -> None:
        self.home = home
        landing.ensure_key(home / "keys" / "landing.key")
        pseudonyms.ensure_key(home / "keys" / "pseudonym.key")
        with control.connect() as conn:
            control.migrate(conn)
        with psycopg.connect(settings().postgres_dsn("vault", vault.OWNER_ROLE)) as conn:
            vault.migrate(conn)

    def land(self, source: str, export: Export) -> str:
        """The id of the batch that holds ``export``, landed."""
        with control.connect() as conn:
            _, endpoint = find_endpoint(source)
            batch = control.open_batch(conn, source, export.at, use_since=endpoint.uses_since)
            if batch.status == "published":
                return batch.batch_id
            directory = landing.batch_dir(settings().landing_dir, source, batch.batch_id)

            def land(n: int, resource: str) -> landing.LandedFile:
                name, body = f"{n:04d}-{resource}.ndjson.cwl", _body(export.files[resource])
                file = self._file(directory, name, resource, "output", body)
                file = replace(file, origin=export.origins.get(resource))
                return landing.with_counts(file, records=_rows(endpoint, resource, body), expected=None)

            with ThreadPoolExecutor(DOWNLOADS) as pool:
                files = list(pool.map(land, count(), export.files))
            if export.deleted:
                body = _body([_deletion(target) for target in export.deleted])
                files.append(self._file(directory, "deleted.ndjson.cwl", "Bundle", "deleted", body))
            manifest = landing.Manifest(
                batch_id=batch.batch_id,
                source=source,
                as_of=export.at,
                since=batch.since,
                transaction_time=export.at,
                attempt=1,
                key_id=landing.load_key(settings().keys_dir / "landing.key").key_id,
                files=tuple(files),
                findings=(),
                complete=export.complete,
            )
            landing.write_manifest(directory, manifest)
            control.set_landed(conn, batch.batch_id, export.at, is_complete=export.complete)
        return batch.batch_id

    def ingest(self, source: str, export: Export) -> tuple[Receipt, ...]:
        """The receipts of ``export``, landed and loaded."""
        return load(self.land(source, export)).receipts

    def rows(self, query: str) -> list[dict[str, Any]]:
        """The rows of an SQL query over the published tables."""
        with catalog.lake_session() as spark:
            return [row.asDict(recursive=True) for row in spark.sql(query).collect()]

    def _file(self, directory: Path, name: str, resource: str, kind: Any, body: bytes) -> landing.LandedFile:
        key = landing.load_key(settings().keys_dir / "landing.key")
        with landing.LandingWriter(directory / name, key) as writer:
            writer.write(body)
        assert writer.landed is not None
        return landing.LandedFile(
            file=name,
            resource_type=resource,
            kind=kind,
            url_digest="",
            bytes=writer.landed.bytes,
            lines=writer.landed.lines,
            blank_lines=writer.landed.blank_lines,
            sha256=writer.landed.sha256,
            expected_lines=None,
        )


PSEUDONYM_KEY = bytes(range(32)).hex()


def use_home(monkeypatch: pytest.MonkeyPatch, home: Path, postgres: Cluster, remote: str) -> TestLake:
    """Point the settings at an empty home, emptied databases and the engine at ``remote``.

    Every home has the same pseudonym key, so that the lakes of two homes can be compared.
    """
    for database in ("control", "vault"):
        recreate(postgres, database)
    for name, value in postgres.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CITYWELL_HOME", str(home))
    secrets = home / "secrets"
    secrets.parent.mkdir(parents=True, exist_ok=True)
    if not secrets.exists():
        secrets.symlink_to(postgres.secrets.parent)
    monkeypatch.setenv("CITYWELL_ENGINE_PORT", remote.rpartition(":")[2])
    (home / "keys").mkdir(parents=True, exist_ok=True)
    (home / "keys" / "pseudonym.key").write_text(PSEUDONYM_KEY)
    settings.cache_clear()
    return TestLake(home)


def totals(receipts: Sequence[Receipt]) -> dict[str, int]:
    """Sums of the receipts' counts that are not zero."""
    names = ("received", "published", "superseded", "duplicate", "deleted", "unmodelled", "quarantined")
    sums = {name: sum(getattr(receipt, name) for receipt in receipts) for name in names}
    return {name: count for name, count in sums.items() if count}


def instant(text: str) -> datetime:
    """An aware UTC instant, ``2026-01-01`` or ``2026-01-01T10:00``."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def rows_as_set(spark: SparkSession, query: str) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in spark.sql(query).collect()}


def _rows(endpoint: AnyEndpoint, resource: str, body: bytes) -> int | None:
    """How many rows a CSV file has, or messages one of HL7; None for lines."""
    if resource == MESSAGE:
        return sum(1 for _ in Pieces([body]))
    source, _ = find_endpoint(endpoint.name)
    wire = wires(source, endpoint).get(resource)
    if wire is None or wire.csv is None:
        return None
    return sum(1 for _ in delimited.Table([body], wire.csv).rows())


def _body(lines: Sequence[Line] | bytes) -> bytes:
    if isinstance(lines, bytes):
        return lines
    return b"".join(
        (line if isinstance(line, bytes) else msgspec.json.encode(line)) + b"\n" for line in lines
    )


def _deletion(target: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(target, str):
        return target
    request = {"method": "DELETE", "url": target}
    return {"resourceType": "Bundle", "type": "transaction", "entry": [{"request": request}]}
