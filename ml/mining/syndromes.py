"""Who came with a syndrome, by home district and day, as it was known day after day: outbreaks are looked for in it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from functools import reduce

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake import engine
from ml.features.knowledge import END_OF_TIME, MESSAGES
from ml.forecast.calendar import city_zone
from ml.mining.inputs import ICD10, Gold, frame
from ml.mining.outbreaks import KNOWN_AFTER_DAYS, known_after
from ml.syndromes import SYNDROMES

MOST_PAST_DAYS = 5 * 365
"""Seasons enough; a visit that was dated a century too early makes no past."""
ENCOUNTER_DIAGNOSIS = "encounter-diagnosis"


def counts(gold: Gold) -> dict[str, pd.DataFrame]:
    """By syndrome what ``outbreaks.watch`` takes: area_code (postal district of the person's home now), date, and of
    each n of KNOWN_AFTER_DAYS the people of whom it was known n days after the morning that follows the day that they
    came to an emergency or outpatient department with one of its codes as reason or diagnosis; each once a day.

    The morning is the hour of ``gold``'s instant in the city: every day is looked at as the run looks at its yesterday.
    What had been taken back by then does not count, nor what only messages tell: it is told anew, and later, by the
    record. Of MOST_PAST_DAYS up to the day before ``gold.today``. All people count, those who have died since too.
    """
    came = engine.kept(_came(gold))
    return {name: _counted(came.where(_is_one_of("code", starts))) for name, starts in SYNDROMES.items()}


def _counted(came: DataFrame) -> pd.DataFrame:
    known = [known_after(n) for n in KNOWN_AFTER_DAYS]
    people = came.groupBy("area_code", "date", "person_key").agg(*(F.max(name).alias(name) for name in known))
    daily = people.groupBy("area_code", "date").agg(*(F.sum(name).alias(name) for name in known))
    return frame(daily.orderBy("area_code", "date"))


def _is_known_after(days: int, hour: timedelta) -> Column:
    morning = F.date_add("date", 1 + days).cast("timestamp") + F.lit(hour)
    then = F.to_utc_timestamp(morning, city_zone())
    return (F.col("usable_at") <= then) & (F.col("superseded_at") > then)


def _came(gold: Gold) -> DataFrame:
    """person_key, area_code, date, code and the columns of :func:`known_after` (1 or 0): that the person came on that
    day with that reason or diagnosis, one of SYNDROMES, and whether it was said then. What was said at none of the
    times is left out."""
    every = [start for starts in SYNDROMES.values() for start in starts]
    encounter = (
        _told(gold, "gold.fct_encounter")
        .where(F.col("class_code").isin("EMER", "AMB") & F.col("part_of_key").isNull())
        .where(F.col("started_date") < F.lit(gold.today))
        .where(F.col("started_date") >= F.lit(gold.today - timedelta(days=MOST_PAST_DAYS)))
        .where(F.col("told_by") != MESSAGES)
        .withColumn("date", F.col("started_date"))
    )
    diagnosis = (
        _told(gold, "gold.fct_condition")
        .where((F.col("code_system") == ICD10) & (F.col("category_code") == ENCOUNTER_DIAGNOSIS))
        .where(_is_one_of("code", every))
        .select(
            "encounter_key",
            "code",
            F.col("usable_at").alias("diagnosed_at"),
            F.col("superseded_at").alias("taken_back_at"),
        )
    )
    by_reason = encounter.where(_is_one_of("reason_code", every)).select(
        "person_key", "date", F.col("reason_code").alias("code"), "usable_at", "superseded_at"
    )
    by_diagnosis = encounter.join(diagnosis, "encounter_key").select(
        *("person_key", "date", "code"),
        F.greatest("usable_at", "diagnosed_at").alias("usable_at"),
        F.least("superseded_at", "taken_back_at").alias("superseded_at"),
    )
    home = gold.spark.table("gold.dim_person").where("postal_district is not null")
    placed = home.select("person_key", F.col("postal_district").alias("area_code"))
    hour = gold.local.replace(tzinfo=None) - datetime.combine(gold.today, time())
    flags = {known_after(n): F.when(_is_known_after(n, hour), 1).otherwise(0) for n in KNOWN_AFTER_DAYS}
    said = by_reason.unionByName(by_diagnosis).withColumns(flags)
    return said.where(F.greatest(*flags) == 1).join(placed, "person_key")


def _told(gold: Gold, table: str) -> DataFrame:
    """All versions; of those that nothing took the place of until the end of time."""
    end = F.coalesce("superseded_at", F.lit(END_OF_TIME))
    return gold.told(table).withColumn("superseded_at", end)


def _is_one_of(code: str, starts: Iterable[str]) -> Column:
    return reduce(Column.__or__, [F.col(code).startswith(start) for start in starts])
