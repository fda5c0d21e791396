"""The view of people at home: who tells of themselves by devices, asked about every week.

For training a person is asked about on each Monday, 00:00 UTC, in the HEARD_DAYS before which a device told something
that was known by then; for scoring, at the instant of the run. Only people who consent to care now are in gold's tables
of devices, so only they are asked about: whoever withdraws is in no later build, and the score falls.

The person's own usual state is the baseline: the BASE_DAYS that ended HEARD_DAYS before the instant.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake import engine
from ml.features import common
from ml.features.context import with_person
from ml.features.declared import Derived, FeatureSet, How, Windowed
from ml.features.events import EVENTS
from ml.features.facts import Facts
from ml.features.knowledge import END_OF_TIME, back, data_end, deaths, holds, is_known, literal, recorded
from ml.features.view import CASE_COLUMNS, View
from ml.question import Feature

HEARD_DAYS = 7
BASE_DAYS = 28
LONGEST_STAY_DAYS = 60
"""A stay that nobody has told the end of for longer is taken as over."""
KINDS = ("home_reading", "home_day")
BASE_END, WEIGHED_BEFORE = "week_before", "three_days_before"


@dataclass(frozen=True)
class AtHome:
    """People with a hospital's record, of whom a device told within HEARD_DAYS, who are alive and not in hospital.

    Who has a record, and who is in hospital, goes by what was known at the instant of the case. Who had died by then is
    not asked about, though it may have been told some days later.
    """

    gone: str = "merged"
    columns: tuple[str, ...] = ()

    def known(self, facts: Facts, as_of: datetime) -> DataFrame:
        monday = F.date_trunc("week", F.col("at")) + F.expr("interval 7 days")
        asked = _told(facts).withColumn("as_of", monday).where(F.col("as_of") <= literal(as_of))
        return self._cases(facts, as_of, _known(asked))

    def standing(self, facts: Facts) -> DataFrame:
        """Who is in no table of devices any more has withdrawn the consent."""
        dead = deaths(facts.person, END_OF_TIME)
        told = _told(facts).select(F.col("person_key").alias("told_of")).distinct()
        people = facts.person.join(dead, F.col("person_key") == F.col("dead_person_key"), "left").join(
            told, F.col("person_key") == F.col("told_of"), "left"
        )
        fallen = F.when(F.col("dead_person_key").isNotNull(), "person_died").when(
            F.col("told_of").isNull(), "consent_withdrawn"
        )
        return people.select(F.col("patient_key").alias("subject_key"), "patient_key", fallen.alias("fallen"))

    def open(self, facts: Facts, as_of: datetime, standing: DataFrame) -> DataFrame:
        moment = literal(as_of)
        is_recent = (F.col("at") >= back(moment, HEARD_DAYS)) & (F.col("at") < moment)
        asked = _told(facts).where(is_recent).withColumn("as_of", moment)
        # Kept, because Sail (0.7) never ends a join by an instant that both sides give as one and the same constant.
        cases = self._cases(facts, as_of, engine.kept(_known(asked)))
        stands = standing.where("fallen is null").select("patient_key")
        return cases.join(stands, "patient_key", "left_semi")

    def with_context(self, cases: DataFrame, facts: Facts) -> DataFrame:
        """Ages are in whole years, as of people."""
        return with_person(cases, facts.person, "as_of").withColumns(
            {
                "age_years": F.floor("age_years").cast("double"),
                BASE_END: back(F.col("as_of"), HEARD_DAYS),
                WEIGHED_BEFORE: back(F.col("as_of"), 3),
            }
        )

    def _cases(self, facts: Facts, as_of: datetime, asked: DataFrame) -> DataFrame:
        """CASE_COLUMNS and ``exclusion`` of people and instants: person_key, as_of."""
        person = facts.person.select("person_key", "source", "patient_key")
        dead = deaths(facts.person, as_of)
        table = (
            asked.join(person, "person_key")
            .join(_data_ends(facts.encounter, as_of), F.col("person_key") == F.col("of_person"), "left")
            .join(_on_record(facts.encounter, asked), ["person_key", "as_of"], "left")
            .join(dead, F.col("person_key") == F.col("dead_person_key"), "left")
            .withColumn("is_dead", F.col("dead_person_key").isNotNull())
        )
        exclusion = (
            F.when(F.col("is_dead") & ~holds(F.col("dead_by") > F.col("as_of")), "died")
            .when(F.col("is_in_hospital").isNull(), "no_hospital")
            .when(F.col("is_in_hospital"), "in_hospital")
        )
        made = {
            "case_key": F.concat_ws("|", "person_key", F.unix_seconds("as_of").cast("string")),
            "encounter_key": F.lit(None).cast("string"),
            "starts_at": F.col("as_of"),
        }
        columns = [made[name].alias(name) if name in made else F.col(name) for name in CASE_COLUMNS]
        return table.select(*columns, exclusion.alias("exclusion"))


def _told(facts: Facts) -> DataFrame:
    """person_key, at, usable_at, superseded_at of all that devices told."""
    names = ("person_key", "at", "usable_at", "superseded_at")
    return reduce(DataFrame.unionByName, (EVENTS[kind].events(facts).select(*names) for kind in KINDS))


def _known(told: DataFrame) -> DataFrame:
    """person_key, as_of of those of whom something in ``told`` was known at its ``as_of``."""
    return told.where(is_known(F.col("as_of"))).select("person_key", "as_of").distinct()


def _data_ends(encounter: DataFrame, as_of: datetime) -> DataFrame:
    """of_person, data_end_at: the earliest end of data of the hospitals that had seen the person by ``as_of``."""
    seen = (
        recorded(encounter)
        .where(F.col("usable_at") <= literal(as_of))
        .select("person_key", "source")
        .distinct()
    )
    ends = seen.join(data_end(encounter, as_of), "source").groupBy("person_key")
    return ends.agg(F.min("data_end_at").alias("data_end_at")).withColumnRenamed("person_key", "of_person")


def _on_record(encounter: DataFrame, asked: DataFrame) -> DataFrame:
    """person_key, as_of, ``is_in_hospital`` of those of whom a hospital's record was known at ``as_of``.

    is_in_hospital: by what was known then an inpatient stay goes on.
    """
    at = F.col("as_of")
    goes_on: tuple[Column, ...] = (
        F.col("is_inpatient"),
        F.col("part_of_key").isNull(),
        F.col("started_at") <= at,
        F.col("started_at") > back(at, LONGEST_STAY_DAYS),
        F.col("ended_at").isNull() | (F.col("ended_at") > at),
    )
    told = recorded(encounter).withColumnRenamed("person_key", "of_person")
    known = asked.join(told, (F.col("of_person") == F.col("person_key")) & is_known(at))
    is_in_hospital = F.bool_or(holds(reduce(and_, goes_on)))
    return known.groupBy("person_key", "as_of").agg(is_in_hospital.alias("is_in_hospital"))


def _own(kind: str, concept: str, name: str, words: str, unit: str) -> tuple[Windowed | Derived, ...]:
    """The mean of 3 and 7 days, and how far the mean of 3 days lies from the person's own baseline."""
    where = f"concept = '{concept}'"

    def windowed(ending: str, what: str, how: How, days: int, until: str = "as_of") -> Windowed:
        return Windowed(
            Feature(f"{name}_{ending}", "number", f"{what}{words}", unit), kind, how, where, days, until
        )

    return (
        windowed("mean_3d", "3-day mean of ", "mean", 3),
        windowed("mean_7d", "7-day mean of ", "mean", HEARD_DAYS),
        windowed("base", "usual ", "mean", BASE_DAYS, BASE_END),
        Derived(
            Feature(f"{name}_change", "number", f"change of {words} from what is usual", unit),
            f"{name}_mean_3d - {name}_base",
        ),
    )


