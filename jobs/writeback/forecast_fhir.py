"""Forecasts of occupied beds to the hospitals that take them, as FHIR Observations.

Flow: the newest issue -> the hospital's own organizations (audited vault) -> what the hospital holds is read -> what
is missing or says something else is sent by conditional update ``PUT Observation?identifier=urn:citywell:forecast|…``
-> what it holds is read again. So nothing is sent twice, a newer issue takes the place of an older one, and a run that
was killed is simply run again. Only an endpoint that declares ``takes_forecasts`` is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import postgres
from jobs.extract.waiting import SYSTEM_CLOCK, Clock
from jobs.identity import vault
from jobs.lake import control
from jobs.sources import load_all
from jobs.writeback import forecast_observation, forecasts
from jobs.writeback.forecast_observation import IDENTIFIER_SYSTEM, BedForecast, Resource
from jobs.writeback.hospital import HospitalServer, Written, opened
from jobs.writeback.risk_assessment import is_same

log = logging.getLogger(__name__)

OBSERVATION = Written("Observation", IDENTIFIER_SYSTEM, "forecast")
FAMILY, TITLE = "occupancy_daily", "patients in the hospital's beds at the end of the day"
_ACTOR = "writeback"
_DDL = """
create table if not exists refused_forecast (
    source text primary key,
    forecasts integer not null check (forecasts > 0),
    codes text not null
);
comment on table refused_forecast is 'One row per hospital that refused forecasts in the newest run.';
"""


@dataclass(frozen=True)
class Sent:
    """Forecasts of a hospital by what became of them: sent now, held as they are already, refused, of an organization
    that the vault does not know. ``holding``: those that the hospital holds, read back. ``codes``: of refusals."""

    sent: int
    already: int
    refused: int
    unknown: int
    holding: int
    codes: str = ""


def migrate(conn: control.Connection) -> None:
    """Make the table ``refused_forecast`` of the control database. Changes nothing the second time."""
    postgres.migrate(conn, "refused_forecast", _DDL.encode())


@postgres.discreet(control.DATABASE)
def record(conn: control.Connection, results: Mapping[str, Sent]) -> None:
    """Make ``refused_forecast`` tell what hospitals refused in the run whose ``results``, by source, these are."""
    migrate(conn)
    refused = [(source, sent.refused, sent.codes) for source, sent in results.items() if sent.refused]
    with conn.transaction(), conn.cursor() as cursor:
        cursor.execute("delete from refused_forecast")
        cursor.executemany(
            "insert into refused_forecast (source, forecasts, codes) values (%s, %s, %s)", refused
        )


def newest(spark: SparkSession, as_of: datetime) -> list[BedForecast]:
    """Of each hospital the newest forecasts of days that are not over at ``as_of``, by hospital and day.

    A day is over at the end of ``target_date`` in the hospital's time zone (jobs/sources).
    """
    issues = forecasts.newest_issues(spark)
    beds = issues.where((F.col("family") == FAMILY) & (F.col("level") == "hospital"))
    hospital = spark.table("gold.dim_facility").where("kind = 'hospital'").groupBy("facility_key")
    found = beds.join(hospital.agg(F.max("source").alias("source")), "facility_key").toArrow()
    order = [("source", "ascending"), ("facility_key", "ascending"), ("target_date", "ascending")]
    names = [field.name for field in fields(BedForecast) if field.name != "title"]
    zones = {e.name: e.time_zone for source in load_all().values() for e in source.endpoints.values()}
    return [
        BedForecast(title=TITLE, **{name: row[name] for name in names})
        for row in found.sort_by(order).to_pylist()
        if _end(row["target_date"], zones.get(row["source"], "UTC")) > as_of
    ]


def write_back(
    source: str,
    found: Sequence[BedForecast],
    *,
    vault_conn: vault.Connection,
    run_id: str,
    clock: Clock = SYSTEM_CLOCK,
) -> Sent:
    """Make the hospital ``source`` hold ``found``, forecasts of its own organizations, and read them back.

    What it refuses is counted and tried by the next run. Raises CitywellError when the hospital does not answer, or
    does not let us in.
    """
    access = vault.Access(_ACTOR, f"write forecasts back to {source}", run_id)
    ids = vault.resolve(vault_conn, [forecast.facility_key for forecast in found], access)
    expected = {
        forecast.key: forecast_observation.resource(forecast, known.source_id)
        for forecast in found
        if (known := ids.get(forecast.facility_key)) is not None and known.source == source
    }
    with opened(source, OBSERVATION, clock) as hospital:
        due = _not_held(hospital, expected)
        outcomes = [hospital.put(key, expected[key]) for key in due]
        missing = _not_held(hospital, expected) if due else []
    refused = [outcome for outcome in outcomes if outcome.state == "refused"]
    codes = "; ".join(sorted({f"HTTP {outcome.status} {outcome.reason}" for outcome in refused}))
    if refused:
        log.warning("%s refuses forecasts: %s", source, codes)
    return Sent(
        sent=len(outcomes) - len(refused),
        already=len(expected) - len(due),
        refused=len(refused),
        unknown=len(found) - len(expected),
        holding=len(expected) - len(missing),
        codes=codes,
    )


def _end(day: date, time_zone: str) -> datetime:
    """The instant at which ``day`` ends in a time zone."""
    return datetime.combine(day + timedelta(days=1), time(), ZoneInfo(time_zone))


def _not_held(hospital: HospitalServer, expected: Mapping[str, Resource]) -> list[str]:
    """Keys of what the hospital does not hold once and as it is."""
    held: dict[str, list[Resource]] = {}
    for resource in hospital.search(list(expected)):
        held.setdefault(forecast_observation.identifier(resource) or "", []).append(resource)
    return [
        key
        for key, resource in expected.items()
        if len(copies := held.get(key, [])) != 1 or not is_same(copies[0], resource)
    ]
