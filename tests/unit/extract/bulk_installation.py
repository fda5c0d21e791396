"""An installation with one endpoint, as the tests of extraction use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from bulk_server import FakeClock

from jobs.extract import fhir_bulk
from jobs.extract.delivery import ExtractResult, Places
from jobs.lake import control, landing
from jobs.sources import FhirEndpoint

AS_OF = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)


@dataclass
class Installation:
    """What ``extract`` needs, and ways to look at what it left behind."""

    conn: control.Connection
    endpoint: FhirEndpoint
    places: Places
    clock: FakeClock

    def extract(self, as_of: datetime = AS_OF) -> ExtractResult:
        """One run of the extract task."""
        with control.source_lock(self.conn, self.endpoint.name):
            batch = control.open_batch(
                self.conn, self.endpoint.name, as_of, use_since=self.endpoint.uses_since
            )
            return fhir_bulk.extract(
                self.conn, self.endpoint, batch, places=self.places, clock=self.clock.clock()
            )

    def publish(self, result: ExtractResult) -> None:
        control.publish(self.conn, result.batch_id, {}, [], result.watermark)

    def content(self, result: ExtractResult, file: str) -> bytes:
        return b"".join(landing.read_frames(result.directory / file, self.places.landing_key()))

    def contents(self, result: ExtractResult) -> dict[str, bytes]:
        return {file.file: self.content(result, file.file) for file in result.files}

    def on_disk(self) -> list[str]:
        """Names below the landing, manifests aside."""
        paths = self.places.landing_dir.rglob("*")
        return sorted(p.name for p in paths if p.is_file() and p.name != landing.MANIFEST)

    def job(self) -> control.ExportJob:
        job = control.last_job(self.conn, control.batch_id(self.endpoint.name, AS_OF))
        assert job is not None
        return job

    def with_endpoint(self, change: Callable[[FhirEndpoint], FhirEndpoint]) -> Installation:
        return Installation(self.conn, change(self.endpoint), self.places, self.clock)
