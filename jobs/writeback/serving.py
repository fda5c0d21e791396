"""Risk scores for the people who act on them: ``serving.risk`` in PostgreSQL.

Flow: ``scores.risk`` (newest per person, as known now, and target that is neither withdrawn nor expired, with the
facility of the stay) -> COPY into a staging table -> one MERGE -> commit. Readers see the table before or after, never
between.

Rights: ``care`` reads the scores. ``analyst`` reads ``serving.risk_by_facility``: counts with small numbers suppressed;
and, as ``care`` does, how old the scores are (``ages``). Nobody else reads anything; ``serving`` owns it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.types.json import Jsonb
from pyspark.sql import SparkSession

from jobs import postgres
from jobs.crash import crash_here
from jobs.errors import CitywellError
from jobs.settings import settings
from jobs.writeback import ages, replacing

DATABASE = "serving"
OWNER_ROLE = "serving"
_TABLE = sql.Identifier("serving", "risk")
_KEY = ("person_key", "target")
Connection = psycopg.Connection[tuple[Any, ...]]

COLUMNS = (
    "person_key",
    "target",
    "risk_key",
    "patient_key",
    "source",
    "encounter_key",
    "facility_key",
    "facility_name",
    "as_of",
    "probability",
    "band",
    "reasons",
    "model_name",
    "model_version",
    "scored_at",
    "expires_at",
)

# The thresholds of the view are those of jobs.writeback.disclosure; a test holds the two together.
_DDL = """
create schema if not exists serving;
revoke all on schema serving from public;
revoke all on schema public from public;

create table if not exists serving.risk (
    person_key text not null,
    target text not null,
    risk_key text not null,
    patient_key text not null,
    source text not null,
    encounter_key text,
    facility_key text,
    facility_name text,
    as_of timestamptz not null,
    probability double precision not null check (probability between 0 and 1),
    band text not null,
    reasons jsonb not null,
    model_name text not null,
    model_version text not null,
    scored_at timestamptz not null,
    expires_at timestamptz not null,
    primary key (person_key, target)
);
-- Checked when a load ends: within one, the score of a stay that is now another person's may stand with both.
alter table serving.risk
    drop constraint if exists risk_risk_key_key,
    add constraint risk_risk_key_key unique (risk_key) deferrable initially deferred;
comment on table serving.risk is
    'One row per person and target: the newest risk score that is neither withdrawn nor expired.';

create table if not exists serving.load (
    run_id text primary key,
    loaded_at timestamptz not null default now(),
    rows_loaded bigint not null,
    rows_changed bigint not null,
    model_versions text[] not null,
    data_versions jsonb not null
);
comment on table serving.load is
    'One row per run that loaded serving.risk: what it was made from, and how many rows changed.';

create or replace view serving.risk_by_facility with (security_barrier) as
select
    source,
    facility_key,
    facility_name,
    target,
    band,
    case when count(*) >= 5 then 5 * floor(count(*) / 5.0 + 0.5)::bigint end as people,
    count(*) < 5 as is_suppressed
from serving.risk
group by source, facility_key, facility_name, target, band;
comment on view serving.risk_by_facility is
    'One row per facility, target and band: people, rounded to 5; null where fewer than 5.';

revoke all on serving.risk, serving.risk_by_facility, serving.load from public, care, analyst;
grant usage on schema serving to care, analyst;
grant select on serving.risk, serving.risk_by_facility, serving.load to care;
grant select on serving.risk_by_facility to analyst;
"""

_NEWEST = """
with issued as (
    select *, row_number() over (partition by risk_key order by scored_at desc, batch_id desc) as issue
    from scores.risk
),

-- Whose a stay is may be known better now than when it was scored.
known as (
    select
        issued.*,
        coalesce(stay.person_key, issued.person_key) as known_person_key,
        stay.facility_key
    from issued
    left join gold.fct_encounter as stay on issued.encounter_key = stay.encounter_key
    where
        issued.issue = 1
        and issued.status = 'active'
        and issued.expires_at > greatest(timestamp '{as_of}', (select max(s.as_of) from scores.risk as s))
),

