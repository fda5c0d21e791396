"""Rows of ``scores.risk``: which are new, which must be taken back. The table is append-only; see ``ml.scoring``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from functools import reduce
from operator import and_

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.lake import tables
from ml import scoring
from ml.lake import as_json, written_version
from ml.risk.declared import Risk

SCORES = "scores.risk"
SHADOW = "scores.shadow"
"""What the challengers would say: columns and grain of SCORES. Nobody is told of it; it is never withdrawn."""
ANSWERED = "scores.answered"
"""One row per question: the last run that answered it for everybody it asks about."""
ANSWERED_COLUMNS = "target string, as_of timestamp, answered_at timestamp, model_version string, cases bigint"
LEFT = "left_population"
"""Why a score is withdrawn whose subject the question does not ask about any more."""
QUESTIONS = "scores.question"
QUESTION_COLUMNS = (
    "target string, title string, horizon_days int, valid_days int, alert_budget double, mitigation string"
)
_QUESTION_NAMES = [column.split()[0] for column in QUESTION_COLUMNS.split(", ")]
RENEWED_BEFORE_DAYS = 1
"""A score of a person is made again so long before it expires: the next day's run may be late."""
_RUN = "%Y%m%dT%H%M%SZ"
_SAID = ("source", "patient_key", "person_key", "as_of", "expires_at", "input_digest")


def newest(scores: DataFrame) -> DataFrame:
    """Of every ``risk_key`` the row issued last."""
    newest_first = Window.partitionBy("risk_key").orderBy(F.desc("scored_at"), F.desc("batch_id"))
    return scores.withColumn("place", F.row_number().over(newest_first)).where("place = 1").drop("place")


def write_questions(spark: SparkSession, risks: Sequence[Risk]) -> int:
    """Make ``scores.question`` say what is asked: one row per target. Returns the table's version, a new one only when
    something is said anew."""
    told = [
        (r.name, r.title, r.horizon_days, r.valid_days or r.horizon_days, r.alert_budget, r.mitigation)
        for r in risks
    ]
    if tables.exists(QUESTIONS):
        held = tables.read(spark, QUESTIONS).select(*_QUESTION_NAMES).collect()
        if sorted(map(tuple, held)) == sorted(told):
            return written_version(QUESTIONS)
    rows = spark.createDataFrame(told, QUESTION_COLUMNS).withColumn("kind", F.lit("risk"))
    return tables.retrying(lambda: tables.replace_slice(spark, QUESTIONS, rows, {"kind": "risk"}))


@dataclass(frozen=True)
class Answered:
    """target: the question. as_of: of the run. answered_at: when it was, UTC. cases: that were open."""

    target: str
    as_of: datetime
    answered_at: datetime
    model_version: str
    cases: int


def write_answered(spark: SparkSession, runs: Sequence[Answered]) -> int:
    """Make ``scores.answered`` tell of ``runs``, but of one that is older than what it tells of already. Returns the
    table's version."""
    told = {run.target: run for run in answered(spark)}
    for run in runs:
        if run.target not in told or run.as_of >= told[run.target].as_of:
            told[run.target] = run
    frame = spark.createDataFrame([astuple(told[name]) for name in sorted(told)], ANSWERED_COLUMNS)
    rows = frame.withColumn("kind", F.lit("risk"))
    return tables.retrying(lambda: tables.replace_slice(spark, ANSWERED, rows, {"kind": "risk"}))


def answered(spark: SparkSession) -> list[Answered]:
    """Of each question the last run that answered it."""
    if not tables.exists(ANSWERED):
        return []
    rows = tables.read(spark, ANSWERED).toArrow().to_pylist()
    return [Answered(**{field.name: row[field.name] for field in fields(Answered)}) for row in rows]


