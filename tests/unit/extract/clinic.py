"""A source of flat records under a test's control, and what lands of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobs.extract.delivery import ExtractResult, Places
from jobs.lake import control, landing
from jobs.lake.control import Batch
from jobs.sources import AnyEndpoint, Source

AS_OF = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)
DAY_LATER = datetime(2026, 3, 2, 4, 30, tzinfo=UTC)
FIELDS = {
    "id": {"type": "text"},
    "value": {"type": "decimal"},
    "note": {"type": "withheld", "optional": True},
    "changed_at": {"type": "date_time", "optional": True},
    "deleted_at": {"type": "date_time", "optional": True},
}


def source(**endpoint: Any) -> Source:
    """A source with one table ``visit`` and one endpoint ``clinic``."""
    return Source.model_validate(
        {
            "name": "clinic",
            "description": "A clinic for these tests.",
            "owner": "somebody",
            "licence": "none",
            "schedule": None,
            "endpoints": {
                "clinic": {"description": "The only one.", "time_zone": "Europe/Berlin", **endpoint}
            },
            "checks": {"max_quarantined_pct": 5},
            "tables": {
                "visit": {
                    "resource": "Visit",
                    "grain": "One row per visit.",
                    "key": "visit_key",
                    "identity": ["id"],
                    "deleted": {"field": "deleted_at"},
                    "fields": FIELDS,
                    "columns": {},
                }
            },
        }
    )


@dataclass
class Desk:
    """Where batches of the clinic are opened and land."""

    conn: control.Connection
    source: Source
    places: Places
    run: Callable[[Source, AnyEndpoint, Batch], ExtractResult]

    def extract(self, as_of: datetime = AS_OF, *, full: bool = False) -> ExtractResult:
        """One run of the extract task."""
        endpoint = self.source.endpoints["clinic"]
        batch = control.open_batch(self.conn, "clinic", as_of, use_since=endpoint.uses_since and not full)
        return self.run(self.source, endpoint, batch)

    def publish(self, result: ExtractResult) -> None:
        control.publish(self.conn, result.batch_id, {}, [], result.watermark)

    def content(self, result: ExtractResult) -> list[bytes]:
        """The landed files, decrypted."""
        key = self.places.landing_key()
        return [b"".join(landing.read_frames(result.directory / file.file, key)) for file in result.files]
