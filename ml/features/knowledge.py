"""What was known when: versions of facts, and how far a time that is written as a day, month or year reaches.

A version of a fact stood from ``usable_at`` (when it could first be used) to ``superseded_at`` (when another took its
place, null for the current one). Gold publishes current versions in a table, and the others in the table
``…_superseded`` beside it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

MESSAGES = "hl7"
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
"""After everything that is known, and the end of a version that no other took the place of."""
RECORDED = ("fhir", "both")
"""``told_by`` of what a hospital's record says."""
DEVICES = "wearables"
"""``told_by`` of what devices at home say."""


def versions(current: DataFrame, superseded: DataFrame | None = None) -> DataFrame:
    """All versions of a gold fact, with ``superseded_at``: when another took its place, null if none did.

    current: the fact's table, or what this function returned. superseded: the table of its superseded versions;
    without it a fact is known from the time of its current version only.
    """
    rows = current
    if "superseded_at" not in current.columns:
        rows = current.withColumn("superseded_at", F.lit(None).cast("timestamp"))
    return rows if superseded is None else rows.unionByName(superseded.select(*rows.columns))


def current(facts: DataFrame) -> DataFrame:
    """Of all versions those that no other took the place of."""
    return facts.where("superseded_at is null")


def known(facts: DataFrame, as_of: Column) -> DataFrame:
    """The versions of a gold fact that stood at ``as_of``."""
    return facts.where(is_known(as_of))


def is_known(as_of: Column) -> Column:
    """Whether a version (usable_at, superseded_at) stood at ``as_of``: usable, and not yet superseded."""
    superseded_at = F.col("superseded_at")
    return (F.col("usable_at") <= as_of) & (superseded_at.isNull() | (superseded_at > as_of))


def recorded(encounter: DataFrame) -> DataFrame:
    """All versions of the encounters that a hospital's record says took place.

    What only messages tell is left out until its record arrives, and then has that record's key: a score, and what is
    written back, belongs to an encounter that the hospital's FHIR server knows.
    """
    return versions(encounter).where(F.col("told_by") != MESSAGES)


def data_end(encounter: DataFrame, as_of: datetime) -> DataFrame:
    """source, data_end_at: the last instant at or before ``as_of`` at which an encounter began or ended there.

    A time after the export that brought it is announced, or a slip, and tells of no data. Nor does an end that messages
    told since: the records of whoever came between the export and then are not there yet.
    """
    instant = literal(as_of)
    seen_until = F.least(instant, F.col("known_from"))
    begun, ended = (
        F.max(F.when(F.col(time) <= seen_until, F.col(time))) for time in ("started_at", "recorded_end_at")
    )
    recorded_end_at = F.when(~holds(F.col("end_told_by") == MESSAGES), F.col("ended_at"))
    seen = known(recorded(encounter), instant).withColumn("recorded_end_at", recorded_end_at)
    return seen.groupBy("source").agg(F.greatest(begun, ended).alias("data_end_at"))


def deaths(person: DataFrame, as_of: datetime) -> DataFrame:
    """dead_person_key, dead_by: who is known at ``as_of`` to have died, and the end of what is known of the time."""
    precision = "deceased_precision" if "deceased_precision" in person.columns else None
    is_dead = F.coalesce(F.col("deceased_at") <= literal(as_of), F.col("is_deceased"))
    dead_by = F.col("deceased_at") if precision is None else period_end("deceased_at", precision)
    return person.where(is_dead).select(
        F.col("person_key").alias("dead_person_key"), dead_by.alias("dead_by")
    )


def period_end(at: str | Column, precision: str | Column) -> Column:
    """End of the year, month or day that begins at ``at``; ``at`` itself if it is a precise instant.

    Periods begin at midnight where the source is. A month is counted from an instant that is on its first or second day
    in UTC as well: counted from 28 February 15:00, which is 1 March in Tokyo, March would end on the 28th.
    """
    instant, written = (F.col(c) if isinstance(c, str) else c for c in (at, precision))
    shift = F.expr("interval 14 hours")
    return (
        F.when(written == "year", instant + F.expr("interval 1 year"))
        .when(written == "month", instant + shift + F.expr("interval 1 month") - shift)
        .when(written == "day", instant + F.expr("interval 1 day"))
        .otherwise(instant)
    )


def literal(moment: datetime) -> Column:
    """``moment`` as a column. Raises ValueError when it has no time zone."""
    if moment.tzinfo is None:
        raise ValueError("as_of must carry a time zone")
    return F.lit(moment.astimezone(UTC))


def holds(condition: Column) -> Column:
    """``condition`` with unknown taken as false."""
    return F.coalesce(condition, F.lit(False))


def back(instant: Column, days: int) -> Column:
    """The instant so many days of 24 hours before."""
    return instant - F.expr(f"interval {days} days")


def days_between(later: Column, earlier: Column) -> Column:
    """Days from ``earlier`` to ``later``, with fractions."""
    return (F.unix_micros(later) - F.unix_micros(earlier)) / F.lit(86_400_000_000.0)


def rounded(value: Column) -> Column:
    """Six decimals, so that both engines and any order of summing give equal values."""
    return F.round(value, 6)