def unsaid(
    spark: SparkSession,
    risk: Risk,
    rows: DataFrame,
    model_version: str,
    as_of: datetime,
    table: str = SCORES,
) -> DataFrame:
    """Of the question's open cases those of which a score says something new, with ``input_digest``.

    Nothing new is said by the same model of the same person with the same inputs, unless the score that stands was
    withdrawn, or expires within RENEWED_BEFORE_DAYS. A stay is asked about as of its own discharge: told anew, it is
    scored anew. Of whom a run for a later instant has said something, were it a withdrawal, nothing is said any more:
    it would count as the newest. table: SCORES or SHADOW.
    """
    names = sorted(risk.question.feature_names)
    values = (F.coalesce(F.col(name).cast("string"), F.lit("")) for name in names)
    asked = rows.withColumn("input_digest", F.substring(F.sha2(F.concat_ws("|", *values), 256), 1, 32))
    if not tables.exists(table):
        return asked
    is_stay = F.col("held_encounter").isNotNull()
    issued = tables.read(spark, table).where(F.col("target") == risk.name)
    held = (
        newest(issued)
        .where((F.col("status") == scoring.ACTIVE) & (F.col("model_version") == model_version))
        .select(
            *(F.col(name).alias(f"held_{name}") for name in _SAID),
            F.col("encounter_key").alias("held_encounter"),
        )
        .where(
            is_stay
            | (F.col("held_expires_at") > F.lit(as_of) + F.expr(f"interval {RENEWED_BEFORE_DAYS} days"))
        )
    )
    is_said = (
        reduce(
            and_, (F.col(name) == F.col(f"held_{name}") for name in ("source", "patient_key", "person_key"))
        )
        & F.col("encounter_key").eqNullSafe(F.col("held_encounter"))
        & (F.col("input_digest") == F.col("held_input_digest"))
        & (~is_stay | (F.col("as_of") == F.col("held_as_of")))
    )
    later = issued.where(_is_of_later_run(as_of)).select(
        F.col("source").alias("later_source"),
        F.col("patient_key").alias("later_patient"),
        F.col("encounter_key").alias("later_encounter"),
    )
    is_said_later = (
        (F.col("source") == F.col("later_source"))
        & (F.col("patient_key") == F.col("later_patient"))
        & F.col("encounter_key").eqNullSafe(F.col("later_encounter"))
    )
    return asked.join(held, is_said, "left_anti").join(later, is_said_later, "left_anti")


def add(spark: SparkSession, rows: pa.Table, batch_id: str, table: str = SCORES) -> int:
    """Append ``rows`` (``scoring.RISK_SCHEMA``) to ``table``, SCORES or SHADOW, which is there afterwards; returns how
    many were added.

    A batch that is there already adds nothing, unless something else has been said since of those it is about, as where
    a champion was rolled back: then it is added once more, with a number behind its id.
    """
    frame = spark.createDataFrame(rows.cast(scoring.RISK_SCHEMA), scoring.RISK_COLUMNS)
    tables.create(table, frame.withColumn("batch_id", F.lit(batch_id)).schema, ["batch_id"])
    if not rows.num_rows:
        return 0
    held = tables.read(spark, table)
    same = held.where((F.col("batch_id") == batch_id) | F.col("batch_id").startswith(f"{batch_id}."))
    repeats = same.select("batch_id").distinct().count()
    if repeats:
        [last] = (
            newest(held.where(F.col("risk_key") == rows["risk_key"][0].as_py())).select("batch_id").collect()
        )
        if last[0] == batch_id or last[0].startswith(f"{batch_id}."):
            return 0
    name = f"{batch_id}.{repeats}" if repeats else batch_id
    tables.retrying(lambda: tables.append_batch(spark, table, frame, name))
    return rows.num_rows


def opened(rows: DataFrame, risk: Risk) -> DataFrame:
    """subject_key of the open cases of a view (``rows``), and ``is_asked``: it is in the question's population."""
    is_asked = F.coalesce(F.expr(risk.population), F.lit(False))
    subject_key = F.coalesce("encounter_key", "patient_key")
    return rows.select(subject_key.alias("subject_key"), is_asked.alias("is_asked"))


