"""The steps of the write-back DAG: scores and forecasts to the serving database and to the hospitals."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pyspark.sql import SparkSession

from jobs.errors import CitywellError
from jobs.identity import vault
from jobs.lake import catalog, control, engine
from jobs.sources import FhirEndpoint, load_all
from jobs.writeback import ages, fhir, forecast_fhir, forecasts, serving

log = logging.getLogger(__name__)

SCORES = "scores.risk"
TABLES = (SCORES, "scores.question", ages.ANSWERED, "gold.fct_encounter", "gold.dim_facility")
FORECASTS = forecasts.TABLE


def are_published(table: str) -> bool:
    """Whether there is anything in ``table`` to take to anybody."""
    with control.connect() as conn:
        control.migrate(conn)
        return table in control.current_versions(conn)


def to_serving(as_of: str) -> dict[str, Any]:
    """Load the newest scores that hold at ``as_of`` into ``serving.risk``, and when they were made into
    ``serving.answered``. Returns rows and how many changed."""
    with _one_at_a_time("serving"):
        with scored_lake() as (spark, versions):
            scores = serving.newest(spark, datetime.fromisoformat(as_of))
            answered = ages.answered(spark)
        with serving.connect() as conn:
            serving.migrate(conn)
            ages.load(conn, answered)
            return asdict(serving.load(conn, scores, run_id=as_of, data_versions=versions))


def forecasts_to_serving() -> dict[str, Any]:
    """Load the newest issue of every family into ``serving.forecast``. Returns rows and how many changed."""
    with _one_at_a_time("serving forecasts"):
        with _published(forecasts.NEEDS, "Run the transform and forecast DAGs first.") as (spark, _):
            found = forecasts.newest(spark)
        with serving.connect() as conn:
            forecasts.migrate(conn)
            return asdict(forecasts.load(conn, found))


def to_hospitals(as_of: str) -> dict[str, Any]:
    """Send each hospital its scores that hold at ``as_of``, and what was withdrawn. Returns states by source.

    A hospital that is down, or whose key is missing, holds up nobody else: when all have been tried, the sources in
    trouble are named in one CitywellError. What a hospital refuses is logged and tried by the next run.
    """
    results: dict[str, fhir.WritebackResult] = {}
    troubles: dict[str, CitywellError] = {}
    with (
        _one_at_a_time("writeback") as conn,
        scored_lake() as (spark, _),
        vault.connect() as vault_conn,
    ):
        for source in _sources(spark):
            try:
                scores = fhir.newest(spark, source, datetime.fromisoformat(as_of))
                result = fhir.write_back(source, scores, conn=conn, vault_conn=vault_conn, run_id=as_of)
            except CitywellError as error:
                troubles[source] = error
                continue
            results[source] = result
            if result.trouble is not None:
                troubles[source] = result.trouble
            log.info(
                "%s: %d sent, %d refused, %d pending", source, result.sent, result.refused, result.pending
            )
    _raise("Not all scores were sent", troubles)
    return {s: {"sent": r.sent, "refused": r.refused, "pending": r.pending} for s, r in results.items()}


def forecasts_to_hospitals(as_of: str) -> dict[str, Any]:
    """Send each hospital that takes them the forecasts of its beds for the days not over at ``as_of``; by source.

    A hospital in trouble holds up nobody else, as in ``to_hospitals``. What a hospital refuses is recorded, and tried
    by the next run.
    """
    results: dict[str, forecast_fhir.Sent] = {}
    troubles: dict[str, CitywellError] = {}
    with (
        _one_at_a_time("writeback forecasts") as conn,
        _published(forecasts.NEEDS, "Run the transform and forecast DAGs first.") as (spark, _),
        vault.connect() as vault_conn,
    ):
        found = forecast_fhir.newest(spark, datetime.fromisoformat(as_of))
        for source in sorted({forecast.source for forecast in found} & _taking_forecasts()):
            own = [forecast for forecast in found if forecast.source == source]
            try:
                sent = forecast_fhir.write_back(source, own, vault_conn=vault_conn, run_id=as_of)
            except CitywellError as error:
                troubles[source] = error
                continue
            results[source] = sent
            log.info("%s: %d forecasts sent, %d refused", source, sent.sent, sent.refused)
        forecast_fhir.record(conn, results)
    _raise("Not all forecasts were sent", troubles)
    return {source: asdict(sent) for source, sent in results.items()}


def _taking_forecasts() -> set[str]:
    """The hospitals that take forecasts."""
    endpoints = [e for source in load_all().values() for e in source.endpoints.values()]
    return {e.name for e in endpoints if isinstance(e, FhirEndpoint) and e.takes_forecasts}


def verify_hospitals(as_of: str, *, but: Collection[str] = ()) -> dict[str, fhir.Verification]:
    """Read the RiskAssessments of every hospital, ``but`` these, back and compare them with ``scores.risk``.

    Raises CitywellError when one does not answer.
    """
    moment = datetime.fromisoformat(as_of)
    with scored_lake() as (spark, _), vault.connect() as vault_conn:
        return {
            source: fhir.verify(
                source, fhir.newest(spark, source, moment), vault_conn=vault_conn, run_id=as_of
            )
            for source in _sources(spark)
            if source not in but
        }


def _raise(what: str, troubles: Mapping[str, CitywellError]) -> None:
    """One CitywellError that names the sources in trouble; none where there is none."""
    if troubles:
        raise CitywellError(
            f"{what}: " + "; ".join(f"{source}: {error.what}" for source, error in troubles.items()),
            where="; ".join(dict.fromkeys(error.where for error in troubles.values())),
            do="; ".join(dict.fromkeys(error.do for error in troubles.values())),
        )


@contextmanager
def _one_at_a_time(work: str) -> Iterator[control.Connection]:
    """Waits until no other run does ``work``. Scores are read after that: who sends last has read last, so that an
    older score never takes the place of a newer one."""
    with control.connect() as conn, control.lock(conn, work, patience_ms=control.LONG_PATIENCE_MS):
        yield conn


@contextmanager
def scored_lake() -> Iterator[tuple[SparkSession, Mapping[str, int]]]:
    """A session with the published scores and what write-back reads beside them, and their versions.

    Raises CitywellError when nobody has been scored yet.
    """
    with _published(TABLES, "Run the transform, train and score DAGs first.") as opened:
        yield opened


@contextmanager
def _published(needed: Sequence[str], do: str) -> Iterator[tuple[SparkSession, Mapping[str, int]]]:
    """A session with the tables ``needed`` as published, and their versions. Raises CitywellError for one that is
    not."""
    with control.connect() as conn:
        control.migrate(conn)
        published = control.current_versions(conn)
    versions = {table: published[table] for table in needed if table in published}
    if len(versions) < len(needed):
        raise CitywellError(
            f"Not published yet: {', '.join(sorted(set(needed) - set(versions)))}",
            where="control database, publications",
            do=do,
        )
    with engine.session() as spark:
        catalog.register(spark, versions)
        yield spark, versions


def _sources(spark: SparkSession) -> list[str]:
    """The hospitals that have scores. One that is no longer declared is left out, and the log says so."""
    scored = {row[0] for row in spark.sql(f"select distinct source from {SCORES}").collect()}  # noqa: S608
    declared = {name for source in load_all().values() for name in source.endpoints}
    for source in sorted(scored - declared):
        log.warning("%s is no longer declared: its risk scores are not sent", source)
    return sorted(scored & declared)
