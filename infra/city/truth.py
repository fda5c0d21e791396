"""The answer key of pharmacies, wearables, hospital resources and people: parquet beside that of ``answer_key``.

``source`` is the endpoint's name (``pharmacy_chain``, ``pharmacy_corner``, ``wearables_city``, ``resources_city``);
``*_at`` is UTC. A row is published once the city's clock has reached its ``visible_at``, when the source first has it.

identities     person_id, source, source_id (customer number, participant id): whom a source knows under which id; one
               person may have several ids at one source, and none is another person's
dispenses      source, dispense_id, person_id and customer_no (null for a sale to nobody known), hospital_source and
               medication_request_id (null without a prescription), prescription_no, kind (sale | twin: the same sale
               posted twice | reversal), of_dispense_id, atc_code (null for what has none), quantity (packs, as it
               is in truth), dispensed_at
planted        source, table, record_id, kind, served, true (text; null where there is none): each quirk and error;
               kinds as the packages list them. table is the source's own name for it; record_id is the dispense or
               price id (a file's name where the file is meant), ``<participant>/<date>``, the reading or response id,
               or ``<hospital>/<date>/<bed, staff number, …>``
consents       participant_id, person_id, purpose, is_given, at: every giving, refusing and withdrawing
unconsented    source, table, record_id, participant_id, reason (never | withdrawn), sent_at: what the platform sent of
               people who had not consented to ``care`` when it was sent
declines       person_id, began_at, admitted_at, has_heart_failure: the days before an unplanned admission in which
               a participant's values show it
true_risks     person_id, at (first instant of a quarter) and each of ``true_risks.RISKS``
phenotypes     person_id, phenotype, marks (``system|code`` of the lasting conditions that mark it, joined by &)
district_types area_code (postal district), type (deprived | average | affluent)
rules          antecedent, consequent (``system|code``) and kind of what goes together by construction: treatment (a
               lasting condition and its medicine), planted (a further medicine), reason (to come for), companion
               (conditions of a phenotype), symptom (before a diagnosis). times: how many times likelier the antecedent
               makes the consequent; null for medicines, which most get, and symptoms, which last for a while
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.city.true_risks import RISKS

_TEXT = pa.string()
_AT = pa.timestamp("ms", tz="UTC")
SCHEMAS: dict[str, pa.Schema] = {
    "identities": pa.schema(
        [("person_id", pa.int64()), ("source", _TEXT), ("source_id", _TEXT), ("visible_at", _AT)]
    ),
    "dispenses": pa.schema(
        [
            ("source", _TEXT),
            ("dispense_id", _TEXT),
            ("person_id", pa.int64()),
            ("customer_no", _TEXT),
            ("hospital_source", _TEXT),
            ("medication_request_id", _TEXT),
            ("prescription_no", _TEXT),
            ("kind", _TEXT),
            ("of_dispense_id", _TEXT),
            ("atc_code", _TEXT),
            ("quantity", pa.int64()),
            ("dispensed_at", _AT),
            ("visible_at", _AT),
        ]
    ),
    "planted": pa.schema(
        [
            ("source", _TEXT),
            ("table", _TEXT),
            ("record_id", _TEXT),
            ("kind", _TEXT),
            ("served", _TEXT),
            ("true", _TEXT),
            ("visible_at", _AT),
        ]
    ),
    "consents": pa.schema(
        [
            ("participant_id", _TEXT),
            ("person_id", pa.int64()),
            ("purpose", _TEXT),
            ("is_given", pa.bool_()),
            ("at", _AT),
            ("visible_at", _AT),
        ]
    ),
    "unconsented": pa.schema(
        [
            ("source", _TEXT),
            ("table", _TEXT),
            ("record_id", _TEXT),
            ("participant_id", _TEXT),
            ("reason", _TEXT),
            ("sent_at", _AT),
            ("visible_at", _AT),
        ]
    ),
    "declines": pa.schema(
        [
            ("person_id", pa.int64()),
            ("began_at", _AT),
            ("admitted_at", _AT),
            ("has_heart_failure", pa.bool_()),
            ("visible_at", _AT),
        ]
    ),
    "true_risks": pa.schema(
        [
            ("person_id", pa.int64()),
            ("at", _AT),
            *((name, pa.float64()) for name in RISKS),
            ("visible_at", _AT),
        ]
    ),
    "phenotypes": pa.schema(
        [("person_id", pa.int64()), ("phenotype", _TEXT), ("marks", _TEXT), ("visible_at", _AT)]
    ),
    "district_types": pa.schema([("area_code", _TEXT), ("type", _TEXT), ("visible_at", _AT)]),
    "rules": pa.schema(
        [
            ("antecedent", _TEXT),
            ("consequent", _TEXT),
            ("kind", _TEXT),
            ("times", pa.float64()),
            ("visible_at", _AT),
        ]
    ),
}


class Truth:
    """Notes of one segment. Times are ms since 1970."""

    def __init__(self) -> None:
        self._parts: dict[str, list[pa.Table]] = {name: [] for name in SCHEMAS}
        self._planted: list[dict[str, Any]] = []

    def add(self, name: str, **columns: Any) -> None:
        """Rows by column: sequences of equal length, or one value for all rows."""
        count = max(len(values) for values in columns.values() if _is_sequence(values))
        if not count:
            return
        schema = SCHEMAS[name]
        arrays = [
            pa.array(columns[f.name], f.type, from_pandas=True)
            if _is_sequence(columns[f.name])
            else pa.repeat(pa.scalar(columns[f.name], f.type), count)
            for f in schema
        ]
        self._parts[name].append(pa.Table.from_arrays(arrays, schema=schema))

    def plant(
        self,
        source: str,
        table: str,
        record_id: str,
        kind: str,
        visible_at: int,
        served: object = None,
        true: object = None,
    ) -> None:
        """One row of ``planted``."""
        row = {
            "source": source,
            "table": table,
            "record_id": record_id,
            "kind": kind,
            "visible_at": int(visible_at),
        }
        words = {"served": served, "true": true}
        self._planted.append({**row, **{k: None if v is None else str(v) for k, v in words.items()}})

    def save(self, folder: Path) -> None:
        """One parquet file per table that has rows."""
        if self._planted:
            self.add("planted", **{n: [row[n] for row in self._planted] for n in SCHEMAS["planted"].names})
        folder.mkdir(parents=True, exist_ok=True)
        for name, parts in self._parts.items():
            if parts:
                pq.write_table(pa.concat_tables(parts), folder / f"{name}.parquet")


class Publisher:
    """Writes the answer key's tables below ``folder``; remembers the notes of segments, which never change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables = {name: schema.empty_table() for name, schema in SCHEMAS.items()}
        self._read: set[Path] = set()

    def publish(self, segment_notes: Iterable[Path], now_ms: int) -> None:
        """Each table's parquet from the segments' notes, as far as the clock has come."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for note in segment_notes:
            if note not in self._read:
                for path in note.glob("*.parquet"):
                    before = self._tables[path.stem]
                    self._tables[path.stem] = pa.concat_tables([before, pq.read_table(path)])
                self._read.add(note)
        for name, table in self._tables.items():
            self._write(name, table, now_ms)

    def _write(self, name: str, table: pa.Table, now_ms: int) -> None:
        part = self.folder / f"{name}.part"
        pq.write_table(table.filter(pc.field("visible_at") <= pa.scalar(now_ms, _AT)), part)
        part.replace(self.folder / f"{name}.parquet")


def _is_sequence(values: object) -> bool:
    return isinstance(values, list | np.ndarray | pa.Array | pa.ChunkedArray)
