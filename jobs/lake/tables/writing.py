"""What every write has in common: losing a race, and errors that carry no values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pyspark.errors import PySparkException
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from jobs.errors import CitywellError
from jobs.lake.engine import is_unavailable, refusal
from jobs.lake.tables.names import path_of

T = TypeVar("T")

_LOST_RACE_SIGNS = (
    "Failed to commit transaction",  # Sail
    "Transaction failed",  # Sail, delta-rs
    "DELTA_CONCURRENT_",  # Delta on Apache Spark
    "DELTA_METADATA_CHANGED",
    "DELTA_PROTOCOL_CHANGED",
    "DELTA_VERSIONS_NOT_CONTIGUOUS",
    "ConcurrentAppendException",
    "ConcurrentDelete",
    "ConcurrentWriteException",
    "ConcurrentTransactionException",
    "MetadataChangedException",
    "ProtocolChangedException",
)


class LostRace(CitywellError):
    """Another writer committed first. Nothing was written; running the same step again is safe
    (:func:`retrying`).
    """


def retrying(step: Callable[[], T], attempts: int = 5) -> T:
    """Run ``step`` again, after a random growing pause, while it raises LostRace; then let it through."""
    return Retrying(
        retry=retry_if_exception_type(LostRace),
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        reraise=True,
    )(step)


def guarded(write: Callable[[], object], table: str, lake: Path | None) -> None:
    """Run ``write``; turn a lost race and a refused write into errors that carry no values."""
    try:
        write()
    except PySparkException as error:
        if any(sign in str(error) for sign in _LOST_RACE_SIGNS):
            raise lost(table) from None
        if is_unavailable(error):
            raise
        raise refusal(error, "the write", table, "the table is as it was", path_of(table, lake)) from None


def lost(table: str) -> LostRace:
    """The error of a writer that came second."""
    return LostRace(
        "another writer committed first", where=table, do="run the step again; nothing was written"
    )