ranked as (
    select
        *,
        row_number() over (
            partition by known_person_key, target order by as_of desc, scored_at desc, risk_key
        ) as place
    from known
),

facility as (
    select facility_key, max(name) as facility_name
    from gold.dim_facility
    where is_current
    group by facility_key
)

select
    r.known_person_key as person_key, r.target, r.risk_key, r.patient_key, r.source, r.encounter_key, r.facility_key,
    f.facility_name, r.as_of, r.probability, r.band, r.reasons, r.model_name, r.model_version, r.scored_at,
    r.expires_at
from ranked as r
left join facility as f on r.facility_key = f.facility_key
where r.place = 1
"""


@dataclass(frozen=True)
class LoadResult:
    """``rows``: people and targets with a score. ``changed``: rows added, updated or removed by this load."""

    rows: int
    changed: int


def connect() -> Connection:
    """A connection to ``serving`` as its owner, in autocommit. Raises CitywellError when it cannot be reached."""
    try:
        return psycopg.connect(
            settings().postgres_dsn(DATABASE, OWNER_ROLE), autocommit=True, connect_timeout=10
        )
    except (psycopg.OperationalError, FileNotFoundError) as error:
        raise CitywellError(
            f"The serving database does not answer ({type(error).__name__}).",
            where=postgres.where(DATABASE),
            do="Run `citywell status`; start the stack with `citywell up`.",
        ) from None


def migrate(conn: Connection) -> None:
    """Bring tables, views and rights to this version, as the owner. Changes nothing the second time."""
    postgres.migrate(conn, "serving.risk", _DDL.encode(), ages.DDL.encode())


def newest(spark: SparkSession, as_of: datetime) -> pa.Table:
    """The newest score of each person and target that is not withdrawn and not expired at ``as_of``, with the facility
    of its stay. COLUMNS, ``reasons`` as text.

    An older instant than that of the newest score counts as that one: a run repeated later brings nothing back.
    """
    return spark.sql(newest_query(as_of)).toArrow().select(list(COLUMNS))


def newest_query(as_of: datetime) -> str:
    """SQL over ``scores.risk``, ``gold.fct_encounter`` and ``gold.dim_facility`` whose rows ``newest`` gives."""
    return _NEWEST.format(as_of=f"{as_of.astimezone(UTC):%Y-%m-%d %H:%M:%S.%fZ}")


@postgres.discreet(DATABASE)
def load(conn: Connection, scores: pa.Table, *, run_id: str, data_versions: Mapping[str, int]) -> LoadResult:
    """Make ``serving.risk`` equal to ``scores`` (COLUMNS) and record the load, in one transaction.

    The same scores again change nothing; no scores empty the table. data_versions: the table versions they
    were read at. Raises CitywellError when the database fails; the table is then as it was.
    """
    with conn.transaction(), conn.cursor() as cursor:
        replacing.stage(cursor, _TABLE, COLUMNS, scores)
        crash_here("serving:staged")
        changed = replacing.merge(cursor, _TABLE, COLUMNS, _KEY)
        cursor.execute(
            "insert into serving.load (run_id, rows_loaded, rows_changed, model_versions, data_versions) "
            "select %s, count(*), %s, "
            "coalesce(array_agg(distinct model_name || ' ' || model_version), '{}'), %s from staged "
            "on conflict (run_id) do update set loaded_at = excluded.loaded_at, "
            "rows_loaded = excluded.rows_loaded, rows_changed = excluded.rows_changed, "
            "model_versions = excluded.model_versions, data_versions = excluded.data_versions "
            "where excluded.rows_changed > 0",
            (run_id, changed, Jsonb(dict(data_versions))),
        )
        crash_here("serving:merged")
    crash_here("serving:loaded")
    return LoadResult(scores.num_rows, changed)
