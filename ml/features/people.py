"""The view of people: every adult whom a hospital has seen lately, asked about again and again.

For training a person is asked about at the first instant of every third month (UTC): cases of one person are alike, so
they never lie on both sides of a split. For scoring, everybody is asked about at the instant of the run.

What is known when. Who is asked about goes by what was known at the instant, but for deaths: who had died by then is
not asked about, though it may have been told some days later. Who is one person is as known when the table is made, for
the reason that ``ml/risk/readmission_30d/definition.md`` gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ml.features import common
from ml.features.analytes import ANALYTES, BY_NAME, OF_PEOPLE
from ml.features.context import with_person
from ml.features.declared import Derived, FeatureSet, Windowed
from ml.features.facts import Facts
from ml.features.knowledge import END_OF_TIME, back, data_end, deaths, holds, is_known, literal, recorded
from ml.features.view import CASE_COLUMNS, View
from ml.question import Feature

ADULT_YEARS = 18
SEEN_DAYS = 730
KNOWN_DAYS = 180
VALUE_DAYS = 1095
MONTHS = 3
USUAL = (
    "systolic_mmhg",
    "diastolic_mmhg",
    "glucose_mg_dl",
    "hba1c_pct",
    "haemoglobin_g_dl",
    "cholesterol_mg_dl",
    "hdl_mg_dl",
    "care_need_points",
)
"""What varies around a value of the person's own: its mean says more than the newest."""


@dataclass(frozen=True)
class People:
    """Adults (ADULT_YEARS), alive, with an encounter that began within SEEN_DAYS before the instant and one at least
    KNOWN_DAYS before it, so that what was there already is on record."""

    gone: str = "merged"
    columns: tuple[str, ...] = ()

    def known(self, facts: Facts, as_of: datetime) -> DataFrame:
        first = recorded(facts.encounter).agg(F.min("started_at").alias("at")).collect()[0]["at"]
        asked = [] if first is None else instants(first.replace(tzinfo=UTC), as_of)
        return self._cases(facts, as_of, asked)

    def standing(self, facts: Facts) -> DataFrame:
        dead = deaths(facts.person, END_OF_TIME)
        people = facts.person.join(dead, F.col("person_key") == F.col("dead_person_key"), "left")
        fallen = F.when(F.col("dead_person_key").isNotNull(), "person_died")
        return people.select(F.col("patient_key").alias("subject_key"), "patient_key", fallen.alias("fallen"))

    def open(self, facts: Facts, as_of: datetime, standing: DataFrame) -> DataFrame:
        stands = standing.where("fallen is null").select("patient_key")
        return self._cases(facts, as_of, [as_of]).join(stands, "patient_key", "left_semi")

    def with_context(self, cases: DataFrame, facts: Facts) -> DataFrame:
        """Ages are in whole years: a score is made anew when a feature changes, and nobody is older every day."""
        table = with_person(cases, facts.person, "as_of")
        return table.withColumn("age_years", F.floor("age_years").cast("double"))

    def _cases(self, facts: Facts, as_of: datetime, asked_at: Sequence[datetime]) -> DataFrame:
        """CASE_COLUMNS and ``exclusion`` of everybody seen at each of these instants."""
        person = facts.person.select("person_key", "source", "patient_key")
        dead = deaths(facts.person, as_of)
        table = (
            with_person(_seen(facts.encounter, asked_at, as_of), facts.person, "as_of")
            .join(person, "person_key")
            .join(dead, F.col("person_key") == F.col("dead_person_key"), "left")
            .withColumn("is_dead", F.col("dead_person_key").isNotNull())
        )
        exclusion = (
            F.when(F.col("is_dead") & ~holds(F.col("dead_by") > F.col("as_of")), "died")
            .when(F.col("age_years").isNull(), "age_unknown")
            .when(F.col("age_years") < ADULT_YEARS, "too_young")
        )
        made = {
            "case_key": F.concat_ws("|", "person_key", F.unix_seconds("as_of").cast("string")),
            "encounter_key": F.lit(None).cast("string"),
            "starts_at": F.col("as_of"),
        }
        columns = [made[name].alias(name) if name in made else F.col(name) for name in CASE_COLUMNS]
        return table.select(*columns, exclusion.alias("exclusion"))


def instants(first: datetime, last: datetime, months: int = MONTHS) -> list[datetime]:
    """The first instants (UTC) of every ``months``-th month of the calendar after ``first`` and up to ``last``."""
    found = []
    for number in range(first.year * 12, last.year * 12 + 12, months):
        moment = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
        if first < moment <= last:
            found.append(moment)
    return found


