"""How old the scores are: ``serving.score_age``, one row per risk question that has been answered.

A scoring that fails leaves the last good scores where they are. What it leaves is told by when the question was last
answered for everybody (``scores.answered``), not by the newest score: where nothing changed, no score is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from pyspark.sql import SparkSession

from jobs import postgres

ANSWERED = "scores.answered"
Connection = psycopg.Connection[tuple[Any, ...]]

DDL = """
create table if not exists serving.answered (
    target text primary key,
    as_of timestamptz not null,
    answered_at timestamptz not null,
    model_version text not null,
    cases bigint not null
);
comment on table serving.answered is
    'One row per risk question: the last run that answered it for everybody it asks about.';

create or replace view serving.score_age with (security_barrier) as
select
    target,
    as_of,
    answered_at,
    now() - answered_at as age,
    model_version,
    case when cases >= 5 then 5 * floor(cases / 5.0 + 0.5)::bigint end as cases
from serving.answered;
comment on view serving.score_age is
    'One row per risk question: as of when its scores are, when they were made, and how long ago that is by now.';

revoke all on serving.answered, serving.score_age from public, care, analyst;
grant select on serving.score_age to care, analyst;
"""
"""Run after that of ``serving.risk``, which makes the schema and takes all rights in it away."""


@dataclass(frozen=True)
class Age:
    """as_of: what the scores know was known by then. answered_at: when the run was. age: since then."""

    target: str
    as_of: datetime
    answered_at: datetime
    age: timedelta

    def words(self) -> str:
        """Such as ``readmission_30d: as of 2026-01-31 00:00 UTC, made 3 hours ago``."""
        return f"{self.target}: as of {self.as_of.astimezone(UTC):%Y-%m-%d %H:%M} UTC, made {ago(self.age)}"


def ago(age: timedelta) -> str:
    """In the largest unit that fits: minutes, hours or days."""
    minutes = max(0, int(age.total_seconds() // 60))
    for size, unit in ((1440, "day"), (60, "hour")):
        if minutes >= size:
            count = minutes // size
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return f"{minutes} minute{'' if minutes == 1 else 's'} ago"


def answered(spark: SparkSession) -> list[tuple[Any, ...]]:
    """target, as_of, answered_at, model_version, cases of every question in the published ``scores.answered``."""
    rows = spark.sql(f"select target, as_of, answered_at, model_version, cases from {ANSWERED}")  # noqa: S608
    return [tuple(row.values()) for row in rows.toArrow().to_pylist()]


@postgres.discreet("serving")
def load(conn: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Make ``serving.answered`` say of each question what ``rows`` say of it."""
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            "insert into serving.answered (target, as_of, answered_at, model_version, cases) "
            "values (%s, %s, %s, %s, %s) on conflict (target) do update set as_of = excluded.as_of, "
            "answered_at = excluded.answered_at, model_version = excluded.model_version, cases = excluded.cases",
            list(rows),
        )


@postgres.discreet("serving")
def ages(conn: Connection) -> list[Age]:
    """Of every question that has been answered, the oldest answer first."""
    found = conn.execute("select target, as_of, answered_at, age from serving.score_age order by answered_at")
    return [Age(*row) for row in found.fetchall()]
