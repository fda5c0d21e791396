"""The one way to a Spark session: over Spark Connect, to whichever engine the settings name.

Sail (the embedded default) and Apache Spark speak the same protocol; jobs never ask which one answers. The
few differences that cannot be papered over by portable SQL are decided here and in :mod:`jobs.lake.tables`.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit

import grpc
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.logger import PySparkLogger
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.connect.client import DefaultChannelBuilder
from pyspark.sql.connect.client.retries import DefaultPolicy, RetryPolicy
from pyspark.sql.connect.dataframe import DataFrame as ConnectDataFrame
from pyspark.sql.connect.session import SparkSession as ConnectSession

from jobs import disk
from jobs.errors import CitywellError
from jobs.settings import settings

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 3.0
USER = "citywell"
PORTABLE_CONFIG = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
}
"""Set on every session: instants are UTC, and a bad cast fails instead of becoming null (use
``try_cast``).
"""

CALL_SITES = "spark.python.sql.dataFrameDebugging.enabled"
"""PySpark (4.2) notes where each function is called, and to do so looks for IPython anew at each: five seconds of a
day's loads. Apache Spark takes this setting only when it starts; one that was started without it works on as it is."""

LARGEST_ANSWER_BYTES = 2**31 - 1
"""Of one message, the most that gRPC can tell. Sail gives the rows of a left join that found nothing as one message,
which for the cases of a large city is more than the 128 MiB that PySpark takes by itself."""

EngineKind = Literal["sail", "spark"]

_SAID_BY_A_WORKER = re.compile(
    r"CitywellError: (?P<what>[^\n]+)\n  where: (?P<where>[^\n]+)\n  do: (?P<do>[^\n]+)"
)

_DAMAGED_TABLE_SIGNS = (
    "Failed to fetch metadata for file",  # Sail
    "Object at location",
    "Missing commit file",
    "Invalid JSON in log record",
    "Invalid Parquet file",
    "FAILED_READ_FILE",  # Delta on Apache Spark
    "DELTA_FILE_NOT_FOUND",
    "DELTA_LOG_FILE_NOT_FOUND",
    "DELTA_TRUNCATED_TRANSACTION_LOG",
    "DELTA_STATE_RECOVER",
)

_OUT_OF_MEMORY_SIGNS = ("Failed to allocate additional", "Resources exhausted", "java.lang.OutOfMemoryError")
MORE_MEMORY = "give the engine more with CITYWELL_ENGINE_MEMORY_GIB, then `citywell up`"

_VALUE_LOGGERS = ("SQLQueryContextLogger", "DataFrameQueryContextLogger", "pyspark.sql.connect.logging")
"""PySpark's own loggers that print the values of a failed query on stderr, even when the error is caught. Shut by
level: whoever sets up logging anew, as Airflow does for each task, enables again what was disabled."""


@contextmanager
def session(remote: str | None = None, *, name: str | None = None) -> Iterator[SparkSession]:
    """A fresh Spark Connect session, stopped at exit.

    remote: ``sc://host:port``; by default ``settings().engine_remote``. Each call has its own catalog of views.
    name: what the session is for, such as ``load hospital_north``. An engine goes on working for a client that
    was killed, and would commit after the task has been started again; a session with a name first ends what an
    earlier one of that name left running. One at a time may have the name: its user holds a lock.

    The session is released and its channel closed explicitly: a client left open at interpreter exit goes on
    calling the engine and can hang the process for minutes. Calls to an engine that went away are retried for
    about four seconds, not the ten minutes of the client's default: a restarted engine knows no session.

    Raises CitywellError when no engine answers at ``remote``, or when it goes away in the middle.
    """
    where = remote or settings().engine_remote
    _check_reachable(where)
    note = _note_of(name) if name else None
    if note:
        _end_left_over(note)
    spark = _connect(f"{where}/;user_id={USER};session_id={uuid.uuid4()}", note)
    try:
        for key, value in PORTABLE_CONFIG.items():
            spark.conf.set(key, value)
        if spark.conf.get(CALL_SITES, "true") != "false":
            with suppress(PySparkException):
                spark.conf.set(CALL_SITES, "false")
        yield spark
    except Exception as error:
        if is_unavailable(error):
            setattr(spark, "release_session_on_close", False)  # noqa: B010 (not in the type of SparkSession)
            raise CitywellError(
                "the engine stopped answering",
                where=where,
                do="read the engine's log (`citywell status` names it), `citywell up`, then run again",
            ) from error
        raise
    finally:
        spark.stop()
        if note:
            note.unlink(missing_ok=True)


def engine_kind(spark: SparkSession) -> EngineKind:
    """Which engine answers. For :mod:`jobs.lake` only, where a difference is unavoidable.

    Apache Spark's SQL function ``version()`` begins with the version the protocol reports; Sail's is its own.
    """
    reported = spark.sql("select version()").first()
    return "spark" if reported is not None and str(reported[0]).startswith(spark.version) else "sail"


def kept(rows: DataFrame) -> DataFrame:
    """``rows`` computed now, and kept by the engine until the session ends: what reads them twice computes them once.

    PySpark (4.2) hands a checkpoint to the session it takes for the active one, in another thread than the session's
    own to any that is open; so it is put back into the session of ``rows``.
    """
    return ConnectDataFrame(rows.localCheckpoint()._plan, rows.sparkSession)  # type: ignore[arg-type]


