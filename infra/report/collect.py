"""Gathers the City report's figures from the published lake, the control database and MLflow.

Only aggregates leave the engine. A table that is not published yet leaves its section empty.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from pyspark.sql import SparkSession

from infra.report import from_forecasts, from_mining, from_mlflow, from_monitoring
from infra.report.model import (
    OUTCOMES,
    Activity,
    Checked,
    Coverage,
    Flow,
    Forecaster,
    Quarantined,
    Question,
    Reason,
    ReportData,
    Scored,
    Written,
)
from jobs.errors import CitywellError
from jobs.lake import catalog, control, engine
from jobs.writeback import fhir, serving

log = logging.getLogger(__name__)

MEASUREMENTS_SHOWN = 14
_SHOWN_SCHEMAS = ("silver.", "gold.", "scores.", "features.", "quality.")

_QUARANTINE = "select source, rule, count(*) as records from quality.quarantine group by source, rule"
_CHECKS = """
with newest as (
    select source, max(checked_at) as checked_at from quality.validations group by source
)

select
    v.source, v.table, count(*) as checks,
    sum(case when not v.success and v.severity = 'critical' then 1 else 0 end) as failed,
    sum(case when not v.success and v.severity <> 'critical' then 1 else 0 end) as warnings
from quality.validations as v
inner join newest as n on v.source = n.source and v.checked_at = n.checked_at
group by v.source, v.table
"""
_ACTIVITY = """
with daily as (
    select
        source, date, sum(arrivals) as arrivals, sum(admissions) as admissions, sum(occupancy) as occupancy
    from gold.agg_facility_daily
    where occupancy is not null
    group by source, date
)

select
    source, cast(date_trunc('month', date) as date) as month, sum(arrivals) as arrivals,
    sum(admissions) as admissions, avg(cast(occupancy as double)) as occupancy
from daily
group by source, cast(date_trunc('month', date) as date)
"""
_COVERAGE = """
with measured as (
    select source, code, max(code_display) as display, count(distinct person_key) as people
    from gold.fct_measurement
    where value_type is not null and told_by in ('fhir', 'both')
    group by source, code
),

patient as (
    select p.source, coalesce(l.person_key, p.patient_key) as person_key
    from silver.hospital__patient as p
    left join silver.person_link as l on p.patient_key = l.patient_key
    where not (coalesce(p.is_deleted, false) or coalesce(p.is_entered_in_error, false))
),

people as (
    select source, count(distinct person_key) as of_people
    from (
        select source, person_key from patient
        union all
        select source, person_key from gold.fct_measurement where told_by in ('fhir', 'both')
    )
    group by source
)

