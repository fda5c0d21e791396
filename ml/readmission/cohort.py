"""Who is asked about: inpatient stays, which of them are index stays, and what became of them.

The rules, their reasons and sources are in ``definition.md`` beside this module.

Flow: gold.fct_encounter -> ``stays`` (transfers joined) -> ``index_stays`` (exclusion, label, as_of).
Everything is one engine plan of window functions and aggregates over one person at a time, and reads only rows
that were usable at ``as_of``.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

HORIZON_DAYS = 30
TRANSFER_HOURS = 24
LONGEST_DELAY_HOURS = 48

DIED = "exp"
HOSPICE = "hosp"
OTHER_HOSPITAL = "other-hcf"
FROM_HOSPITAL = "hosp-trans"

STAY_COLUMNS = (
    "source",
    "person_key",
    "patient_key",
    "facility_key",
    "encounter_key",
    "encounter_keys",
    "admitted_at",
    "discharged_at",
    "is_planned",
    "is_transferred_in",
    "admit_source_code",
    "discharge_disposition_code",
    "known_at",
)


def stays(encounter: DataFrame, as_of: datetime) -> DataFrame:
    """Inpatient stays of every person, as known at ``as_of``.

    encounter: gold.fct_encounter. Returns STAY_COLUMNS: ``encounter_key`` is the encounter the stay ended (or goes
    on) with, ``encounter_keys`` all of them, ``discharged_at`` null while the stay goes on, ``known_at`` when its
    discharge was usable.
    """
    person = Window.partitionBy("person_key").orderBy("started_at", "ended_at", "encounter_key")
    before = person.rowsBetween(Window.unboundedPreceding, -1)
    end_or_start = F.coalesce("ended_at", "started_at")
    parts = (
        known(encounter, as_of)
        .where("is_inpatient and started_at is not null and (ended_at is null or ended_at >= started_at)")
        .where(F.col("started_at") <= _instant(as_of))
        .withColumn("previous_end_at", F.max(end_or_start).over(before))
        .withColumn("previous_disposition", F.lag("discharge_disposition_code").over(person))
        .withColumn("previous_source", F.lag("source").over(person))
    )
    is_overlap = F.col("started_at") <= F.col("previous_end_at")
    is_transfer = (
        F.col("started_at") <= F.col("previous_end_at") + F.expr(f"interval {TRANSFER_HOURS} hours")
    ) & (
        _is(F.col("previous_disposition") == OTHER_HOSPITAL)
        | _is(F.col("admit_source_code") == FROM_HOSPITAL)
        | _is(F.col("previous_source") != F.col("source"))
    )
    is_new = F.when(_is(is_overlap) | _is(is_transfer), 0).otherwise(1)
    numbered = parts.withColumn(
        "stay_number", F.sum(is_new).over(person.rowsBetween(Window.unboundedPreceding, 0))
    )
    first = F.min(F.struct("started_at", "encounter_key", "is_planned", "admit_source_code"))
    last = F.max(
        F.struct(
            F.coalesce("ended_at", "started_at").alias("at"),
            "started_at",
            "encounter_key",
            "source",
            "patient_key",
            "facility_key",
            "discharge_disposition_code",
            "usable_at",
        )
    )
    joined = numbered.groupBy("person_key", "stay_number").agg(
        first.alias("first"),
        last.alias("last"),
        F.collect_list("encounter_key").alias("encounter_keys"),
        F.max(F.col("ended_at").isNull()).alias("is_ongoing"),
        F.max("ended_at").alias("ended_at"),
    )
    return joined.select(
        F.col("last.source").alias("source"),
        "person_key",
        F.col("last.patient_key").alias("patient_key"),
        F.col("last.facility_key").alias("facility_key"),
        F.col("last.encounter_key").alias("encounter_key"),
        "encounter_keys",
        F.col("first.started_at").alias("admitted_at"),
        F.when(~F.col("is_ongoing"), F.col("ended_at")).alias("discharged_at"),
        F.coalesce("first.is_planned", F.lit(False)).alias("is_planned"),
        _is(F.col("first.admit_source_code") == FROM_HOSPITAL).alias("is_transferred_in"),
        F.col("first.admit_source_code").alias("admit_source_code"),
        F.col("last.discharge_disposition_code").alias("discharge_disposition_code"),
        F.col("last.usable_at").alias("known_at"),
    )


def index_stays(all_stays: DataFrame, encounter: DataFrame, person: DataFrame, as_of: datetime) -> DataFrame:
    """All stays with ``exclusion`` (null for index stays), label and the instant their features are as of.

    all_stays: of :func:`stays`. encounter: gold.fct_encounter, for the end of each source's data. person:
    gold.dim_person, for deaths. Adds ``exclusion``, ``as_of``, ``data_end_at``, ``is_readmitted_30d`` (0, 1, or null
    when censored or excluded), ``has_died_30d``, ``is_dead`` (known at ``as_of``).
    """
    following = Window.partitionBy("person_key").orderBy("admitted_at", "encounter_key")
    death = person.where(_is(F.col("deceased_at") <= _instant(as_of)) | F.col("is_deceased")).select(
        F.col("person_key").alias("dead_person_key"), "deceased_at"
    )
    horizon_at = F.col("discharged_at") + F.expr(f"interval {HORIZON_DAYS} days")
    table = (
        all_stays.withColumn("next_admitted_at", F.lead("admitted_at").over(following))
        .withColumn("is_next_planned", F.lead("is_planned").over(following))
        .join(death, F.col("person_key") == F.col("dead_person_key"), "left")
        .join(data_end(encounter, as_of), "source", "left")
    )
    disposition = F.col("discharge_disposition_code")
    exclusion = (
        F.when(F.col("discharged_at").isNull(), "ongoing")
        .when(_is(disposition == DIED) | _is(F.col("deceased_at") <= F.col("discharged_at")), "died")
        .when(disposition == HOSPICE, "hospice")
        .when(disposition == OTHER_HOSPITAL, "transferred_out")
    )
    is_back = _is(F.col("next_admitted_at") < horizon_at)
    label = F.when(
        exclusion.isNull() & (horizon_at <= F.col("data_end_at")),
        F.when(is_back & ~F.col("is_next_planned"), 1).otherwise(0),
    )
    latest = F.col("discharged_at") + F.expr(f"interval {LONGEST_DELAY_HOURS} hours")
    return table.select(
        *STAY_COLUMNS[:-1],
        exclusion.alias("exclusion"),
        F.least(F.greatest("known_at", "discharged_at"), latest).alias("as_of"),
        "data_end_at",
        label.alias("is_readmitted_30d"),
        (_is(F.col("deceased_at") > F.col("discharged_at")) & _is(F.col("deceased_at") < horizon_at)).alias(
            "has_died_30d"
        ),
        F.col("dead_person_key").isNotNull().alias("is_dead"),
    )


def data_end(encounter: DataFrame, as_of: datetime) -> DataFrame:
    """source, data_end_at: the last instant at or before ``as_of`` at which an encounter began or ended there."""
    instant = _instant(as_of)
    begun = F.max(F.when(F.col("started_at") <= instant, F.col("started_at")))
    ended = F.max(F.when(F.col("ended_at") <= instant, F.col("ended_at")))
    return known(encounter, as_of).groupBy("source").agg(F.greatest(begun, ended).alias("data_end_at"))


def known(facts: DataFrame, as_of: datetime) -> DataFrame:
    """The rows of a gold fact that were usable at ``as_of``."""
    return facts.where(F.col("usable_at") <= _instant(as_of))


def _instant(moment: datetime) -> Column:
    if moment.tzinfo is None:
        raise ValueError("as_of must carry a time zone")
    return F.lit(moment.astimezone(UTC))


def _is(condition: Column) -> Column:
    """``condition`` with unknown taken as false."""
    return F.coalesce(condition, F.lit(False))
