"""What came to pass of the scores that were issued: one row per score, with its label and when it was known.

A score counts when it was issued before the event that decides it. What came is judged by all that gold knows now, as
at training, and by the same code: ``ml.risk.outcome``, or the view itself where its rows say what came to pass.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pandas as pd
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.lake import tables
from ml import scoring
from ml.features import Facts
from ml.features.events import EVENTS
from ml.features.knowledge import current, data_end, deaths, recorded
from ml.risk import outcome, scores
from ml.risk.declared import Outcome, Risk

WINDOW_DAYS = 90
"""Performance is of the scores whose time ran out in so many days before the run: a season, and enough cases."""
RETURN = Outcome("admission", "true")
"""What decides a question that declares no outcome of its own: the first stay that begins after a discharge."""


def issued(spark: SparkSession, risk: Risk, version: int, as_of: datetime) -> DataFrame:
    """The scores of a question that were made up to ``as_of``, with ``issued_at``, ``starts_at`` (from when on they
    speak) and ``withdrawn_at`` (when the case's score was withdrawn before this one expired; null where it was not).

    version: of ``scores.risk``.
    """
    valid_days = risk.valid_days or risk.horizon_days
    of_case = Window.partitionBy("risk_key").orderBy("issued_at", "scored_at")
    is_withdrawal = F.col("status") == scoring.WITHDRAWN
    next_withdrawal = F.min(F.when(is_withdrawal, F.col("issued_at"))).over(
        of_case.rowsBetween(Window.currentRow, Window.unboundedFollowing)
    )
    return (
        tables.read(spark, scores.SCORES, version)
        .where(F.col("target") == risk.name)
        .withColumn("issued_at", scores.issued_at())
        .withColumn("starts_at", F.col("expires_at") - F.expr(f"interval {valid_days} days"))
        .where(F.col("issued_at") <= F.lit(as_of))
        .withColumn("next_withdrawal", next_withdrawal)
        .withColumn(
            "withdrawn_at",
            F.when(F.col("next_withdrawal") < F.col("expires_at"), F.col("next_withdrawal")),
        )
        .where(F.col("status") == scoring.ACTIVE)
        .drop("next_withdrawal")
    )


def came_to_pass(rows: DataFrame, facts: Facts, risk: Risk, as_of: datetime) -> DataFrame:
    """Rows of :func:`issued` with ``person_now``, ``ends_at`` (end of the horizon) and ``label``, null while nobody can
    say.

    Left out are scores of what is no case any more, and those whose event had begun when they were issued.
    """
    rows = rows.withColumn("score_key", F.concat_ws("|", "risk_key", "batch_id"))
    told = (
        _told_by_view(rows, facts, risk, as_of) if risk.outcome is None else _told(rows, facts, risk, as_of)
    )
    return rows.join(told, "score_key").join(
        _came_too_late(rows, told, facts, risk), "score_key", "left_anti"
    )


def matured(rows: DataFrame, as_of: datetime) -> pd.DataFrame:
    """Of rows of :func:`came_to_pass` those whose horizon was over in the WINDOW_DAYS before ``as_of``, with a label:
    of each case and model version the score that was issued first.

    Columns: model_version, probability, label, person_now, ends_at (UTC). An event is known at once, its absence only
    in the end: before the end of the horizon no score counts, whatever has come.
    """
    is_over = (F.col("ends_at") <= F.lit(as_of)) & (
        F.col("ends_at") > F.lit(as_of - timedelta(days=WINDOW_DAYS))
    )
    first = Window.partitionBy("risk_key", "model_version").orderBy("issued_at", "scored_at")
    return (
        rows.where(is_over & F.col("label").isNotNull())
        .withColumn("place", F.row_number().over(first))
        .where("place = 1")
        .orderBy("model_version", "score_key")
        .select("model_version", "probability", "label", "person_now", "ends_at")
        .toArrow()
        .to_pandas()
    )


def _told_by_view(rows: DataFrame, facts: Facts, risk: Risk, as_of: datetime) -> DataFrame:
    known = risk.view.cases.known(facts, as_of).where("exclusion is null")
    cases = known.select(
        "encounter_key", "patient_key", F.col("person_key").alias("person_now"), "ends_at", "label"
    )
    return (
        rows.select("score_key", "encounter_key", "patient_key")
        .join(cases, ["encounter_key", "patient_key"])
        .select("score_key", "person_now", "ends_at", "label")
    )


def _told(rows: DataFrame, facts: Facts, risk: Risk, as_of: datetime) -> DataFrame:
    ends = data_end(facts.encounter, as_of)
    seen = recorded(facts.encounter).select("person_key", "source").distinct()
    until = seen.join(ends, "source").groupBy("person_key").agg(F.min("data_end_at").alias("data_end_at"))
    people = facts.person.select("source", "patient_key", "person_key")
    cases = (
        rows.select(F.col("score_key").alias("case_key"), "source", "patient_key", "starts_at")
        .join(people, ["source", "patient_key"])
        .join(until, "person_key")
        .join(deaths(facts.person, as_of), F.col("person_key") == F.col("dead_person_key"), "left")
    )
    everybody = replace(risk, population="true")
    return outcome.labelled(cases, facts, everybody).select(
        F.col("case_key").alias("score_key"), F.col("person_key").alias("person_now"), "ends_at", "label"
    )


def _came_too_late(rows: DataFrame, told: DataFrame, facts: Facts, risk: Risk) -> DataFrame:
    """score_key of the scores whose event had begun between ``starts_at`` and ``issued_at``."""
    decides = risk.outcome or RETURN
    events = current(EVENTS[decides.of].events(facts)).where(decides.where)
    begun = events.select(F.col("person_key").alias("event_person"), F.col("at").alias("event_at"))
    is_before = (
        (F.col("person_now") == F.col("event_person"))
        & (F.col("event_at") >= F.col("starts_at"))
        & (F.col("event_at") < F.col("issued_at"))
    )
    late = rows.where("issued_at > starts_at").select("score_key", "starts_at", "issued_at")
    return late.join(told, "score_key").join(begun, is_before).select("score_key").distinct()
