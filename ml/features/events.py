"""The kinds of events that features look at.

A kind turns all versions of a gold fact into events: the fact's columns and

    at      when it happened        by     the end of the day, month, year or period that ``at`` begins
    key     what is counted once, and breaks a tie of two events at one instant
    value   a number, null for kinds that have none

An event without ``at`` is in no window. What was withdrawn, planned or only announced is no event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ml.features.facts import Facts
from ml.features.knowledge import DEVICES, RECORDED, holds, period_end, recorded, versions

FINISHED = "finished"
EMERGENCY = "EMER"
TRANSFER = "hosp-trans"


@dataclass(frozen=True)
class Kind:
    """fact: field of Facts. rows: from its versions to events."""

    fact: str
    rows: Callable[[DataFrame], DataFrame]

    def events(self, facts: Facts) -> DataFrame:
        return self.rows(getattr(facts, self.fact))


def visits(encounter: DataFrame) -> DataFrame:
    """Finished encounters that are no inpatient stay, as a hospital's record tells them; key: their class. One whose
    start is not known to the day is in no window."""
    is_vague = holds(F.col("started_precision").isin("year", "month"))
    return (
        recorded(encounter)
        .where(
            F.col("class_code").isin(EMERGENCY, "AMB", "VR", "HH") & (F.col("status") == FINISHED) & ~is_vague
        )
        .withColumns(
            {
                "key": F.col("class_code"),
                "at": F.col("started_at"),
                "by": period_end("started_at", "started_precision"),
                "value": F.lit(None).cast("double"),
            }
        )
    )


def admissions(encounter: DataFrame) -> DataFrame:
    """Inpatient encounters from when they are known, over or not; key: the encounter. Periods within another encounter
    (a ward, a bed) are left out."""
    is_vague = holds(F.col("started_precision").isin("year", "month"))
    return (
        recorded(encounter)
        .where(F.col("is_inpatient") & F.col("part_of_key").isNull() & ~is_vague)
        .withColumns(
            {
                "key": F.col("encounter_key"),
                "at": F.col("started_at"),
                "by": period_end("started_at", "started_precision"),
                "value": F.lit(None).cast("double"),
            }
        )
    )


def conditions(condition: DataFrame) -> DataFrame:
    """All conditions recorded; lasting ones are written down once, long before. ``icd10``: the code without its dot,
    null for other systems; key: system and code.

    A suspicion (HL7 condition-ver-status unconfirmed, provisional or differential) is none, be it of a disease or of a
    complaint. Once it is confirmed it is one, from when the confirmation was told; one without a status is taken as
    confirmed.
    """
    is_icd10 = F.col("code_system").contains("icd-10")
    is_confirmed = F.coalesce("verification_status", F.lit("confirmed")) == "confirmed"
    told = versions(condition).where("code is not null")
    suspected = (
        told.where(~is_confirmed).groupBy("condition_key").agg(F.collect_set("superseded_at").alias("ends"))
    )
    confirmed_at = F.array_max(F.filter("ends", lambda end: end <= F.col("usable_at")))
    recorded_by = F.coalesce(
        period_end("recorded_at", "recorded_precision"), period_end("onset_at", "onset_precision")
    )
    return (
        told.where(is_confirmed)
        .join(suspected, "condition_key", "left")
        .withColumn("confirmed_at", confirmed_at)
        .withColumns(
            {
                "icd10": F.when(is_icd10, F.upper(F.regexp_replace("code", "[.]", ""))),
                "key": F.concat_ws("|", "code_system", "code"),
                "at": F.greatest(F.coalesce("recorded_at", "onset_at"), "confirmed_at"),
                "by": F.greatest(recorded_by, "confirmed_at"),
                "value": F.lit(None).cast("double"),
            }
        )
    )


def drugs(medication_request: DataFrame) -> DataFrame:
    """Prescriptions that were meant to be taken. ``atc``: the code, null for other systems; key: the code."""
    is_real = F.coalesce("status", F.lit("active")).isin(
        "active", "completed", "on-hold", "stopped", "unknown"
    )
    return (
        versions(medication_request)
        .where(F.col("code").isNotNull() & is_real)
        .withColumns(
            {
                "atc": F.when(F.col("code_system").contains("atc"), F.col("code")),
                "key": F.col("code"),
                "at": F.col("authored_at"),
                "by": period_end("authored_at", "authored_precision"),
                "value": F.lit(None).cast("double"),
            }
        )
    )


def measurements(measurement: DataFrame) -> DataFrame:
    """What a hospital's record tells: what messages tell earlier, or alone, counts once it is recorded, and what a
    device says at home is no value of a hospital. ``value`` in the unit of its ``concept``
    (jobs/harmonise/analytes.yml); key: the measurement."""
    return (
        versions(measurement)
        .where(F.col("told_by").isin(*RECORDED))
        .where("value_canonical is not null and effective_at is not null and concept is not null")
        .withColumns(
            {
                "key": F.col("measurement_key"),
                "at": F.col("effective_at"),
                "by": F.greatest(
                    period_end("effective_at", "effective_precision"),
                    period_end("effective_end_at", "effective_end_precision"),
                ),
                "value": F.col("value_canonical"),
            }
        )
    )


SMOKING_ANSWERS = {
    "LA18978-9": 0.0,
    "LA15920-4": 1.0,
    "LA18977-1": 2.0,
    "LA18976-3": 2.0,
}
"""LOINC answers to 72166-2 (tobacco smoking status): never 0, formerly 1, some or all days 2."""


def smoking(measurement: DataFrame) -> DataFrame:
    """Answers to whether a person smokes; ``value`` by SMOKING_ANSWERS; key: the measurement."""
    value = F.lit(None).cast("double")
    for code, number in SMOKING_ANSWERS.items():
        value = F.when(F.col("value_code") == code, number).otherwise(value)
    return (
        versions(measurement)
        .where(F.col("told_by").isin(*RECORDED))
        .where("concept = 'smoking_status' and effective_at is not null")
        .withColumns(
            {
                "key": F.col("measurement_key"),
                "at": F.col("effective_at"),
                "by": period_end("effective_at", "effective_precision"),
                "value": value,
            }
        )
        .where("value is not null")
    )


def attendances(encounter: DataFrame) -> DataFrame:
    """Visits to an emergency department that ended at home, and unplanned inpatient admissions from home; key: the
    encounter."""
    is_vague = holds(F.col("started_precision").isin("year", "month"))
    is_visit = (F.col("class_code") == EMERGENCY) & (F.col("status") == FINISHED)
    is_moved = holds(F.col("admit_source_code") == TRANSFER)
    is_admission = F.col("is_inpatient") & F.col("part_of_key").isNull() & ~F.col("is_planned") & ~is_moved
    return (
        recorded(encounter)
        .where((is_visit | is_admission) & ~is_vague)
        .withColumns(
            {
                "key": F.col("encounter_key"),
                "at": F.col("started_at"),
                "by": period_end("started_at", "started_precision"),
                "value": F.lit(None).cast("double"),
            }
        )
    )


def home_readings(measurement: DataFrame) -> DataFrame:
    """What devices at home read, of people who consent; ``value`` in the unit of its ``concept``
    (jobs/harmonise/analytes.yml); key: the measurement."""
    return (
        versions(measurement)
        .where(F.col("told_by") == DEVICES)
        .where("value_canonical is not null and effective_at is not null and concept is not null")
        .withColumns(
            {
                "key": F.col("measurement_key"),
                "encounter_key": F.lit(None).cast("string"),
                "at": F.col("effective_at"),
                "by": F.col("effective_at"),
                "value": F.col("value_canonical"),
            }
        )
    )


_OF_A_DAY = {"steps": "steps", "resting_heart_rate": "resting_heart_rate_per_min", "sleep": "sleep_min"}


def home_days(lifestyle_daily: DataFrame) -> DataFrame:
    """Days that devices told, one event for each ``concept`` (steps; resting_heart_rate, /min; sleep, minutes) that has
    a value; taken as days of UTC. key: person, day and concept."""
    told = F.explode(
        F.array(
            *(
                F.struct(F.lit(concept).alias("concept"), F.col(column).cast("double").alias("value"))
                for concept, column in _OF_A_DAY.items()
            )
        )
    )
    day = F.col("date").cast("timestamp")
    return (
        versions(lifestyle_daily)
        .withColumn("told", told)
        .withColumns({"concept": F.col("told.concept"), "value": F.col("told.value")})
        .where("value is not null")
        .withColumns(
            {
                "key": F.concat_ws("|", "daily_summary_key", "concept"),
                "encounter_key": F.lit(None).cast("string"),
                "at": day,
                "by": day + F.expr("interval 1 day"),
            }
        )
    )


EVENTS: dict[str, Kind] = {
    "attendance": Kind("encounter", attendances),
    "visit": Kind("encounter", visits),
    "admission": Kind("encounter", admissions),
    "condition": Kind("condition", conditions),
    "drug": Kind("medication_request", drugs),
    "measurement": Kind("measurement", measurements),
    "smoking": Kind("measurement", smoking),
    "home_reading": Kind("measurement", home_readings),
    "home_day": Kind("lifestyle_daily", home_days),
}
