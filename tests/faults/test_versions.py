"""Repeated, late, out-of-order, deleted and revived records: the newest version wins, tombstones stay.

Three exports of three days; the second arrives last, and then the first once more.
"""

from __future__ import annotations

from typing import Any

import pytest

from jobs.identity.pseudonyms import Pseudonymiser, load_key
from jobs.settings import settings
from tests.conftest import SLOW_ON_SPARK
from tests.support.lake import Export, TestLake, instant
from tests.support.promises import assert_promises

pytestmark = pytest.mark.parametrize("lake", ["sail", SLOW_ON_SPARK], indirect=True, scope="module")

SOURCE = "hospital_north"
DAYS = [instant(f"2026-01-0{day}") for day in (1, 2, 3)]
OLD, MIDDLE, NEW = "2025-12-01T00:00:00Z", "2026-01-01T12:00:00Z", "2026-01-02T12:00:00Z"
AT_DAY_2 = "2026-01-02T00:00:00Z"
DELETED = "deleted"
Version = tuple[str, str] | str

HISTORIES: dict[str, tuple[tuple[list[Version], list[Version], list[Version]], tuple[str | None, int]]] = {
    "an exact duplicate in every export": (
        ([("f", OLD)], [("f", OLD)], [("f", OLD)]),
        ("f", 1),
    ),
    "an exact duplicate on the next line": (([("f", OLD), ("f", OLD)], [], []), ("f", 1)),
    "the same id in a newer version": (([("f", OLD)], [], [("m", NEW)]), ("m", 2)),
    "a version that comes late": (([], [("f", MIDDLE)], [("m", NEW)]), ("m", 2)),
    "versions out of order in one file": (([("m", MIDDLE), ("f", OLD)], [], []), ("m", 2)),
    "a version that goes back to earlier content": (
        ([("f", OLD)], [("m", MIDDLE)], [("f", NEW)]),
        ("f", 3),
    ),
    "a deletion bundle": (([("f", OLD)], [], [DELETED]), (None, 2)),
    "a deletion of one never sent": (([], [DELETED], []), (None, 1)),
    "deleted, then alive again": (([("f", OLD)], [DELETED], [("m", NEW)]), ("m", 3)),
    "a deletion that comes before the record": (([DELETED], [("f", MIDDLE)], []), ("f", 2)),
    "a deletion and a version of one instant": (([], [("f", AT_DAY_2), DELETED], []), (None, 2)),
}
"""By name: what each export says of the record, then its current content (None: deleted) and count of versions."""
SEX = {"f": "female", "m": "male"}


def export(day: int) -> Export:
    said = [(name, version) for name, (days, _) in HISTORIES.items() for version in days[day]]
    lines = [
        {
            "resourceType": "Patient",
            "id": name,
            "gender": SEX[version[0]],
            "meta": {"lastUpdated": version[1]},
        }
        for name, version in said
        if version != DELETED
    ]
    return Export(
        DAYS[day],
        {"Patient": lines},
        deleted=[f"Patient/{name}" for name, version in said if version == DELETED],
    )


@pytest.fixture(scope="module")
def found(lake: TestLake) -> dict[str, list[dict[str, Any]]]:
    for day in (0, 2, 1, 0):
        receipts = lake.ingest(SOURCE, export(day))
        sent = export(day)
        assert sum(r.received for r in receipts) == len(sent.files["Patient"]) + len(sent.deleted)
    return assert_promises()


@pytest.mark.parametrize("name", HISTORIES)
def test_the_newest_version_wins(found: dict[str, list[dict[str, Any]]], name: str) -> None:
    content, versions = HISTORIES[name][1]
    key = Pseudonymiser(load_key(settings().keys_dir / "pseudonym.key"), SOURCE).key("Patient", name)
    [row] = [row for row in found["silver.hospital__patient"] if row["patient_key"] == key]
    assert row["is_deleted"] == (content is None)
    assert row["sex"] == (SEX[content] if content else None)
    history = [row for row in found["silver.hospital__patient_history"] if row["patient_key"] == key]
    assert len(history) == versions
