"""A batch at hand: where it is from, what has landed of it, and the tables its rows are in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake import bronze, landing, tables
from jobs.lake.catalog import QUARANTINE, RECEIPTS
from jobs.lake.control import Batch, Connection
from jobs.lake.formats.flat import wires
from jobs.lake.instants import micros
from jobs.lake.landing import FileKind, LandedFile, Manifest
from jobs.lake.reader import DELETION_BUNDLE, File, Reading
from jobs.settings import settings
from jobs.silver.hl7v2 import MESSAGE, Dialect, Speech
from jobs.sources import AnyEndpoint, FileFeed, Hl7Endpoint, Source, find_endpoint

_TELLS_NOTHING = FileFeed(pattern="*")


@dataclass(frozen=True)
class Work:
    """A batch at hand with what its steps need."""

    spark: SparkSession
    conn: Connection
    batch: Batch
    source: Source
    endpoint: AnyEndpoint
    manifest: Manifest
    directory: Path

    @classmethod
    def of(cls, spark: SparkSession, conn: Connection, batch: Batch) -> Work:
        """Raises CitywellError when the batch has not landed or its manifest is damaged."""
        source, endpoint = find_endpoint(batch.source)
        directory = landing.batch_dir(settings().landing_dir, batch.source, batch.batch_id)
        return cls(spark, conn, batch, source, endpoint, landing.manifest_of(directory), directory)

    def bronze(self, entity: str) -> str:
        """Name of the entity's table of received records."""
        return f"bronze.{self.source.name}__{entity}"

    def silver(self, entity: str) -> str:
        """Name of the entity's table of current records."""
        return f"silver.{self.source.name}__{entity}"

    @property
    def reading(self) -> Reading:
        """What the reader must know of the batch."""
        return Reading(
            source=self.batch.source,
            landing_dir=str(self.directory),
            landing_key=str(settings().keys_dir / "landing.key"),
            pseudonym_key=str(settings().keys_dir / "pseudonym.key"),
            transaction_us=micros(self.manifest.transaction_time),
            addresses=self.endpoint.addresses,
            time_zone=self.endpoint.time_zone,
            is_snapshot=self.endpoint.absence_means_deletion,
            has_numeric_versions=self.endpoint.declares_numeric_version_id,
            wires=wires(self.source, self.endpoint),
            hl7=speech(self.endpoint) if isinstance(self.endpoint, Hl7Endpoint) else None,
        )

    def readable(self, file: LandedFile) -> File:
        """A landed file as the reader takes it: what it holds is of the instant it was sent, or of its delivery's."""
        told = self._feeds.get(file.resource_type, _TELLS_NOTHING).told(file.origin or "")
        sent_us = micros(file.sent_at or self.manifest.transaction_time)
        firsts = {one.line: one.row for one in self.manifest.repaired if one.file == file.file and one.row}
        return File(file.file, file.kind, sent_us, _json(told), _json(firsts))

    @property
    def _feeds(self) -> dict[str, FileFeed]:
        """The feeds of dropped files by resource type."""
        feeds = getattr(self.endpoint, "feeds", {}).items()
        return {self.source.tables[e].resource: feed for e, feed in feeds if isinstance(feed, FileFeed)}

    @property
    def modelled(self) -> set[str]:
        """Resource types that have a table."""
        return {table.resource for table in self.source.tables.values()}

    @property
    def others(self) -> list[tuple[FileKind, str]]:
        """Kind and resource type of the landed files that no table takes: of types nobody models, and of deletions."""
        types = {f.resource_type for f in self.manifest.files if f.kind == "output"} - self.modelled
        found: list[tuple[FileKind, str]] = [("output", resource) for resource in sorted(types)]
        return [*found, ("deleted", DELETION_BUNDLE)] if self.files("deleted", DELETION_BUNDLE) else found

    def files(self, kind: FileKind, resource_type: str) -> list[LandedFile]:
        """The landed files of a kind and type; deletion bundles are of all types."""
        return [
            f
            for f in self.manifest.files
            if f.kind == kind and (kind == "deleted" or f.resource_type in (resource_type, MESSAGE))
        ]

    def biggest_first(self, entities: Iterable[str]) -> list[str]:
        """``entities`` by the size of what has landed of them."""
        landed: Counter[str] = Counter()
        for f in self.manifest.files:
            landed[f.resource_type] += f.bytes
        return sorted(entities, key=lambda entity: -landed[self.source.tables[entity].resource])

    def staged(self) -> dict[str, DataFrame]:
        """The batch's bronze rows by entity, for the entities it brought."""
        there = [entity for entity in self.source.tables if tables.exists(self.bronze(entity))]
        found = {entity: self.staged_rows(entity) for entity in there}
        return {entity: rows for entity, rows in found.items() if not rows.select("line").isEmpty()}

    def staged_rows(self, entity: str) -> DataFrame:
        """The batch's bronze rows of an entity."""
        return tables.read(self.spark, self.bronze(entity)).where(F.col("batch_id") == self.batch.batch_id)

    def is_landing_whole(self) -> bool:
        """Whether every landed file is there and undamaged."""
        key = landing.load_key(settings().keys_dir / "landing.key")
        return all(landing.verify(self.directory / f.file, key, f.sha256) for f in self.manifest.files)

    def forget_staged(self) -> None:
        """Take out again what the batch has added to tables that several batches add to."""
        slice_ = {tables.BATCH_COLUMN: self.batch.batch_id}
        for name in (*map(self.bronze, self.source.tables), RECEIPTS, QUARANTINE):
            tables.retrying(partial(tables.delete_slice, name, slice_))

    def read(self, kind: FileKind, resource_type: str) -> DataFrame:
        """Reader rows of the files of a kind; of deletion bundles, every entry (``resource_type`` is then Bundle)."""
        files = [self.readable(f) for f in self.files(kind, resource_type)]
        return bronze.read(self.spark, files, self.reading, resource_type)


def _json(value: Mapping[Any, Any]) -> str:
    return msgspec.json.encode(value).decode()


def speech(endpoint: Hl7Endpoint) -> Speech:
    """How ``endpoint`` speaks HL7 v2, and whose numbers it tells."""
    dialect = Dialect(
        endpoint.patient_system, endpoint.visit_system, endpoint.systems, endpoint.charset, endpoint.time_zone
    )
    return Speech(dialect, endpoint.house or endpoint.name, endpoint.houses)