def _seen(encounter: DataFrame, asked_at: Sequence[datetime], as_of: datetime) -> DataFrame:
    """person_key, as_of, data_end_at of everybody with the encounters that are asked for, as known at each instant.

    data_end_at: the earliest end of data of the sources that tell of the person.
    """
    asked = F.array(*map(literal, asked_at)) if asked_at else F.array().cast("array<timestamp>")
    at, begun = F.col("as_of"), F.col("started_at")
    rows = (
        recorded(encounter)
        .join(data_end(encounter, as_of), "source")
        .withColumn("as_of", F.explode(asked))
        .where(is_known(at) & (begun < at))
    )
    found = rows.groupBy("person_key", "as_of").agg(
        F.max(begun).alias("last_at"),
        F.min(begun).alias("first_at"),
        F.min("data_end_at").alias("data_end_at"),
    )
    is_asked = (F.col("last_at") >= back(at, SEEN_DAYS)) & (F.col("first_at") < back(at, KNOWN_DAYS))
    return found.where(is_asked).select("person_key", "as_of", "data_end_at")


def _admissions(days: int, words: str) -> tuple[Windowed, ...]:
    def counted(name: str, what: str, where: str) -> Windowed:
        return Windowed(
            Feature(f"{name}_{days}d", "count", f"{what} {words}"), "admission", "count", where, days=days
        )

    return (
        counted("admissions", "hospital admissions", "true"),
        counted("unplanned_admissions", "unplanned hospital admissions", "not is_planned"),
    )


def _symptom(name: str, words: str, codes: str) -> tuple[Windowed | Derived, ...]:
    """A complaint in the last half year: written down as a condition, or why the person came to a visit. Of many visits
    only the reason is told."""

    def ever(name: str, words: str, of: str, where: str) -> Windowed:
        return Windowed(Feature(name, "flag", f"{words} in the 6 months before"), of, "ever", where, days=180)

    noted, came = f"noted_{name}_180d", f"came_for_{name}_180d"
    return (
        ever(noted, f"{words} written down", "condition", f"icd10 rlike '^({codes})'"),
        ever(came, f"came because of {words}", "visit", f"replace(reason_code, '.', '') rlike '^({codes})'"),
        Derived(
            Feature(f"has_{name}_180d", "flag", f"{words} in the 6 months before"),
            f"greatest({noted}, {came})",
        ),
    )


def _on_record(name: str, words: str, codes: str) -> Windowed:
    return Windowed(Feature(f"has_{name}", "flag", words), "condition", "ever", f"icd10 rlike '^({codes})'")


SYMPTOMS = (
    *_symptom("cough", "cough", "R05"),
    *_symptom("bloody_cough", "coughing blood", "R042"),
    *_symptom("weight_loss", "weight loss", "R634"),
    *_symptom("night_sweats", "night sweats", "R61"),
    *_symptom("fever", "fever", "R50"),
)
"""ICD-10 codes of complaints that come before a diagnosis."""

FEATURES = FeatureSet(
    (
        *common.age_and_sex(),
        *_admissions(90, "in the 3 months before"),
        *_admissions(365, "in the 12 months before"),
        *_admissions(730, "in the 2 years before"),
        *common.visits("as_of", 90),
        *common.visits("as_of", 365),
        *common.visits("as_of", 730),
        *common.conditions("as_of"),
        _on_record("lung_cancer", "lung cancer", "C3[34]"),
        _on_record("tuberculosis", "tuberculosis", "A1[5-9]"),
        *SYMPTOMS,
        *common.drugs("as_of"),
        *common.newest((*ANALYTES, *OF_PEOPLE), "as_of", VALUE_DAYS),
        *common.usual([BY_NAME[name] for name in USUAL], "as_of", VALUE_DAYS),
        Derived(
            Feature("body_mass_index_kg_m2", "number", "body mass index", "kg/m2"),
            "last_weight_kg / ((last_height_cm / 100) * (last_height_cm / 100))",
        ),
        Windowed(
            Feature("smoking_level", "number", "smoking: 0 never, 1 formerly, 2 now"), "smoking", "newest"
        ),
        Derived(Feature("is_smoker", "flag", "smokes"), "smoking_level = 2"),
        Derived(Feature("is_former_smoker", "flag", "smoked formerly"), "smoking_level = 1"),
    )
)

PEOPLE = View("people", People(), FEATURES)