def _days(name: str, words: str, kind: str, where: str) -> Windowed:
    return Windowed(Feature(name, "count", words), kind, "count", where, days=HEARD_DAYS)


WEIGHT = "concept = 'body_weight' and value between 20 and 400"
FEATURES = FeatureSet(
    (
        *common.age_and_sex(),
        *_own("home_reading", "body_weight", "home_weight_kg", "weight at home", "kg"),
        *_own("home_reading", "systolic_pressure", "home_systolic_mmhg", "systolic pressure at home", "mmHg"),
        *_own("home_reading", "heart_rate", "home_heart_rate_per_min", "heart rate at home", "/min"),
        *_own("home_reading", "glucose", "home_glucose_mg_dl", "blood glucose at home", "mg/dL"),
        *_own("home_day", "resting_heart_rate", "resting_heart_rate_per_min", "resting heart rate", "/min"),
        *_own("home_day", "steps", "steps", "steps a day", "steps"),
        *_own("home_day", "sleep", "sleep_min", "sleep a day", "minutes"),
        Windowed(
            Feature("weight_now_kg", "number", "newest weight at home of 3 days", "kg"),
            "home_reading",
            "newest",
            WEIGHT,
            days=3,
        ),
        Windowed(
            Feature("weight_before_kg", "number", "newest weight at home before these 3 days", "kg"),
            "home_reading",
            "newest",
            WEIGHT,
            days=4,
            until=WEIGHED_BEFORE,
        ),
        Derived(
            Feature("weight_gain_3d_kg", "number", "weight gained in 3 days", "kg"),
            "weight_now_kg - weight_before_kg",
        ),
        _days("days_told_7d", "days of 7 that a wristband told", "home_day", "concept = 'steps'"),
        _days("weighings_7d", "weighings in 7 days", "home_reading", "concept = 'body_weight'"),
        _days("pressures_7d", "pressures taken in 7 days", "home_reading", "concept = 'systolic_pressure'"),
        *common.visits("as_of", 90),
        Windowed(
            Feature("admissions_90d", "count", "hospital admissions in 3 months"),
            "admission",
            "count",
            days=90,
        ),
        Windowed(
            Feature("days_since_admission", "number", "days since the last admission", "days"),
            "admission",
            "days_since",
            days=365,
        ),
        *common.conditions("as_of"),
        *common.drugs("as_of"),
    )
)

HOME = View("home", AtHome(), FEATURES)
