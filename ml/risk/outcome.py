"""What came to pass: the labels of cases of a view, for a question."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ml.features import Facts
from ml.features.events import EVENTS
from ml.features.knowledge import current, holds
from ml.risk.declared import Risk


def labelled(rows: DataFrame, facts: Facts, risk: Risk) -> DataFrame:
    """The rows of the question's population with ``ends_at``, ``label`` and ``has_died``.

    rows: of the question's view. ``label``: 1 if the outcome's event began in [``starts_at``, ``ends_at``), 0 if not,
    null where only an event came that may have been one, and while the data of the person's hospitals end before
    ``ends_at``, also where it has come by then: of cases whose time is not over only those with the event would have a
    label, and a model would learn a risk that is too high. ``has_died``: within that time, and nothing had come before.
    What came is judged by all that gold knows now.
    """
    asked = rows.where(risk.population)
    if risk.outcome is None:
        return asked
    asked = asked.withColumn("ends_at", F.col("starts_at") + F.expr(f"interval {risk.horizon_days} days"))
    kind = EVENTS[risk.outcome.of]
    is_one, may_be_one = (holds(F.expr(formula)) for formula in (risk.outcome.where, risk.outcome.maybe))
    events = current(kind.events(facts)).where(is_one | may_be_one)
    event_at = F.col("event_at")
    is_within = (
        (F.col("person_key") == F.col("event_person"))
        & (event_at >= F.col("starts_at"))
        & (event_at < F.col("ends_at"))
    )
    came = (
        asked.select("case_key", "person_key", "starts_at", "ends_at")
        .join(
            events.select(
                F.col("person_key").alias("event_person"),
                F.col("at").alias("event_at"),
                is_one.alias("is_one"),
            ),
            is_within,
        )
        .groupBy(F.col("case_key").alias("came_key"))
        .agg(F.bool_or("is_one").alias("is_certain"))
    )
    has_come = holds(F.col("is_certain"))
    is_known = has_come | F.col("came_key").isNull()
    is_over = F.col("ends_at") <= F.col("data_end_at")
    has_died = holds(F.col("dead_by") <= F.col("ends_at")) & ~has_come
    return (
        asked.join(came, F.col("case_key") == F.col("came_key"), "left")
        .withColumn("label", F.when(is_over & is_known, F.when(has_come, 1).otherwise(0)))
        .withColumn("has_died", has_died)
        .drop("came_key", "is_certain")
    )
