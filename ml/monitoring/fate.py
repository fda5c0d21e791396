"""What became of each alert: ``quality.alert_outcome``.

Grain: one alert, that is ``risk_key`` and ``issued_at``. A score above the alert line begins an alert, unless the one
before it, of the same case, did already and still holds; a score that is made again because the last one runs out
within RENEWED_BEFORE_DAYS begins a new one, as does one after a withdrawal. Pseudonymous keys only.

``acted_on``: within the time that the alert held, from when it was issued to when it expired or was withdrawn, the
person had a finished outpatient, virtual or home visit, or was prescribed a drug that they had not been prescribed in
the NEW_DRUG_DAYS before. That is what the lake can see: that something happened after the alert, not that it happened
because of it, and a call or a letter leaves no trace here. ``was_right``: the event came within the horizon; null while
nobody can say, or the case is none any more. ``closed_at``: the end of the horizon, null before it and where nobody can
say.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from ml.features import Facts
from ml.features.events import EMERGENCY, EVENTS
from ml.features.knowledge import current, holds
from ml.metrics import wilson
from ml.monitoring.figures import Figure
from ml.risk.scores import RENEWED_BEFORE_DAYS

TABLE = "quality.alert_outcome"
NEW_DRUG_DAYS = 180
COLUMNS = ("risk_key", "target", "issued_at", "acted_on", "acted_at", "was_right", "closed_at")


def alerts(rows: DataFrame) -> DataFrame:
    """Of rows of ``outcomes.issued`` those that begin an alert."""
    before = Window.partitionBy("risk_key").orderBy("issued_at", "scored_at", "batch_id")
    due_at = F.col("expires_at") - F.expr(f"interval {RENEWED_BEFORE_DAYS} days")
    was_withdrawn = holds(F.lag("withdrawn_at").over(before) < F.col("issued_at"))
    still_holds = F.lag("is_alert").over(before) & (F.lag(due_at).over(before) > F.col("issued_at"))
    marked = rows.withColumn("goes_on", holds(still_holds & ~was_withdrawn))
    return marked.where(F.col("is_alert") & ~F.col("goes_on")).drop("goes_on")


def became(found: DataFrame, came: DataFrame, facts: Facts, as_of: datetime) -> DataFrame:
    """Rows of ``quality.alert_outcome`` of ``alerts``, and ``expires_at``, ``withdrawn_at``, ``model_version``.

    came: rows of ``outcomes.came_to_pass`` that hold those of the alerts.
    """
    moment = F.lit(as_of)
    labelled = came.select("risk_key", "batch_id", "label", "ends_at")
    people = facts.person.select("source", "patient_key", F.col("person_key").alias("person_now"))
    mine = found.join(people, ["source", "patient_key"]).select(
        "risk_key", "issued_at", "expires_at", "withdrawn_at", "person_now"
    )
    is_within = (
        (F.col("person_now") == F.col("event_person"))
        & (F.col("event_at") >= F.col("issued_at"))
        & (F.col("event_at") < F.least("expires_at", "withdrawn_at", moment))
    )
    acted = (
        mine.join(_deeds(facts), is_within)
        .groupBy("risk_key", "issued_at")
        .agg(F.min("event_at").alias("acted_at"))
    )
    is_known = F.col("label").isNotNull()
    return (
        found.join(labelled, ["risk_key", "batch_id"], "left")
        .join(acted, ["risk_key", "issued_at"], "left")
        .withColumn("acted_on", F.col("acted_at").isNotNull())
        .withColumn("was_right", F.when(is_known, F.col("label") == 1))
        .withColumn("closed_at", F.when(is_known & (F.col("ends_at") <= moment), F.col("ends_at")))
        .select(*COLUMNS, "expires_at", "withdrawn_at", "model_version")
    )


def figures(found: DataFrame, target: str, as_of: datetime) -> list[Figure]:
    """By model version: the share of alerts that were acted on, of those whose time is over, and of alerts that were
    right, of those that are closed; 95 % Wilson intervals. Nobody was to act on an alert that was withdrawn: it is not
    among those whose time is over."""
    is_over = (F.col("expires_at") <= F.lit(as_of)) & F.col("withdrawn_at").isNull()
    is_closed = F.col("closed_at").isNotNull()
    counts = (
        found.groupBy("model_version")
        .agg(
            F.sum(is_over.cast("bigint")).alias("over"),
            F.sum((is_over & F.col("acted_on")).cast("bigint")).alias("acted"),
            F.sum(is_closed.cast("bigint")).alias("closed"),
            F.sum((is_closed & F.col("was_right")).cast("bigint")).alias("right"),
        )
        .orderBy("model_version")
        .collect()
    )
    told = []
    for row in counts:
        version = row["model_version"]
        for metric, part, whole in (
            ("acted_on", row["acted"], row["over"]),
            ("precision", row["right"], row["closed"]),
        ):
            if whole:
                low, high = wilson(part, whole)
                told.append(
                    Figure(
                        "alert", target, version, "alerts", metric, part / whole, whole, low=low, high=high
                    )
                )
    return told


def _deeds(facts: Facts) -> DataFrame:
    """event_person, event_at of what counts as acting."""
    visits = current(EVENTS["visit"].events(facts)).where(F.col("class_code") != EMERGENCY)
    drugs = current(EVENTS["drug"].events(facts))
    same = Window.partitionBy("person_key", "key").orderBy("at")
    last_at = F.lag("at").over(same)
    is_new = last_at.isNull() | (F.col("at") > last_at + F.expr(f"interval {NEW_DRUG_DAYS} days"))
    new = drugs.withColumn("is_new", is_new).where("is_new")
    return (
        visits.select("person_key", "at")
        .unionByName(new.select("person_key", "at"))
        .toDF("event_person", "event_at")
    )
