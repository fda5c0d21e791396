"""Functions for the engine's Python workers: they are imported there by name, as those of the jobs are."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame

PATIENCE_S = 60


def held_back(df: DataFrame, gate: Path) -> DataFrame:
    """``df`` unchanged, its rows kept back until the file ``gate`` exists; ``<gate>.reached`` appears first."""

    def wait(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from _wait(batches, str(gate))

    return df.mapInArrow(wait, df.schema)


def slowly(df: DataFrame, gate: Path) -> DataFrame:
    """``df`` unchanged, fifty rows a second; ``<gate>.reached`` appears first."""

    def walk(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from _walk(batches, str(gate))

    return df.mapInArrow(walk, df.schema)


def _wait(batches: Iterator[pa.RecordBatch], gate: str) -> Iterator[pa.RecordBatch]:
    Path(f"{gate}.reached").touch()
    deadline = time.monotonic() + PATIENCE_S
    while not Path(gate).exists():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
    yield from batches


def _walk(batches: Iterator[pa.RecordBatch], gate: str) -> Iterator[pa.RecordBatch]:
    Path(f"{gate}.reached").touch()
    for batch in batches:
        for row in range(batch.num_rows):
            time.sleep(0.02)
            yield batch.slice(row, 1)


def shout(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Each word twice: as it is and in capitals."""
    for batch in batches:
        words = batch.column("word").to_pylist()
        yield pa.RecordBatch.from_pydict({"word": [w for word in words for w in (word, word.upper())]})


def blurt(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Fails with a value of a record in its message."""
    for batch in batches:
        raise ValueError(f"no such word: {batch.column('word')[0]}")
    yield from ()


def who_works(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row a partition: from when until when it was worked on (seconds), while taking half a second."""
    rows = sum(batch.num_rows for batch in batches)
    started = time.time()
    time.sleep(0.5)
    yield pa.RecordBatch.from_pydict(
        {"rows": [rows], "thread": [threading.get_ident()], "started": [started], "ended": [time.time()]}
    )
