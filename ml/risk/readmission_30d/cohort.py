"""Who is asked about: inpatient stays, which of them are index stays, and what became of them.

The rules, their reasons and sources are in ``definition.md`` beside this module.

Flow: gold.fct_encounter, all versions -> ``stays`` (transfers joined) -> ``index_stays`` (exclusion, label, as_of).
Both say what is known at ``as_of`` of the build. ``stays_of_cases`` says what was known of a stay, and of the
person's earlier ones, when its score was made: features come from there.
Everything is one engine plan of window functions and aggregates over one person, or one case, at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from ml.features.events import FINISHED
from ml.features.knowledge import data_end, deaths, holds, is_known, known, literal, period_end, recorded

HORIZON_DAYS = 30
TRANSFER_HOURS = 24

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
    "admitted_by",
    "discharged_at",
    "is_planned",
    "is_transferred_in",
    "admit_source_code",
    "discharge_disposition_code",
    "is_finished",
    "imprecise_start",
    "is_imprecise",
)


def stays(encounter: DataFrame, as_of: datetime) -> DataFrame:
    """Inpatient stays of every person, as known at ``as_of``.

    encounter: gold.fct_encounter, or all its versions (``ml.features.knowledge``). Returns STAY_COLUMNS and
    ``told_at``. ``encounter_key`` is the encounter the stay ended (or goes on) with, ``encounter_keys`` all of them;
    ``admitted_by``: the end of the day, month or year that ``admitted_at`` names; ``discharged_at`` is null while the
    stay goes on and where no end is known to the day; ``is_finished``: all its encounters are over; ``is_imprecise``:
    a start or end is known to the month or year only, and ``imprecise_start`` is that precision of its start;
    ``told_at``: when the records first said, to the day at least, when the person had come and left.
    """
    instant = literal(as_of)
    person = ["person_key"]
    told = _with_told_at(_inpatient(encounter).where(F.col("usable_at") <= instant))
    parts = _begun(known(told, instant), instant)
    found = _joined(_without_wards(parts, person), person, "told_at")
    discharged_at = F.when(F.col("has_end"), F.col("discharged_at"))
    return found.withColumn("discharged_at", discharged_at).select(*STAY_COLUMNS, "told_at")


def stays_of_cases(cases: DataFrame, encounter: DataFrame) -> DataFrame:
    """The stays of each case's person as known at the case's own ``as_of``: what its features may see.

    cases: one row per index stay, with person_key, encounter_key and as_of. encounter: as for :func:`stays`. Returns
    ``case`` (a struct, the row of cases), ``case_key`` (its encounter_key), ``is_index`` (the stay holds that
    encounter) and STAY_COLUMNS, with the last known end as ``discharged_at``. Encounters that are not over, and those
    whose start is not known to the day, are no facts and left out.
    """
    case = cases.select(
        F.struct(*cases.columns).alias("case"),
        F.col("person_key").alias("case_person"),
        F.col("encounter_key").alias("case_key"),
    )
    keys, as_of = ["person_key", "case_key"], F.col("case.as_of")
    is_of_person = F.col("person_key") == F.col("case_person")
    parts = case.join(_inpatient(encounter), is_of_person & is_known(as_of))
    top = _without_wards(_begun(parts, as_of), keys, F.col("encounter_key") == F.col("case_key"))
    found = _joined(top.where("is_finished and imprecise_start is null"), keys, "case")
    is_index = F.array_contains("encounter_keys", F.col("case_key"))
    return found.select("case", "case_key", is_index.alias("is_index"), *STAY_COLUMNS)


def index_stays(all_stays: DataFrame, encounter: DataFrame, person: DataFrame, as_of: datetime) -> DataFrame:
    """All stays with ``exclusion`` (null for index stays), label and the instant their features are as of.

    all_stays: of :func:`stays`. encounter: as there, for the end of each source's data. person: gold.dim_person, for
    deaths. Adds ``exclusion``, ``as_of``, ``data_end_at``, ``is_readmitted_30d`` (0, 1, or null when censored or
    excluded), ``has_died_30d``, ``is_dead`` (known at ``as_of``) and ``dead_by``, the end of what is known of the
    time of death.
    """
    of_person = Window.partitionBy("person_key")
    following = Window.partitionBy("person_key", F.col("imprecise_start").isNull()).orderBy(
        "admitted_at", "encounter_key"
    )
    vague = F.when(F.col("imprecise_start").isNotNull(), F.struct("admitted_at", "imprecise_start"))
    horizon_at = F.col("discharged_at") + F.expr(f"interval {HORIZON_DAYS} days")
    table = (
        all_stays.withColumn(
            "next", F.lead(F.struct("admitted_at", "is_planned", "is_finished")).over(following)
        )
        .withColumn("vague_starts", F.collect_list(vague).over(of_person))
        .join(deaths(person, as_of), F.col("person_key") == F.col("dead_person_key"), "left")
        .join(data_end(encounter, as_of), "source", "left")
    )
    disposition = F.col("discharge_disposition_code")
    exclusion = (
        F.when(F.col("is_imprecise"), "imprecise")
        .when(F.col("discharged_at").isNull(), "ongoing")
        .when(holds(disposition == DIED) | holds(F.col("dead_by") <= F.col("discharged_at")), "died")
        .when(disposition == HOSPICE, "hospice")
        .when(disposition == OTHER_HOSPITAL, "transferred_out")
    )
    is_back = holds(F.col("next.admitted_at") < horizon_at)
    may_be_back = F.exists(
        "vague_starts",
        lambda start: holds(
            (start["admitted_at"] < horizon_at)
            & (period_end(start["admitted_at"], start["imprecise_start"]) > F.col("discharged_at"))
        ),
    )
    is_told = (horizon_at <= F.col("data_end_at")) & ~(is_back & ~F.col("next.is_finished")) & ~may_be_back
    label = F.when(exclusion.isNull() & is_told, F.when(is_back & ~F.col("next.is_planned"), 1).otherwise(0))
    return table.select(
        *STAY_COLUMNS,
        exclusion.alias("exclusion"),
        F.col("told_at").alias("as_of"),
        "data_end_at",
        label.alias("is_readmitted_30d"),
        (holds(F.col("dead_by") > F.col("discharged_at")) & holds(F.col("dead_by") <= horizon_at)).alias(
            "has_died_30d"
        ),
        "dead_by",
        F.col("dead_person_key").isNotNull().alias("is_dead"),
    )


def _inpatient(encounter: DataFrame) -> DataFrame:
    """All versions of inpatient encounters that do not end before they begin.

    ``left_at``: their end, where it is known to the day; not before the start, which may be written more precisely.
    """
    is_end_vague = holds(F.col("ended_precision").isin("year", "month"))
    is_possible = (F.col("ended_at") >= F.col("started_at")) | (
        period_end("ended_at", "ended_precision") > F.col("started_at")
    )
    is_finished = F.col("status") == FINISHED
    has_left = is_finished & F.col("ended_at").isNotNull() & ~is_end_vague
    is_start_vague = F.col("started_precision").isin("year", "month")
    return (
        recorded(encounter)
        .where("is_inpatient and started_at is not null")
        .where(F.col("ended_at").isNull() | is_possible)
        .select(
            "source",
            "person_key",
            "patient_key",
            "facility_key",
            "encounter_key",
            "part_of_key",
            "started_at",
            period_end("started_at", "started_precision").alias("started_by"),
            F.when(is_start_vague, F.col("started_precision")).alias("imprecise_start"),
            F.when(has_left, F.greatest("ended_at", "started_at")).alias("left_at"),
            is_end_vague.alias("is_end_vague"),
            is_finished.alias("is_finished"),
            "is_planned",
            "admit_source_code",
            "discharge_disposition_code",
            "usable_at",
            "superseded_at",
        )
    )


def _with_told_at(parts: DataFrame) -> DataFrame:
    """Adds ``told_at``: the first instant at which the version that stood then said when the person came and left.

    A version whose start is known to the month or year only does not: features could tell no stay by it. Where a later
    version took the discharge back, only what came after it counts.
    """
    of_encounter = Window.partitionBy("person_key", "encounter_key")

    def stood(at: Column) -> Column:
        return F.col("superseded_at").isNull() | (F.col("superseded_at") > at)

    left_at, usable_at = F.col("left_at"), F.col("usable_at")
    taken_back_at = F.max(F.when(left_at.isNull() & stood(usable_at), usable_at)).over(of_encounter)
    told_at = F.greatest(usable_at, left_at)
    tells = left_at.isNotNull() & F.col("imprecise_start").isNull()
    counts = tells & stood(told_at) & ~holds(told_at < F.col("taken_back_at"))
    return parts.withColumn("taken_back_at", taken_back_at).withColumn(
        "told_at", F.min(F.when(counts, told_at)).over(of_encounter)
    )


def _begun(parts: DataFrame, instant: Column) -> DataFrame:
    """Encounters that began by ``instant``; an end announced for later has not come."""
    is_over = F.col("is_finished") & (F.col("left_at").isNull() | (F.col("left_at") <= instant))
    return (
        parts.where(F.col("started_at") <= instant)
        .withColumn("is_finished", is_over)
        .withColumn("left_at", F.when(F.col("is_finished"), F.col("left_at")))
    )


def _without_wards(parts: DataFrame, keys: Sequence[str], is_kept: Column | None = None) -> DataFrame:
    """Leaves out the periods (of a ward, say) of an encounter that is there itself; ``is_kept``: except these."""
    all_keys = F.collect_set("encounter_key").over(Window.partitionBy(*keys))
    is_ward = holds(F.array_contains("all_keys", F.col("part_of_key"))) & holds(
        F.col("part_of_key") != F.col("encounter_key")
    )
    if is_kept is not None:
        is_ward = is_ward & ~is_kept
    return parts.withColumn("all_keys", all_keys).where(~is_ward).drop("all_keys")


def _joined(parts: DataFrame, within: Sequence[str], *of_last: str) -> DataFrame:
    """Encounters, transfers joined into stays, ``within`` a person or case.

    An encounter whose start is not known to the day is joined with no precise one.

    Returns STAY_COLUMNS with the last known end as ``discharged_at``, ``has_end`` (all its encounters have one),
    ``within`` and ``of_last``, columns of the last encounter.
    """
    keys = [*within, "is_start_precise"]
    order = Window.partitionBy(*keys).orderBy("started_at", "left_at", "encounter_key")
    end = F.coalesce("left_at", "started_at").alias("at")
    latest = F.struct(end, "started_at", "encounter_key", "discharge_disposition_code", "source")
    started_at, previous_end_at = F.col("started_at"), F.col("previous.at")
    is_transfer = (started_at <= previous_end_at + F.expr(f"interval {TRANSFER_HOURS} hours")) & (
        holds(F.col("previous.discharge_disposition_code") == OTHER_HOSPITAL)
        | holds(F.col("admit_source_code") == FROM_HOSPITAL)
        | holds(F.col("previous.source") != F.col("source"))
    )
    is_new = F.when(holds(started_at <= previous_end_at) | holds(is_transfer), 0).otherwise(1)
    numbered = (
        parts.withColumn("is_start_precise", F.col("imprecise_start").isNull())
        .withColumn("previous", F.max(latest).over(order.rowsBetween(Window.unboundedPreceding, -1)))
        .withColumn("stay_number", F.sum(is_new).over(order.rowsBetween(Window.unboundedPreceding, 0)))
    )
    first = F.min(
        F.struct(
            "started_at", "encounter_key", "is_planned", "admit_source_code", "imprecise_start", "started_by"
        )
    )
    last = F.max(
        F.struct(
            end,
            "started_at",
            "encounter_key",
            "source",
            "patient_key",
            "facility_key",
            "discharge_disposition_code",
            *of_last,
        )
    )
    stay = numbered.groupBy(*keys, "stay_number").agg(
        first.alias("first"),
        last.alias("last"),
        F.collect_list("encounter_key").alias("encounter_keys"),
        F.max("left_at").alias("discharged_at"),
        F.min(F.col("left_at").isNotNull()).alias("has_end"),
        F.min("is_finished").alias("is_finished"),
        F.max(F.col("is_end_vague") | ~F.col("is_start_precise")).alias("is_imprecise"),
    )
    return stay.select(
        F.col("last.source").alias("source"),
        *within,
        F.col("last.patient_key").alias("patient_key"),
        F.col("last.facility_key").alias("facility_key"),
        F.col("last.encounter_key").alias("encounter_key"),
        "encounter_keys",
        F.col("first.started_at").alias("admitted_at"),
        F.col("first.started_by").alias("admitted_by"),
        "discharged_at",
        F.coalesce("first.is_planned", F.lit(False)).alias("is_planned"),
        holds(F.col("first.admit_source_code") == FROM_HOSPITAL).alias("is_transferred_in"),
        F.col("first.admit_source_code").alias("admit_source_code"),
        F.col("last.discharge_disposition_code").alias("discharge_disposition_code"),
        "is_finished",
        F.col("first.imprecise_start").alias("imprecise_start"),
        "is_imprecise",
        "has_end",
        *(F.col(f"last.{name}").alias(name) for name in of_last),
    )