select m.source, m.code, m.display, m.people, p.of_people
from measured as m
inner join people as p on m.source = p.source
"""
"""A person counts in every hospital that has a record of them."""
_SCORED = "select target, source, band, count(*) as people from ({in_force}) group by target, source, band"
_PEOPLE_SCORED = "select count(distinct person_key) as people from ({in_force})"
_REASONS = """
select target, coalesce(reason.feature, reason.label) as feature, count(distinct person_key) as people
from (
    select
        target, person_key,
        explode(from_json(reasons, 'array<struct<feature: string, label: string, effect: string>>')) as reason
    from ({in_force})
)
where coalesce(reason.effect, 'raises') = 'raises'
group by target, coalesce(reason.feature, reason.label)
"""
_SCORE_TABLES = ("scores.risk", "gold.fct_encounter", "gold.dim_facility")


def gather(*, as_of: datetime, stages: Mapping[str, float]) -> ReportData:
    """Everything as published now.

    stages: seconds by name, in order.
    """
    with control.connect() as conn:
        control.migrate(conn)
        versions = control.current_versions(conn)
        with engine.session() as spark:
            catalog.register(
                spark, {name: at for name, at in versions.items() if not name.startswith("bronze.")}
            )
            return collect(
                spark,
                conn,
                versions,
                as_of=as_of,
                stages=stages,
                questions=from_mlflow.questions(),
                forecasters=from_mlflow.forecasters(),
                served=served(),
            )


def collect(
    spark: SparkSession,
    conn: control.Connection,
    versions: Mapping[str, int],
    *,
    as_of: datetime,
    stages: Mapping[str, float],
    questions: tuple[Question, ...] = (),
    forecasters: tuple[Forecaster, ...] = (),
    served: int | None = None,
) -> ReportData:
    """The figures of the tables in ``versions``, registered in ``spark``, and of the control database.

    Scores are those in force at ``as_of``, as serving has them.
    """

    def rows(query: str, *tables: str) -> list[dict[str, Any]]:
        if not set(tables) <= set(versions):
            return []
        return spark.sql(query).toArrow().to_pylist()

    shown = sorted(name for name in versions if name.startswith(_SHOWN_SCHEMAS))
    in_force = serving.newest_query(as_of)
    return ReportData(
        as_of=as_of,
        made_at=datetime.now(UTC),
        engine="Sail" if engine.engine_kind(spark) == "sail" else "Apache Spark",
        tables={name: _count(spark, name) for name in shown},
        versions=dict(versions),
        flows=_flows(control.receipts(conn)),
        quarantine=tuple(Quarantined(**row) for row in rows(_QUARANTINE, "quality.quarantine")),
        checks=tuple(
            sorted(
                (Checked(**row) for row in rows(_CHECKS, "quality.validations")),
                key=lambda c: (c.source, c.table),
            )
        ),
        activity=tuple(Activity(**row) for row in rows(_ACTIVITY, "gold.agg_facility_daily")),
        coverage=_coverage(
            rows(_COVERAGE, "gold.fct_measurement", "silver.hospital__patient", "silver.person_link")
        ),
        questions=questions,
        forecasters=forecasters,
        people_scored=sum(
            row["people"] for row in rows(_PEOPLE_SCORED.format(in_force=in_force), *_SCORE_TABLES)
        ),
        scored=tuple(Scored(**row) for row in rows(_SCORED.format(in_force=in_force), *_SCORE_TABLES)),
        reasons=tuple(Reason(**row) for row in rows(_REASONS.format(in_force=in_force), *_SCORE_TABLES)),
        written=_written(conn),
        served=served,
        mined=from_mining.mined(rows),
        forecasts=from_forecasts.forecasts(spark, rows, versions),
        monitored=from_monitoring.monitored(rows, versions),
        stages=dict(stages),
    )


def served() -> int | None:
    """Rows of ``serving.risk``; None where the database does not answer or has no such table yet."""
    try:
        with serving.connect() as conn:
            row = conn.execute("select count(*) from serving.risk").fetchone()
    except (CitywellError, psycopg.Error) as error:
        log.warning("the serving database was not asked (%s)", type(error).__name__)
        return None
    return None if row is None else int(row[0])


def _count(spark: SparkSession, table: str) -> int:
    row = spark.sql(f"select count(*) from {table}").first()  # noqa: S608
    return int(row[0]) if row is not None else 0


def _flows(receipts: Sequence[control.Receipt]) -> tuple[Flow, ...]:
    sums: dict[tuple[str, str], dict[str, int]] = {}
    for receipt in receipts:
        place = sums.setdefault((receipt.source, receipt.resource_type), {})
        for name in ("received", *OUTCOMES):
            place[name] = place.get(name, 0) + getattr(receipt, name)
    return tuple(Flow(source, resource_type, **counts) for (source, resource_type), counts in sums.items())


def _coverage(rows: Sequence[Mapping[str, Any]]) -> tuple[Coverage, ...]:
    """The measurements that most people have, over all hospitals, in the hospitals' own words."""
    reach: dict[str, int] = {}
    words: dict[str, str] = {}
    for row in rows:
        reach[row["code"]] = reach.get(row["code"], 0) + row["people"]
        words[row["code"]] = max(words.get(row["code"], ""), row["display"] or "")
    widest = sorted(reach, key=lambda code: (-reach[code], code))[:MEASUREMENTS_SHOWN]
    return tuple(
        Coverage(
            row["source"],
            f"{words[row['code']]} ({row['code']})" if words[row["code"]] else row["code"],
            row["people"],
            row["of_people"],
        )
        for row in rows
        if row["code"] in widest
    )


def _written(conn: control.Connection) -> tuple[Written, ...]:
    fhir.migrate(conn)
    counts: dict[str, dict[str, int]] = {}
    for source, state, scores in conn.execute(
        "select source, state, count(*) from writeback where state <> 'expired' group by source, state"
    ):
        counts.setdefault(source, {"sent": 0, "refused": 0, "pending": 0})[state] = scores
    return tuple(Written(source, **states) for source, states in sorted(counts.items()))
