"""NDJSON to published silver, against DuckDB and delta-rs merely loading the same files on the same cores."""

from __future__ import annotations

import gzip
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
from deltalake import write_deltalake

from jobs.lake import load as lake_load
from tests.bench.rows import Row
from tests.support.lake import Export, TestLake, instant

SOURCE = "hospital_given"


def measure(lake: TestLake, data: Path, scratch: Path) -> Iterator[Row]:
    """Rows for the files of ``data`` (NDJSON, gzip) of the modelled types; prints where our time goes."""
    plain = _unpacked(data, scratch / "plain")
    size_mb = sum(file.stat().st_size for file in plain) / 1e6

    _peer(plain[:1], scratch / "warm")
    peer_s = _peer(plain, scratch / "peer")
    lake.ingest(
        SOURCE, Export(instant("2026-01-01"), {"Patient": [{"resourceType": "Patient", "id": "warm"}]})
    )

    started = time.monotonic()
    batch = lake.land(
        SOURCE, Export(instant("2026-01-02"), {f.name.split(".")[0]: f.read_bytes() for f in plain})
    )
    landed = time.monotonic()
    with lake_load.timed() as stages:
        loaded = lake_load.load(batch)
    ours_s = landed - started + sum(stages.seconds.values())
    received = sum(receipt.received for receipt in loaded.receipts)
    print(f"# {received} records, {size_mb:.0f} MB; landing {landed - started:.1f} s, " + stages.summary())
    print(f"# peer (DuckDB + delta-rs) {peer_s:.1f} s, {size_mb / peer_s:.1f} MB/s")
    speed, peer = size_mb / ours_s, size_mb / peer_s
    yield Row(
        "load_ndjson_to_silver",
        speed,
        "MB/s",
        f"duckdb+delta-rs={peer:.1f}",
        speed / peer,
        ">=0.333",
        speed * 3 >= peer,
    )


def _unpacked(data: Path, to: Path) -> list[Path]:
    to.mkdir(parents=True)
    files = []
    for packed in sorted(data.glob("*.ndjson.gz")):
        file = to / packed.name.removesuffix(".gz")
        with gzip.open(packed) as source, file.open("wb") as target:
            shutil.copyfileobj(source, target)
        files.append(file)
    return files


def _peer(files: list[Path], to: Path) -> float:
    """Seconds in which DuckDB reads each file, its types inferred, and delta-rs writes it as a table."""
    started = time.monotonic()
    with duckdb.connect() as connection:
        connection.execute("set threads to 2")
        for file in files:
            query = "select * from read_json(?, format='newline_delimited', maximum_object_size=67108864)"
            rows = connection.execute(query, [str(file)]).to_arrow_reader(100_000)
            write_deltalake(str(to / file.stem), rows)
    return time.monotonic() - started
