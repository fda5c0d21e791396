"""The cases of the question: index stays, what was known of them when their score was made, and which still stand."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from ml.features import Facts
from ml.features.context import with_person
from ml.features.knowledge import END_OF_TIME, back, days_between, rounded
from ml.features.view import CASE_COLUMNS
from ml.risk.readmission_30d.cohort import HORIZON_DAYS, index_stays, stays, stays_of_cases

_OF_STAY = (
    "encounter_keys",
    "admitted_at",
    "discharged_at",
    "is_planned",
    "is_transferred_in",
    "admit_source_code",
    "discharge_disposition_code",
)


class Discharges:
    """Index stays, as ``definition.md`` has them. Their context is what was known at their own ``as_of``:
    ``admitted_at``, ``discharged_at`` and the way home as written then, and counts of the stays before."""

    gone = "stay_gone"
    columns = ("ends_at", "label", "has_died")

    def known(self, facts: Facts, as_of: datetime) -> DataFrame:
        index = index_stays(stays(facts.encounter, as_of), facts.encounter, facts.person, as_of)
        discharged_at = F.col("discharged_at")
        return index.withColumns(
            {
                "case_key": F.col("encounter_key"),
                "starts_at": discharged_at,
                "ends_at": discharged_at + F.expr(f"interval {HORIZON_DAYS} days"),
                "label": F.col("is_readmitted_30d"),
                "has_died": F.col("has_died_30d"),
            }
        ).select(*CASE_COLUMNS, *self.columns, "exclusion")

    def standing(self, facts: Facts) -> DataFrame:
        index = self.known(facts, END_OF_TIME)
        fallen = F.when(F.col("is_dead"), "person_died").otherwise(F.col("exclusion"))
        return index.select(
            F.col("encounter_key").alias("subject_key"), "patient_key", fallen.alias("fallen")
        )

    def open(self, facts: Facts, as_of: datetime, standing: DataFrame) -> DataFrame:
        """Those whose 30 days are not over at ``as_of``, of people not known to be dead."""
        moment = F.lit(as_of)
        is_open = (
            F.col("exclusion").isNull()
            & (F.col("starts_at") > back(moment, HORIZON_DAYS))
            & (F.col("starts_at") <= moment)
            & (F.col("as_of") <= moment)
            & ~F.col("is_dead")
        )
        stands = standing.where("fallen is null").select(
            F.col("subject_key").alias("case_key"), "patient_key"
        )
        opened = self.known(facts, as_of).where(is_open)
        return opened.join(stands, ["case_key", "patient_key"], "left_semi")

    def with_context(self, cases: DataFrame, facts: Facts) -> DataFrame:
        discharged_at = F.col("discharged_at")
        seen = _with_stays(cases, facts.encounter).withColumns(
            {
                "starts_at": discharged_at,
                "ends_at": discharged_at + F.expr(f"interval {HORIZON_DAYS} days"),
                "length_of_stay_days": rounded(days_between(discharged_at, F.col("admitted_at"))),
            }
        )
        return with_person(seen, facts.person, "discharged_at")


def _with_stays(cases: DataFrame, encounter: DataFrame) -> DataFrame:
    """Adds the stay itself, and counts of those of the person that began before its admission, as known at as_of."""
    case = Window.partitionBy("person_key", "case_key")
    index_first = case.orderBy(F.desc("is_index"))
    rows = stays_of_cases(cases, encounter).withColumn(
        "index_at", F.max(F.when(F.col("is_index"), F.col("admitted_at"))).over(case)
    )
    index_at, began_at = F.col("index_at"), F.col("admitted_at")
    left_at = F.when(~F.col("is_index"), F.col("discharged_at"))
    is_before = (began_at < index_at) & (F.col("admitted_by") <= index_at)
    in_365 = is_before & (began_at >= back(index_at, 365))
    in_180 = in_365 & (began_at >= back(index_at, 180))
    counts = {
        "stays_180d": _count(in_180),
        "stays_365d": _count(in_365),
        "unplanned_stays_365d": _count(in_365 & ~F.col("is_planned")),
        "bed_days_365d": F.sum(F.when(in_365, days_between(left_at, began_at))),
        "days_since_last_stay": F.min(F.when(in_365, days_between(index_at, left_at))),
    }
    counted = rows.withColumns({name: count.over(case) for name, count in counts.items()}).withColumn(
        "place", F.row_number().over(index_first)
    )
    of_stay = (F.when(F.col("is_index"), F.col(name)).alias(name) for name in _OF_STAY)
    return (
        counted.where("place = 1")
        .select("case.*", *of_stay, *(rounded(F.col(name)).alias(name) for name in counts))
        .withColumnRenamed("encounter_keys", "own_encounters")
    )


def _count(condition: Column) -> Column:
    return F.sum(F.when(condition, 1.0).otherwise(0.0))