def withdrawals(
    spark: SparkSession,
    risk: Risk,
    standing: DataFrame,
    open_now: DataFrame,
    as_of: datetime,
    withdrawn_at: datetime,
) -> pa.Table:
    """Rows of ``scores.risk`` that withdraw what must no longer be acted on.

    Withdrawn is the newest score of a case when it has not expired at ``as_of`` and the case does not stand any more: a
    run for an older instant must not take back what a later one has seen. standing: of the question's case maker.
    open_now: :func:`opened` of what is open at ``as_of``. What has left is an open case that is in the population no
    more, and a person who is no open case at all (is in hospital, say); only a run tells of it that is no older than
    those that have said something since.

    ``status_reason``: why it has fallen, what the case maker calls ``gone`` where the subject is there no more,
    ``moved`` (the stay is another patient's now, and has a score of its own there) or LEFT.
    """
    if not tables.exists(SCORES):
        return scoring.RISK_SCHEMA.empty_table()
    is_live = (
        (F.col("target") == risk.name)
        & (F.col("status") == scoring.ACTIVE)
        & (F.col("as_of") <= F.lit(as_of))
        & (F.col("expires_at") > F.lit(as_of))
    )
    held = tables.read(spark, SCORES)
    live = newest(held).where(is_live)
    live = live.withColumn("subject_key", F.coalesce("encounter_key", "patient_key"))
    now = standing.withColumnRenamed("patient_key", "patient_now").withColumn("is_there", F.lit(True))
    is_newest = held.where((F.col("target") == risk.name) & _is_of_later_run(as_of)).isEmpty()
    is_stay = F.col("encounter_key").isNotNull()
    has_left = F.lit(is_newest) & ~F.coalesce("is_asked", is_stay)
    why = (
        F.when(F.col("is_there").isNull(), risk.view.cases.gone)
        .when(~F.col("patient_now").eqNullSafe(F.col("patient_key")), "moved")
        .when(F.col("fallen").isNotNull(), F.col("fallen"))
        .when(has_left, LEFT)
    )
    fallen = (
        live.join(now, "subject_key", "left").join(open_now, "subject_key", "left").withColumn("why", why)
    )
    return (
        fallen.where("why is not null")
        .withColumn("status", F.lit(scoring.WITHDRAWN))
        .withColumn("status_reason", F.col("why"))
        .withColumn("scored_at", F.lit(withdrawn_at))
        .select(scoring.RISK_SCHEMA.names)
        .toArrow()
        .cast(scoring.RISK_SCHEMA)
    )


def batch_id(
    target: str, as_of: datetime, model_version: str, data_versions: Mapping[str, int], rows: pa.Table
) -> str:
    """Names rows by all that goes into them and whom they are about: the same id means the same rows."""
    digest = hashlib.sha256(as_json(data_versions).encode())
    for key in sorted(rows["risk_key"].to_pylist()):
        digest.update(key.encode())
    return f"{target}.{as_of:{_RUN}}.v{model_version}.{digest.hexdigest()[:16]}"


def issued_at() -> Column:
    """The instant that a score was made for, out of its ``batch_id``: its ``as_of`` may lie before, where a stay was
    asked about some days after its discharge."""
    stamp = _run()
    parts = ((1, 4, "-"), (5, 2, "-"), (7, 2, "T"), (10, 2, ":"), (12, 2, ":"), (14, 2, "Z"))
    pieces = [F.concat(F.substring(stamp, at, length), F.lit(mark)) for at, length, mark in parts]
    return F.concat(*pieces).cast("timestamp")


def _is_of_later_run(as_of: datetime) -> Column:
    return _run() > f"{as_of:{_RUN}}"


def _run() -> Column:
    """The instant of the run, as _RUN writes it in a ``batch_id``."""
    return F.element_at(F.split("batch_id", "[.]"), 2)
