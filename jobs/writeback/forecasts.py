"""Forecasts for those who plan: ``serving.forecast`` in PostgreSQL.

Flow: ``scores.forecast`` (the newest issue of each family, all of its series, with the facility a series is of) ->
COPY into a staging table -> one MERGE -> commit. Readers see the table before or after, never between. A family that
was not issued again keeps its last issue; ``issue_at`` says how old that is.

Rights: ``care`` reads the table. ``analyst`` reads ``serving.forecast_by_place`` only. A forecast is of nobody, but a
short one of a small place is close to the number of people who are there now: so wards and drugs of one pharmacy are
left out there, and quantiles are withheld and rounded as counts of people are (``jobs.writeback.disclosure``).
"""

from __future__ import annotations

import pyarrow as pa
from psycopg import sql
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs import postgres
from jobs.writeback import replacing, serving
from jobs.writeback.serving import DATABASE, Connection, LoadResult

TABLE = "scores.forecast"
COLUMNS = (
    *("family", "series", "level", "grain", "facility_key", "facility_name"),
    *("issue_at", "target_at", "target_date", "horizon"),
    *("expected", "p05", "p10", "p50", "p90", "p95"),
    *("model_name", "model_version"),
)
NEEDS = (TABLE, "gold.dim_facility")
_KEY = ("family", "series", "target_at")
_TABLE = sql.Identifier("serving", "forecast")
_OF_A_FACILITY = ("hospital", "ward", "pharmacy", "atc_group")
"""Levels of which the first part of ``series`` is a facility_key."""

# The threshold of the view is that of jobs.writeback.disclosure; a test holds the two together.
_DDL = """
create table if not exists serving.forecast (
    family text not null,
    series text not null,
    level text not null,
    grain text not null check (grain in ('hour', 'day', 'week')),
    facility_key text,
    facility_name text,
    issue_at timestamptz not null,
    target_at timestamptz not null,
    target_date date not null,
    horizon integer not null check (horizon > 0),
    expected double precision not null,
    p05 double precision not null,
    p10 double precision not null,
    p50 double precision not null,
    p90 double precision not null,
    p95 double precision not null,
    model_name text not null,
    model_version text not null,
    primary key (family, series, target_at),
    check (p05 <= p10 and p10 <= p50 and p50 <= p90 and p90 <= p95)
);
comment on table serving.forecast is
    'One row per family, series and target time of the family''s newest issue. expected adds up over parts of a
series; quantiles do not.';

create or replace function serving.shown(amount double precision) returns bigint
language sql immutable parallel safe as
$$ select case when round(amount) = 0 then 0 when round(amount) >= 5 then 5 * floor(round(amount) / 5.0 + 0.5) end $$;
comment on function serving.shown is 'A number of people as it may be shown; null where 1 to 4.';

create or replace view serving.forecast_by_place with (security_barrier) as
select
    family,
    series,
    level,
    grain,
    facility_name,
    issue_at,
    target_at,
    target_date,
    horizon,
    serving.shown(p05) as p05,
    serving.shown(p10) as p10,
    serving.shown(p50) as p50,
    serving.shown(p90) as p90,
    serving.shown(p95) as p95,
    serving.shown(p50) is null as is_suppressed,
    model_name,
    model_version
from serving.forecast
where level in ('city', 'hospital', 'pharmacy', 'district');
comment on view serving.forecast_by_place is
    'Forecasts of the city and its hospitals, pharmacies and districts, rounded to 5; null where 1 to 4.';

revoke all on serving.forecast, serving.forecast_by_place from public, care, analyst;
grant usage on schema serving to care, analyst;
grant select on serving.forecast, serving.forecast_by_place to care;
grant select on serving.forecast_by_place to analyst;
grant execute on function serving.shown to care, analyst;
"""


def migrate(conn: Connection) -> None:
    """Bring the table, its view and rights to this version, as the owner. Changes nothing the second time."""
    serving.migrate(conn)
    postgres.migrate(conn, "serving.forecast", _DDL.encode())


def newest_batches(forecasts: DataFrame) -> DataFrame:
    """Of each issue in ``forecasts``, rows of ``scores.forecast``, the batch that was issued last, as a whole.

    An issue, of a family and an instant, is repeated by another model or from newer data; ``issued_at`` says which came
    last, then ``batch_id``. A row made before there was an ``issued_at`` has null there, and comes before all others.
    """
    if "issued_at" not in forecasts.columns:
        forecasts = forecasts.withColumn("issued_at", F.lit(None).cast("timestamp"))
    last_first = Window.partitionBy("family", "issue_at").orderBy(
        F.desc_nulls_last("issued_at"), F.desc("batch_id")
    )
    return forecasts.withColumn("place", F.dense_rank().over(last_first)).where("place = 1").drop("place")


def newest_issues(spark: SparkSession) -> DataFrame:
    """The newest issue of each family in the published ``scores.forecast``, with the facility of each series that has
    one. COLUMNS."""
    issues = spark.table(TABLE).withColumn("last", F.max("issue_at").over(Window.partitionBy("family")))
    newest = newest_batches(issues.where("issue_at = last"))
    facility = spark.table("gold.dim_facility").where("is_current").groupBy("facility_key")
    of_facility = F.when(F.col("level").isin(*_OF_A_FACILITY), F.substring_index("series", "|", 1))
    return (
        newest.withColumn("facility_key", of_facility)
        .join(facility.agg(F.max("name").alias("facility_name")), "facility_key", "left")
        .select(*COLUMNS)
    )


def newest(spark: SparkSession) -> pa.Table:
    """Rows of :func:`newest_issues`."""
    return newest_issues(spark).toArrow()


@postgres.discreet(DATABASE)
def load(conn: Connection, found: pa.Table) -> LoadResult:
    """Make ``serving.forecast`` equal to ``found`` (COLUMNS), in one transaction. The same again changes nothing.

    Raises CitywellError when the database fails; the table is then as it was.
    """
    with conn.transaction(), conn.cursor() as cursor:
        replacing.stage(cursor, _TABLE, COLUMNS, found)
        return LoadResult(found.num_rows, replacing.merge(cursor, _TABLE, COLUMNS, _KEY))
