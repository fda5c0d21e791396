"""Where a source declares it, what a full export leaves out has been deleted; in whatever order exports are loaded."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs.errors import CitywellError
from jobs.lake.load import checking, work
from jobs.settings import settings
from jobs.sources import find_endpoint
from tests.support.lake import Export, TestLake, instant, totals, use_home

SOURCE = "hospital_given"
RECEIPT_TIMES = ("known_from", "usable_at")


@pytest.fixture(autouse=True)
def _absence_means_deletion(monkeypatch: pytest.MonkeyPatch) -> None:
    source, endpoint = find_endpoint(SOURCE)
    sent = ("Patient", "Encounter", "Observation")
    declared = endpoint.model_copy(update={"absence_means_deletion": True, "types": sent})
    monkeypatch.setattr(work, "find_endpoint", lambda name: (source, declared))


def patient(name: str, sex: str = "female") -> dict[str, Any]:
    return {"resourceType": "Patient", "id": name, "gender": sex}


def snapshot(day: int, *lines: Any, **facts: Any) -> Export:
    return Export(instant(f"2026-01-0{day}"), {"Patient": lines}, **facts)


def alive(lake: TestLake) -> int:
    return len(lake.rows("select 1 from silver.hospital__patient where not is_deleted"))


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Cluster, sail_engine: Engine) -> TestLake:
    return use_home(monkeypatch, tmp_path, postgres, sail_engine.remote)


def test_whoever_is_left_out_is_deleted_and_may_come_back(lake: TestLake) -> None:
    lake.ingest(SOURCE, snapshot(1, patient("a"), patient("b")))
    receipts = lake.ingest(SOURCE, snapshot(2, patient("a")))
    assert totals(receipts) == {"received": 2, "duplicate": 1, "deleted": 1}
    assert alive(lake) == 1
    lake.ingest(SOURCE, snapshot(3, patient("a"), patient("b")))
    assert alive(lake) == 2


def test_a_type_without_a_file_has_been_deleted_as_a_whole(lake: TestLake) -> None:
    lake.ingest(SOURCE, snapshot(1, patient("a")))
    empty = Export(instant("2026-01-02"), {"Basic": [{"resourceType": "Basic", "id": "x"}]})
    assert totals(lake.ingest(SOURCE, empty)) == {"received": 2, "deleted": 1, "unmodelled": 1}
    assert alive(lake) == 0


def test_an_incomplete_export_deletes_nobody_whenever_it_is_loaded(lake: TestLake) -> None:
    lake.ingest(SOURCE, snapshot(2, patient("b"), complete=False))
    lake.ingest(SOURCE, snapshot(1, patient("a"), patient("b")))
    lake.ingest(SOURCE, snapshot(3, patient("a"), complete=False))
    assert alive(lake) == 2


def test_a_rejected_record_is_not_an_absent_one(lake: TestLake) -> None:
    lake.ingest(SOURCE, snapshot(1, patient("a"), patient("b"), patient("c")))
    receipts = lake.ingest(
        SOURCE, snapshot(2, patient("a"), patient("b", "f"), {**patient("c"), "gender": 7})
    )
    assert totals(receipts) == {"received": 3, "duplicate": 1, "quarantined": 2}
    assert alive(lake) == 3


def test_a_line_that_could_be_anybody_keeps_everybody(lake: TestLake) -> None:
    lake.ingest(SOURCE, snapshot(1, patient("a"), patient("b")))
    receipts = lake.ingest(SOURCE, snapshot(2, patient("a"), b'{"resourceType":"Patient","id":"b'))
    assert totals(receipts) == {"received": 2, "duplicate": 1, "quarantined": 1}
    assert alive(lake) == 2


def test_an_export_that_leaves_out_most_is_stopped(lake: TestLake) -> None:
    many = [patient(f"p{number}") for number in range(60)]
    lake.ingest(SOURCE, snapshot(1, *many))
    with pytest.raises(CitywellError, match="deletes at most 50 % of the records"):
        lake.ingest(SOURCE, snapshot(2, *many[:20]))
    assert alive(lake) == 60
    lake.ingest(SOURCE, snapshot(3, *many[:40]))
    assert alive(lake) == 40


def test_a_batch_staged_before_another_was_published_is_judged_anew(
    lake: TestLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.ingest(SOURCE, snapshot(1, patient("a"), patient("b")))
    with monkeypatch.context() as patch:
        patch.setattr(checking, "accept", _interrupted)
        with pytest.raises(InterruptedError):
            lake.ingest(SOURCE, snapshot(2, patient("a"), patient("b"), patient("c")))
    lake.ingest(SOURCE, snapshot(3, patient("a"), patient("b")))
    lake.ingest(SOURCE, snapshot(2, patient("a"), patient("b"), patient("c")))
    assert alive(lake) == 2


def test_last_updated_orders_the_records_of_one_id_and_says_when_they_were_known(lake: TestLake) -> None:
    lines = [
        {**patient(f"p{number}", sex), "meta": {"lastUpdated": f"{year}-06-01T00:00:00Z"}}
        for number in range(8)
        for year, sex in ((2024, "female"), (2025, "male"))
    ]
    lake.ingest(SOURCE, snapshot(1, *lines))
    rows = lake.rows("select sex, year(available_at) as known_in from silver.hospital__patient")
    assert rows == [{"sex": "male", "known_in": 2025}] * 8


def test_any_order_of_snapshots(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Cluster, sail_engine: Engine
) -> None:
    """Every pattern of presence and change is somebody's history; of five exports the second is incomplete, and the
    fourth has a line that could be anybody. A few people are rejected once."""
    histories = [
        *itertools.product((None, "male", "female"), repeat=5),
        *[("male", "f", *rest) for rest in itertools.product((None, "male"), repeat=3)],
    ]
    exports = [
        snapshot(
            day,
            *[patient(f"p{n}", sex) for n, history in enumerate(histories) if (sex := history[day - 1])],
            *([b'{"resourceType":"Patient"'] if day == 4 else []),
            complete=day != 2,
        )
        for day in range(1, 6)
    ]
    results = []
    for number, order in enumerate(((0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 4, 1, 3, 0))):
        lake = use_home(monkeypatch, tmp_path / str(number), postgres, sail_engine.remote)
        for place in order:
            lake.ingest(SOURCE, exports[place])
        results.append(
            [
                [{k: v for k, v in row.items() if k not in RECEIPT_TIMES} for row in lake.rows(query)]
                for query in (
                    "select * from silver.hospital__patient order by patient_key",
                    "select * from silver.hospital__patient_history "
                    "order by patient_key, version_at, is_deleted, content_hash",
                )
            ]
        )
        settings.cache_clear()
    in_time, *others = results
    assert len(in_time[0]) == len(histories) - 1
    assert all(other == in_time for other in others)


def _interrupted(*_: object) -> None:
    raise InterruptedError
