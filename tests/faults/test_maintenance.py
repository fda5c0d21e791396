"""Maintenance in between changes no row, and readers keep what they see."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from jobs import maintenance, transform
from jobs.lake import control, tables
from tests.support.exports import one_of_each, random_histories
from tests.support.lake import TestLake, instant

SOURCE = "hospital_north"
TABLES = (
    "silver.hospital__patient",
    "silver.hospital__patient_history",
    "quality.receipts",
    "silver.person_link",
)


def test_rows_stay_and_later_loads_go_on(lake: TestLake) -> None:
    first, second, third = random_histories(3, instant("2026-01-02"), exports=3, people=30)
    lake.ingest(SOURCE, one_of_each(instant("2026-01-01")))
    for export in (first, second):
        lake.ingest(SOURCE, export)
    before = {name: sorted(map(str, lake.rows(f"select * from {name}"))) for name in TABLES}
    files = len(list(tables.path_of("quality.receipts").rglob("*.parquet")))

    done = maintenance.run(datetime.now(UTC))
    assert done["tables"] > len(TABLES)
    assert done["landed_files_expired"] == 0
    assert {name: sorted(map(str, lake.rows(f"select * from {name}"))) for name in TABLES} == before
    assert len(list(tables.path_of("quality.receipts").rglob("*.parquet"))) >= files

    receipts = lake.ingest(SOURCE, third)
    assert sum(r.received for r in receipts) == len(third.files["Patient"]) + len(third.deleted)

    expired = maintenance.run(datetime(2030, 1, 1, tzinfo=UTC))["landed_files_expired"]
    assert expired > 0
    assert lake.ingest(SOURCE, third) == receipts


def test_maintenance_that_waits_for_a_load_keeps_nobody_from_gold(lake: TestLake) -> None:
    lake.ingest(SOURCE, one_of_each(instant("2026-01-01")))
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    with control.connect() as conn, ThreadPoolExecutor(1) as pool:
        with control.lock(conn, "merge hospital"):
            kept = pool.submit(maintenance.run, datetime.now(UTC))
            while not control.database.scalar(conn, waiting):
                time.sleep(0.05)
            assert transform.run("2026-01-02T00:00:00+00:00")["models"]
            assert not kept.done()
        assert kept.result(60)["tables"]
