"""What is promised after every fault: receipts balance, a re-run gives the same rows, no unchecked row is visible."""

from __future__ import annotations

from collections import Counter
from typing import Any

from jobs.lake import catalog, control, landing
from jobs.lake.catalog import QUARANTINE, RECEIPTS
from jobs.lake.control import Batch
from jobs.lake.load import load
from jobs.settings import settings
from jobs.sources import load_all

RECEIPT_TIMES = ("known_from", "usable_at", "linked_at")
"""When a record was received, can be used, and was linked to its person."""
Row = dict[str, Any]
_KEYS = {f"silver.{s.name}__{entity}": t.key for s in load_all().values() for entity, t in s.tables.items()}


def contents(*, timeless: bool = False) -> dict[str, list[Row]]:
    """Every visible row of silver and its history, links, receipts and quarantine, in one order.

    timeless: without the receipt times, which alone may follow the order of arrival, and the tables that tell of
    deliveries.
    """
    with catalog.lake_session() as spark:
        shown = [
            f"{database.name}.{table.name}"
            for database in spark.catalog.listDatabases()
            if database.name in ("silver", "quality")
            for table in spark.catalog.listTables(database.name)
        ]
        names = [name for name in shown if not name.endswith(("__all_versions", ".validations"))]
        if timeless:
            names = [name for name in names if name.startswith("silver.")]
        found = {name: spark.table(name).toArrow().to_pylist() for name in names}
    hidden = RECEIPT_TIMES if timeless else ()
    return {
        name: sorted(({k: v for k, v in row.items() if k not in hidden} for row in rows), key=str)
        for name, rows in found.items()
    }


def assert_promises() -> dict[str, list[Row]]:
    """The ``contents`` of the lake that the settings name, after each promise has been found kept."""
    found = assert_balanced_and_checked()
    with control.connect() as conn:
        batches = control.batches(conn, limit=1000)
    for batch in batches:
        if batch.status == "published":
            load(batch.batch_id)
    again = contents()
    assert again.keys() == found.keys()
    for name, rows in found.items():
        assert again[name] == rows, f"loading again changed a row of {name}"
    return found


def assert_balanced_and_checked() -> dict[str, list[Row]]:
    """As ``assert_promises``, but nothing is loaded again: in the middle of faults."""
    found = contents()
    with control.connect() as conn:
        batches = control.batches(conn, limit=1000)
        published = [batch for batch in batches if batch.status == "published"]
        _assert_receipts(conn, published, found)
    _assert_checked({batch.batch_id for batch in published}, found)
    return found


def _assert_receipts(conn: control.Connection, published: list[Batch], found: dict[str, list[Row]]) -> None:
    """Each published batch has receipts that balance, of every line that landed, and they are shown as they are."""
    expected = []
    for batch in published:
        receipts = control.receipts(conn, batch.batch_id)
        control.check_receipts(batch.batch_id, receipts)
        received = Counter[str]()
        for receipt in receipts:
            received[receipt.file] += receipt.received
        manifest = landing.manifest_of(
            landing.batch_dir(settings().landing_dir, batch.source, batch.batch_id)
        )
        for file in manifest.files:
            if file.kind == "output":
                assert received[file.file] == file.received, f"{file.file} lost a record"
        expected += [vars(receipt) for receipt in receipts]
    assert found.get(RECEIPTS, []) == sorted(expected, key=str)
    rejected = Counter[str]()
    for receipt in expected:
        rejected[receipt["batch_id"]] += receipt["quarantined"]
    assert Counter(row["batch_id"] for row in found.get(QUARANTINE, ())) == +rejected


def _assert_checked(published: set[str], found: dict[str, list[Row]]) -> None:
    """Every current row is the version of a published batch, one a key, and no key of one is without."""
    assert {row["batch_id"] for row in found.get(RECEIPTS, ())} <= published
    for name, key in _KEYS.items():
        if f"{name}_history" not in found:
            assert not found.get(name), f"{name} shows rows of no published batch"
            continue
        versions = {_version(row, key) for row in found[f"{name}_history"]}
        current = [_version(row, key) for row in found.get(name, ())]
        assert set(current) <= versions, f"{name} shows a row of no published batch"
        assert Counter(row[:2] for row in current) == Counter({row[:2] for row in versions}), (
            f"{name} has not one row for each key"
        )


def _version(row: Row, key: str) -> tuple[Any, ...]:
    return row["source"], row[key], row["version_at"], row["content_hash"]
