"""Any order of the same exports gives the same current rows and the same versions, the two receipt times aside.

One run checks a hundred and fifty random histories at once: repeats, late and out-of-order versions, reverts to earlier
content, deletions, records that come alive again, and instants of a record's own beside those of its exports.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs.settings import settings
from tests.support.exports import random_histories
from tests.support.lake import Export, instant, totals, use_home

SOURCE, SNAPSHOTS = "hospital_north", "hospital_given"
RECEIPT_TIMES = ("known_from", "usable_at")
ORDERS = ((0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1))


def loaded_in_order(
    monkeypatch: pytest.MonkeyPatch, home: Path, postgres: Cluster, engine: Engine, exports: list[Export]
) -> dict[str, Any]:
    lake = use_home(monkeypatch, home, postgres, engine.remote)
    for export in exports:
        receipts = lake.ingest(SOURCE, export)
        assert sum(r.received for r in receipts) == len(export.files["Patient"]) + len(export.deleted)
        assert not any(r.quarantined for r in receipts)
    tables = {}
    for table in ("silver.hospital__patient", "silver.hospital__patient_history"):
        rows = lake.rows(f"select * from {table} order by patient_key, version_at, is_deleted, content_hash")
        tables[table] = [{k: v for k, v in row.items() if k not in RECEIPT_TIMES} for row in rows]
    settings.cache_clear()
    return tables


@pytest.mark.parametrize("seed", [1])
def test_any_order_of_exports(
    seed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Cluster, sail_engine: Engine
) -> None:
    exports = random_histories(seed, instant("2026-01-01"))
    results = []
    for number, order in enumerate(ORDERS):
        home = tmp_path / f"home{number}"
        results.append(loaded_in_order(monkeypatch, home, postgres, sail_engine, [exports[n] for n in order]))
    in_time, *others = results
    assert len(in_time["silver.hospital__patient"]) > 100
    assert len(in_time["silver.hospital__patient_history"]) > len(in_time["silver.hospital__patient"])
    for other in others:
        assert other == in_time


OBSERVATION = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "x"}]},
    "subject": {"reference": "Patient/p1"},
    "effectiveDateTime": "2025-03-01T00:00:00Z",
}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_claims_to_one_instant_the_record_that_brings_it_stands(
    order: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    postgres: Cluster,
    sail_engine: Engine,
) -> None:
    first, second = instant("2026-01-01"), instant("2026-01-02")
    own = {**OBSERVATION, "meta": {"lastUpdated": first.isoformat()}}
    exports = [
        Export(first, {"Observation": [OBSERVATION]}),
        Export(second, {"Observation": [own, own]}),
    ]
    lake = use_home(monkeypatch, tmp_path, postgres, sail_engine.remote)
    receipts = [totals(lake.ingest(SOURCE, exports[n])) for n in order]
    assert sum(each.get("published", 0) for each in receipts) == 1
    assert sum(each.get("duplicate", 0) for each in receipts) == 2
    for table in ("silver.hospital__observation", "silver.hospital__observation_history"):
        rows = lake.rows(f"select has_version_instant, available_at = version_at as is_later from {table}")
        assert rows == [{"has_version_instant": True, "is_later": True}]
    settings.cache_clear()


def test_loading_again_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Cluster, sail_engine: Engine
) -> None:
    lake = use_home(monkeypatch, tmp_path, postgres, sail_engine.remote)
    export = random_histories(2, instant("2026-01-01"), people=20)[0]
    first = lake.ingest(SOURCE, export)
    before = lake.rows("select * from silver.hospital__patient order by patient_key")
    assert lake.ingest(SOURCE, export) == first
    assert lake.rows("select * from silver.hospital__patient order by patient_key") == before
    settings.cache_clear()