def batches(rows: DataFrame) -> Iterator[pa.Table]:
    """``rows`` as the engine makes them, some thousands at a time, in no order: they are never in memory as a whole."""
    client, plan = rows.sparkSession.client, cast(ConnectDataFrame, rows)._plan
    for piece in client.to_table_as_iterator(plan.to_proto(client), plan.observations):
        if isinstance(piece, pa.Table):
            yield piece


class DamagedAnswer(RetryPolicy):
    """Asks again where the one answer to a call came through damaged. All such calls may be made twice: those that
    execute a plan have streams of answers."""

    def __init__(self) -> None:
        super().__init__(max_retries=2, initial_backoff=50)

    def can_retry(self, exception: BaseException) -> bool:
        """Whether ``exception`` is gRPC's for an answer that is no message."""
        return (
            isinstance(exception, grpc.RpcError)
            and not isinstance(exception, Iterator)
            and exception.code() is grpc.StatusCode.INTERNAL
            and exception.details() == "Exception deserializing response!"
        )


def is_unavailable(error: BaseException) -> bool:
    """Whether ``error`` means that no engine answers (down, killed or unreachable), rather than a failed
    query.
    """
    if isinstance(error, grpc.RpcError):
        return error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    text = str(error) if isinstance(error, PySparkException) else ""
    return "StatusCode.UNAVAILABLE" in text or "failed to connect to all addresses" in text


def is_out_of_memory(text: str) -> bool:
    """Whether an engine's error says that a sort, a join or an aggregate did not fit into the memory it may hold."""
    return any(sign in text for sign in _OUT_OF_MEMORY_SIGNS)


def describe(error: BaseException) -> str:
    """The kinds of error named in an engine's ``error``, without its message: that may quote a record's
    values.

    For example ``SparkRuntimeException [CAST_INVALID_INPUT] ValueError``.
    """
    condition = error.getCondition() if isinstance(error, PySparkException) else None
    named = re.findall(r"\b[A-Z]\w*(?:Error|Exception)\b", str(error))
    kinds = dict.fromkeys([type(error).__name__, *([f"[{condition}]"] if condition else []), *named])
    return " ".join(list(kinds)[:4])


@contextmanager
def told(where: str) -> Iterator[None]:
    """Turns what the engine refuses inside the block into an error that carries no values (:func:`refusal`)."""
    try:
        yield
    except PySparkException as error:
        if is_unavailable(error):
            raise
        raise refusal(error, "the query", where, "nothing of it was published; run it again") from None


def refusal(
    error: BaseException, what: str, where: str, consequence: str, place: Path | None = None
) -> CitywellError:
    """An engine's ``error`` for people: what our own code said inside a worker, or else the kinds of error alone.

    place: where the engine wrote, by default in the data directory; engines do not say that a disk is full.
    """
    place = place or settings().home
    if said := _SAID_BY_A_WORKER.search(str(error)):
        return CitywellError(said["what"], where=said["where"], do=said["do"])
    if disk.is_full(error) or not disk.has_room(place):
        return disk.full(error, place)
    if is_out_of_memory(str(error)):
        return CitywellError(
            f"the engine has not the memory for {what}", where=where, do=f"{MORE_MEMORY}; {consequence}"
        )
    if any(sign in str(error) for sign in _DAMAGED_TABLE_SIGNS):
        return CitywellError(
            f"the engine refused {what}: a file of a table is missing or damaged",
            where=where,
            do="run `citywell maintain`: it mends what it can and names table, version and file of what it cannot; "
            + consequence,
        )
    return CitywellError(
        f"the engine refused {what}: {describe(error)}",
        where=where,
        do=f"look at the engine's log (`citywell status` names it); {consequence}",
    )


def _connect(address: str, note: Path | None = None) -> SparkSession:
    """A client of the session that ``address`` names, which goes into the file ``note`` first."""
    if note:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(address)
    for logger in _VALUE_LOGGERS:
        PySparkLogger.getLogger(logger).setLevel(logging.CRITICAL + 1)
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"  # as SparkSession.builder.remote does
    channel = DefaultChannelBuilder(address, [("grpc.max_receive_message_length", LARGEST_ANSWER_BYTES)])
    spark = cast(SparkSession, ConnectSession.Builder().channelBuilder(channel).create())
    away = DefaultPolicy(max_retries=4, initial_backoff=100, max_backoff=2_000)
    spark.client.set_retry_policies([away, DamagedAnswer()])
    return spark


def _note_of(name: str) -> Path:
    """Where the address of the session called ``name`` is kept while it is open."""
    return settings().home / "sessions" / re.sub(r"\W+", "_", name)


def _end_left_over(note: Path) -> None:
    """Interrupt the session in ``note``, left by a process that was killed."""
    if not note.exists():
        return
    address = note.read_text()
    try:
        _check_reachable(address.partition("/;")[0])
        spark = _connect(address)
        try:
            ended = spark.interruptAll()
            log.warning("ended %d operations that a killed run had left to the engine", len(ended))
        finally:
            spark.stop()
    except (CitywellError, PySparkException) as error:
        log.info("nothing left to end: %s", describe(error))
    note.unlink(missing_ok=True)


def _check_reachable(remote: str) -> None:
    address = urlsplit(remote)
    if address.scheme != "sc" or not address.hostname:
        raise CitywellError(
            "the engine's address is not a Spark Connect one", where=remote, do="write it as sc://host:port"
        )
    try:
        socket.create_connection((address.hostname, address.port or 15002), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise CitywellError(
            "no engine answers", where=remote, do="start it with `citywell up`, and see `citywell status`"
        ) from error
