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
from datetime import UTC, datetime

from pyspark.sql import SparkSession

from jobs.extract.waiting import SYSTEM_CLOCK, Clock
from jobs.identity import vault
from jobs.writeback import forecast_observation, forecasts
from jobs.writeback.forecast_observation import IDENTIFIER_SYSTEM, BedForecast, Resource
from jobs.writeback.hospital import HospitalServer, Written, opened
from jobs.writeback.risk_assessment import is_same

log = logging.getLogger(__name__)

OBSERVATION = Written("Observation", IDENTIFIER_SYSTEM, "forecast")
FAMILY, TITLE = "occupancy_daily", "patients in the hospital's beds at the end of the day"
_ACTOR = "writeback"
_BEDS = """
select n.*, f.source
from ({newest}) as n
inner join (
    select facility_key, max(source) as source from gold.dim_facility where kind = 'hospital' group by facility_key
) as f on n.facility_key = f.facility_key
where n.family = '{family}' and n.level = 'hospital' and n.target_at >= timestamp '{as_of}'
"""


@dataclass(frozen=True)
class Sent:
    """Forecasts of a hospital by what became of them: sent now, held as they are already, refused, of an organization
    that the vault does not know. ``holding``: those that the hospital holds, read back."""

    sent: int
    already: int
    refused: int
    unknown: int
    holding: int


def newest(spark: SparkSession, as_of: datetime) -> list[BedForecast]:
    """Of each hospital the newest forecasts of days that are not over at ``as_of``, by hospital and day."""
    moment = f"{as_of.astimezone(UTC):%Y-%m-%d %H:%M:%S.%fZ}"
    query = _BEDS.format(newest=forecasts.newest_query(), family=FAMILY, as_of=moment)
    order = [("source", "ascending"), ("facility_key", "ascending"), ("target_date", "ascending")]
    rows = spark.sql(query).toArrow().sort_by(order).to_pylist()
    names = [field.name for field in fields(BedForecast) if field.name != "title"]
    return [BedForecast(title=TITLE, **{name: row[name] for name in names}) for row in rows]


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
    for status, reason in sorted({(outcome.status or 0, outcome.reason or "") for outcome in refused}):
        log.warning("%s refuses forecasts: HTTP %d, %s", source, status, reason)
    return Sent(
        sent=len(outcomes) - len(refused),
        already=len(expected) - len(due),
        refused=len(refused),
        unknown=len(found) - len(expected),
        holding=len(expected) - len(missing),
    )


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
