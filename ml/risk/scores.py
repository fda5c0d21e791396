"""Rows of ``scores.risk``: which are new, which must be taken back. The table is append-only; see ``ml.scoring``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.lake import tables
from ml import scoring
from ml.lake import as_json, written_version
from ml.risk.declared import Risk

SCORES = "scores.risk"


def newest(scores: DataFrame) -> DataFrame:
    """Of every ``risk_key`` the row issued last."""
    newest_first = Window.partitionBy("risk_key").orderBy(F.desc("scored_at"), F.desc("batch_id"))
    return scores.withColumn("place", F.row_number().over(newest_first)).where("place = 1").drop("place")


def add(
    spark: SparkSession, scores: pa.Table, withdrawn: pa.Table, batch_id: str
) -> tuple[Mapping[str, int], int]:
    """Append to ``scores.risk`` the scores that say something new, and the withdrawals; rows by status, and the
    table's version.

    New is a score whose person, as-of, model version, probability or reasons differ from the newest row with its
    ``risk_key``, or that was withdrawn. A batch that is there already adds nothing, whatever it holds.
    """
    added = {"active": 0, "withdrawn": 0}
    fresh = scores
    if tables.exists(SCORES):
        held = tables.read(spark, SCORES)
        if not held.where(F.col("batch_id") == batch_id).limit(1).isEmpty():
            return added, written_version(SCORES)
        fresh = _unlike_newest(spark, held, scores).select(scores.schema.names)
    added |= {"active": fresh.num_rows, "withdrawn": withdrawn.num_rows}
    rows = spark.createDataFrame(
        pa.concat_tables([fresh.cast(scoring.RISK_SCHEMA), withdrawn]), scoring.RISK_COLUMNS
    )
    tables.create(SCORES, rows.withColumn("batch_id", F.lit(batch_id)).schema, ["batch_id"])
    if not any(added.values()):
        return added, written_version(SCORES)
    return added, tables.retrying(lambda: tables.append_batch(spark, SCORES, rows, batch_id))


def withdrawals(
    spark: SparkSession, risk: Risk, standing: DataFrame, as_of: datetime, withdrawn_at: datetime
) -> pa.Table:
    """Rows of ``scores.risk`` that withdraw what must no longer be acted on.

    Withdrawn is the newest score of a case when it has not expired at ``as_of`` and the case does not stand any more: a
    run for an older instant must not take back what a later one has seen. standing: of the question's case maker.
    ``status_reason``: why it has fallen, what the case maker calls ``gone`` where the subject is there no more, or
    ``moved`` (the stay is another patient's now, and has a score of its own there).
    """
    if not tables.exists(SCORES):
        return scoring.RISK_SCHEMA.empty_table()
    is_live = (
        (F.col("target") == risk.name)
        & (F.col("status") == scoring.ACTIVE)
        & (F.col("as_of") <= F.lit(as_of))
        & (F.col("expires_at") > F.lit(as_of))
    )
    live = newest(tables.read(spark, SCORES)).where(is_live)
    live = live.withColumn("subject_key", F.coalesce("encounter_key", "patient_key"))
    now = standing.withColumnRenamed("patient_key", "patient_now").withColumn("is_there", F.lit(True))
    why = (
        F.when(F.col("is_there").isNull(), risk.view.cases.gone)
        .when(~F.col("patient_now").eqNullSafe(F.col("patient_key")), "moved")
        .otherwise(F.col("fallen"))
    )
    fallen = live.join(now, "subject_key", "left").withColumn("why", why)
    return (
        fallen.where("why is not null")
        .withColumn("status", F.lit(scoring.WITHDRAWN))
        .withColumn("status_reason", F.col("why"))
        .withColumn("scored_at", F.lit(withdrawn_at))
        .select(scoring.RISK_SCHEMA.names)
        .toArrow()
        .cast(scoring.RISK_SCHEMA)
    )


def batch_id(target: str, as_of: datetime, model_version: str, data_versions: Mapping[str, int]) -> str:
    """Names a scoring by all that goes into it: the same id means the same scores."""
    digest = hashlib.sha256(as_json(data_versions).encode()).hexdigest()[:8]
    return f"{target}.{as_of:%Y%m%dT%H%M%SZ}.v{model_version}.{digest}"


def _unlike_newest(spark: SparkSession, held: DataFrame, scores: pa.Table) -> pa.Table:
    content = [
        *("risk_key", "person_key", "status", "as_of"),
        *("model_name", "model_version", "probability", "reasons"),
    ]
    return (
        spark.createDataFrame(scores, scoring.RISK_COLUMNS)
        .join(newest(held).select(content), content, "left_anti")
        .toArrow()
    )
