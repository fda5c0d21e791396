"""What mining needs of gold, counted and summed by the engine: aggregates come here, facts stay there.

Every function reads the registered ``gold.*`` of ``spark`` as they were known at ``as_of`` (an instant, UTC): the
versions of facts that could be used, and that none had taken the place of. It gives a pandas frame in a fixed order of
rows. People are those of ``dim_person`` who are not known to be dead. Statistics, rules and clusters are of at most
MOST_PEOPLE of them, drawn by a hash of their key, as more would make no figure better; unusual readings and packs are
looked for in everybody. What is watched for outbreaks is in ``syndromes``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from zoneinfo import ZoneInfo

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.lake import engine
from ml.features.knowledge import known, literal, versions
from ml.forecast.calendar import city_zone
from ml.mining.dispensing import WATCHED
from ml.mining.dispensing import WINDOW_DAYS as DISPENSING_DAYS
from ml.mining.readings import HISTORY_DAYS, LEAST_Z, NEW_DAYS, TO_NORMAL
from ml.mining.rules import ItemCounts, least_people

SUPERSEDED = "{}_superseded"
"""The table of superseded versions beside a table of facts."""
_PERSON, _WATCHED = "gold.dim_person", ("gold.fct_encounter", "gold.fct_condition")
_MINED = (*_WATCHED, "gold.fct_measurement", "gold.fct_medication_request")
NEEDED, NEEDED_TO_WATCH = (_PERSON, *_MINED), (_PERSON, *_WATCHED)
USED_TO_WATCH = tuple(SUPERSEDED.format(table) for table in _WATCHED)
USED_WHERE_THERE = (
    *("gold.fct_dispense", "gold.agg_district_daily", "gold.dim_medication"),
    *(SUPERSEDED.format(table) for table in _MINED),
)
MOST_PEOPLE = 200_000
MOST_ITEMS = 150
VISIT_DAYS = 365
VALUE_DAYS = 730
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
ATC = "http://www.whocc.no/atc"
ICD10_ITEM, ATC_ITEM = "icd10|", "atc|"
ICD10_CATEGORY = 3
"""Characters of an ICD-10 code that name its category."""
INJURIES = ("S", "T07", "T14", *(f"T{n}" for n in range(20, 33)))
"""ICD-10-CM: injuries of parts of the body (S00 to S99), several or unspecified ones, burns (T20 to T32)."""
PROBLEM_LIST = "problem-list-item"
HOME = "PTRES"
AGE_BANDS = ((18, "0 to 17"), (40, "18 to 39"), (65, "40 to 64"), (80, "65 to 79"))
OLDEST = "80 and over"
SMOKING_STATUS, SMOKES_DAILY = "72166-2", "LA18976-3"
EXPOSURES = ("pm2_5_ug_m3", "no2_ug_m3", "o3_max_8h_ug_m3", "temperature_mean_cel")


@dataclass(frozen=True)
class Gold:
    """Gold at ``as_of``. living: person_key, sex, age_years, age_band, postal_district of everybody; people: of those
    whom statistics are of. Both are kept by the engine."""

    spark: SparkSession
    as_of: datetime
    living: DataFrame
    people: DataFrame

    @classmethod
    def at(cls, spark: SparkSession, as_of: datetime) -> Gold:
        living = engine.kept(_living(spark, as_of))
        drawn = living.orderBy(F.xxhash64("person_key"), "person_key").limit(MOST_PEOPLE)
        return cls(spark, as_of, living, engine.kept(drawn))

    @property
    def local(self) -> datetime:
        """``as_of`` by the clocks of the city."""
        return self.as_of.astimezone(ZoneInfo(city_zone()))

    @property
    def today(self) -> date:
        """The day of ``as_of`` in the city, which is not over."""
        return self.local.date()

    def has(self, table: str) -> bool:
        return self.spark.catalog.tableExists(table)

    def told(self, table: str) -> DataFrame:
        """All versions of a table of facts, with usable_at and superseded_at."""
        superseded = SUPERSEDED.format(table)
        return versions(
            self.spark.table(table), self.spark.table(superseded) if self.has(superseded) else None
        )

    def usable(self, table: str) -> DataFrame:
        """The versions of a table of facts that stood at ``as_of``."""
        return known(self.told(table), literal(self.as_of))

    def ago(self, days: float) -> Column:
        return F.lit(self.as_of - timedelta(days=days))


def people(gold: Gold) -> pd.DataFrame:
    """A row per person by key: sex, age_years, age_band, postal_district, and of the last VISIT_DAYS emergency_visits,
    outpatient_visits, admissions (counts) and stay_days (mean of the person's stays); conditions and drugs (how many
    different ones the person ever had)."""
    is_own = F.col("part_of_key").isNull()
    recent = gold.usable("gold.fct_encounter").where(is_own & (F.col("started_at") > gold.ago(VISIT_DAYS)))
    is_inpatient = F.col("is_inpatient")
    visits = recent.groupBy("person_key").agg(
        F.sum(_one(F.col("class_code") == "EMER")).alias("emergency_visits"),
        F.sum(_one(F.col("class_code") == "AMB")).alias("outpatient_visits"),
        F.sum(_one(is_inpatient)).alias("admissions"),
        F.round(F.avg(F.when(is_inpatient, F.col("length_of_stay_hours"))) / 24, 4).alias("stay_days"),
    )
    had = (
        items(gold)
        .groupBy("person_key")
        .agg(
            F.sum(_one(F.col("item").startswith(ICD10_ITEM))).alias("conditions"),
            F.sum(_one(F.col("item").startswith(ATC_ITEM))).alias("drugs"),
        )
    )
    counted = ["emergency_visits", "outpatient_visits", "admissions", "conditions", "drugs"]
    joined = gold.people.join(visits, "person_key", "left").join(had, "person_key", "left")
    return frame(joined.fillna(0, counted).orderBy("person_key"))


def values(gold: Gold) -> pd.DataFrame:
    """person_key, concept, unit, value: of each person and concept the median of what hospitals measured in the last
    VALUE_DAYS, in the concept's unit."""
    rows = _measured(gold, gold.people).where(
        (F.col("place") == "hospital") & (F.col("effective_at") > gold.ago(VALUE_DAYS))
    )
    middle = rows.groupBy("person_key", "concept", "unit").agg(_median("value").alias("value"))
    return frame(middle.orderBy("person_key", "concept"))


def items(gold: Gold) -> DataFrame:
    """person_key, item: every condition (ICD-10 category, ``icd10|E11``) and drug (ATC, ``atc|A10BA02``) a person
    ever had, once. Chapter XXI (Z) is left out: a contact with a health service is no condition."""
    condition = gold.usable("gold.fct_condition").where(F.col("code_system") == ICD10)
    category = F.substring("code", 1, ICD10_CATEGORY)
    conditions = condition.where(~F.col("code").startswith("Z")).select(
        "person_key", F.concat(F.lit(ICD10_ITEM), category).alias("item")
    )
    request = gold.usable("gold.fct_medication_request").where(F.col("code_system") == ATC)
    drugs = request.select("person_key", F.concat(F.lit(ATC_ITEM), F.col("code")).alias("item"))
    return (
        conditions.unionByName(drugs)
        .where("item is not null")
        .distinct()
        .join(gold.people.select("person_key"), "person_key", "left_semi")
    )


def person_items(gold: Gold) -> pd.DataFrame:
    """``items`` as a frame."""
    return frame(items(gold).orderBy("person_key", "item"))


def lasting_conditions(gold: Gold) -> pd.DataFrame:
    """person_key, item: those of ``items`` that stand on a problem list (category of FHIR's condition-category); where
    no hospital keeps one, every condition."""
    condition = gold.usable("gold.fct_condition").where(F.col("code_system") == ICD10)
    listed = (
        condition.where(F.col("category_code") == PROBLEM_LIST)
        .select(
            "person_key", F.concat(F.lit(ICD10_ITEM), F.substring("code", 1, ICD10_CATEGORY)).alias("item")
        )
        .distinct()
    )
    every = items(gold).where(F.col("item").startswith(ICD10_ITEM))
    found = frame(every.join(listed, ["person_key", "item"], "left_semi").orderBy("person_key", "item"))
    return found if len(found) else frame(every.orderBy("person_key", "item"))


def words(gold: Gold) -> dict[str, str]:
    """What people call each item: of a category the words most often sent with one of its codes, of a drug its name in
    ``dim_medication``, else likewise."""
    condition = gold.usable("gold.fct_condition").where(F.col("code_system") == ICD10)
    category = F.substring("code", 1, ICD10_CATEGORY)
    request = gold.usable("gold.fct_medication_request").where(F.col("code_system") == ATC)
    said = condition.select(F.concat(F.lit(ICD10_ITEM), category).alias("item"), "code_display").unionByName(
        request.select(F.concat(F.lit(ATC_ITEM), F.col("code")).alias("item"), "code_display")
    )
    counted = frame(said.where("code_display is not null").groupBy("item", "code_display").count())
    counted = counted.sort_values(["item", "count", "code_display"], ascending=[True, False, True])
    found = dict(counted.drop_duplicates("item")[["item", "code_display"]].itertuples(index=False))
    if gold.has("gold.dim_medication"):
        named = gold.spark.table("gold.dim_medication").where("name is not null").select("atc_code", "name")
        found |= {f"{ATC_ITEM}{row['atc_code']}": row["name"] for row in named.collect()}
    return found


def strata(gold: Gold) -> DataFrame:
    """person_key, stratum: age band and sex, within which rules are tested."""
    return gold.people.select("person_key", F.concat_ws(", ", "age_band", "sex").alias("stratum"))


def item_counts(gold: Gold) -> ItemCounts:
    """People by stratum of age band and sex, and with each item, pair and three of items; sets of fewer people than
    ``rules.least_people`` are left out, and items beyond the MOST_ITEMS most frequent."""
    person = strata(gold)
    people = {row["stratum"]: row["count"] for row in person.groupBy("stratum").count().collect()}
    least = least_people(sum(people.values()))
    had = engine.kept(items(gold).join(person, "person_key").select("person_key", "stratum", "item"))
    frequent = (
        had.groupBy("item")
        .count()
        .where(F.col("count") >= least)
        .orderBy(F.desc("count"), "item")
        .limit(MOST_ITEMS)
        .select("item")
    )
    basket = engine.kept(had.join(frequent, "item"))
    one = basket.select("person_key", "stratum", F.col("item").alias("a"))
    two = one.join(basket.select("person_key", F.col("item").alias("b")), "person_key").where("a < b")
    pairs = two.groupBy("a", "b").count().where(F.col("count") >= least).select("a", "b")
    frequent_two = engine.kept(two.join(pairs, ["a", "b"]))
    last = frequent_two.select("person_key", F.col("a").alias("b"), F.col("b").alias("c"))
    three = frequent_two.select("person_key", "stratum", "a", "b").join(last, ["person_key", "b"])
    threes = three.groupBy("a", "b", "c").count().where(F.col("count") >= least).select("a", "b", "c")
    counted = [
        _by_stratum(one, ["a"]),
        _by_stratum(frequent_two, ["a", "b"]),
        _by_stratum(three.join(threes, ["a", "b", "c"]), ["a", "b", "c"]),
    ]
    sets = frame(reduce(DataFrame.unionByName, counted).orderBy("a", "b", "c", "stratum"))
    return ItemCounts(pd.Series(people, dtype=float), sets, least)


def watched_windows(gold: Gold) -> pd.DataFrame:
    """person_key, drug_class, from_date, to_date, packs, pharmacies: of each person, watched class and month the
    DISPENSING_DAYS days with most packs that end on a day of the month on which the person got some."""
    drug_class = reduce(
        lambda so_far, start: so_far.when(F.col("atc_code").startswith(start), WATCHED[start]),
        WATCHED,
        F.when(F.lit(False), ""),
    )
    got = engine.kept(
        gold.usable("gold.fct_dispense")
        .where("told_by = 'pharmacy' and person_key is not null and quantity_kept > 0")
        .withColumn("drug_class", drug_class)
        .where("drug_class is not null")
        .groupBy("person_key", "drug_class", F.col("dispensed_date").alias("date"), "facility_key")
        .agg(F.sum("quantity_kept").alias("packs"))
    )
    ends = got.select("person_key", "drug_class", F.col("date").alias("to_date")).distinct()
    is_within = (F.col("date") <= F.col("to_date")) & (F.col("date") > F.date_sub("to_date", DISPENSING_DAYS))
    windows = frame(
        ends.join(got, ["person_key", "drug_class"])
        .where(is_within)
        .groupBy("person_key", "drug_class", "to_date")
        .agg(F.sum("packs").alias("packs"), F.countDistinct("facility_key").alias("pharmacies"))
        .withColumn("from_date", F.date_sub("to_date", DISPENSING_DAYS - 1))
    )
    windows["month"] = pd.to_datetime(windows["to_date"]).dt.to_period("M")
    keys = ["person_key", "drug_class", "month"]
    order = [*keys, "packs", "pharmacies", "to_date"]
    fullest = windows.sort_values(order, ascending=[True, True, True, False, False, False])
    return fullest.drop_duplicates(keys).drop(columns="month").reset_index(drop=True)


def arrivals(gold: Gold) -> pd.DataFrame:
    """facility_key, date, arrivals (emergency and unplanned inpatient encounters by the day they started on), injuries
    (those with one as reason: INJURIES). The day of ``as_of`` is not over and left out."""
    is_unplanned = (F.col("class_code") == "EMER") | (F.col("is_inpatient") & ~F.col("is_planned"))
    rows = gold.usable("gold.fct_encounter").where(
        is_unplanned & F.col("part_of_key").isNull() & _is_over(gold, "started_date")
    )
    counted = rows.where("facility_key is not null").groupBy(
        "facility_key", F.col("started_date").alias("date")
    )
    is_injury = reduce(Column.__or__, [F.col("reason_code").startswith(start) for start in INJURIES])
    daily = counted.agg(F.count(F.lit(1)).alias("arrivals"), F.sum(_one(is_injury)).alias("injuries"))
    return frame(daily.orderBy("facility_key", "date"))


def readings(gold: Gold) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What ``readings.find`` takes: new values, and what the person's own history says.

    History: of those who have a value in the NEW_DAYS before ``as_of``, person_key, concept, place, earlier (count),
    median and mad (median absolute deviation) of the HISTORY_DAYS before those. New: person_key, concept, place, date,
    value, unit of the values that are LEAST_Z or more from the median by the person's own MAD: no others can be one.
    """
    keys = ["person_key", "concept", "place"]
    measured = engine.kept(
        _measured(gold, gold.living).where(F.col("effective_at") > gold.ago(NEW_DAYS + HISTORY_DAYS))
    )
    is_new = F.col("effective_at") > gold.ago(NEW_DAYS)
    new = measured.where(is_new)
    old = measured.where(~is_new).join(new.select(*keys).distinct(), keys, "left_semi")
    middle = old.groupBy(*keys).agg(F.count(F.lit(1)).alias("earlier"), _median("value").alias("median"))
    away = old.join(middle, keys).withColumn("away", _away())
    history = engine.kept(
        away.groupBy(*keys, "earlier", "median")
        .agg(_median("away").alias("mad"))
        .select(*keys, "earlier", "median", "mad")
    )
    far = new.join(history, keys).where(_away() >= LEAST_Z * TO_NORMAL * F.col("mad"))
    day = F.to_date("effective_at").alias("date")
    return (
        frame(far.select(*keys, day, "value", "unit").orderBy(*keys, "date", "value")),
        frame(history.orderBy(*keys)),
    )


def residents(gold: Gold) -> pd.Series:
    """The living by postal district."""
    placed = gold.living.where("postal_district is not null")
    counted = placed.groupBy("postal_district").agg(F.count(F.lit(1)).alias("people"))
    return frame(counted.orderBy("postal_district")).set_index("postal_district")["people"]


def smokers(gold: Gold) -> pd.Series:
    """Whether the person smokes daily (1 or 0), by the newest status told as a LOINC answer (list LL2201-3)."""
    told = (
        gold.usable("gold.fct_measurement")
        .where((F.col("code") == SMOKING_STATUS) & F.col("value_code").isNotNull())
        .where(F.col("effective_at") <= F.lit(gold.as_of))
    )
    newest_first = Window.partitionBy("person_key").orderBy(F.desc("effective_at"), "value_code")
    newest = told.withColumn("place", F.row_number().over(newest_first)).where("place = 1")
    smokes = newest.select("person_key", _one(F.col("value_code") == SMOKES_DAILY).alias("smokes"))
    found = frame(smokes.orderBy("person_key")).set_index("person_key")["smokes"]
    return found.astype(float)


def exposures(gold: Gold) -> pd.DataFrame:
    """By postal district (index) the mean EXPOSURES of the last VISIT_DAYS; no columns where none are told."""
    if not gold.has("gold.agg_district_daily"):
        return pd.DataFrame()
    since = (gold.as_of - timedelta(days=VISIT_DAYS)).date()
    daily = gold.spark.table("gold.agg_district_daily").where(
        (F.col("kind") == "postal_district") & (F.col("date") > F.lit(since)) & _is_over(gold, "date")
    )
    means = [F.round(F.avg(name), 4).alias(name) for name in EXPOSURES]
    found = frame(daily.groupBy("area_code").agg(*means).orderBy("area_code")).set_index("area_code")
    return found.dropna(axis="columns")


def frame(rows: DataFrame) -> pd.DataFrame:
    """What the engine found, as pandas."""
    found: pd.DataFrame = rows.toArrow().to_pandas()
    return found


def _living(spark: SparkSession, as_of: datetime) -> DataFrame:
    is_dead = F.col("is_deceased") & (F.col("deceased_at").isNull() | (F.col("deceased_at") <= F.lit(as_of)))
    months = (as_of.year - F.col("birth_year")) * 12 + as_of.month - F.coalesce("birth_month", F.lit(7))
    age = months / 12
    band = reduce(
        lambda so_far, upper: so_far.when(F.col("age_years") < upper[0], upper[1]),
        AGE_BANDS,
        F.when(F.lit(False), ""),
    ).otherwise(OLDEST)
    living = spark.table("gold.dim_person").where(~is_dead & F.col("birth_year").isNotNull())
    return (
        living.select("person_key", "sex", F.round(age, 2).alias("age_years"), "postal_district")
        .where("age_years >= 0")
        .withColumn("age_band", band)
    )


def _measured(gold: Gold, people: DataFrame) -> DataFrame:
    """person_key, concept, place (home or hospital), effective_at, value, unit of ``people``."""
    place = F.when(F.col("location_type_code") == HOME, "home").otherwise("hospital")
    return (
        gold.usable("gold.fct_measurement")
        .where("concept is not null and value_canonical is not null")
        .where(F.col("effective_at") <= F.lit(gold.as_of))
        .select(
            *("person_key", "concept", "effective_at", place.alias("place")),
            *(F.col("value_canonical").alias("value"), F.col("unit_canonical").alias("unit")),
        )
        .join(people.select("person_key"), "person_key", "left_semi")
    )


def _by_stratum(rows: DataFrame, sets: list[str]) -> DataFrame:
    """Columns a, b, c, stratum, people."""
    counted = rows.groupBy(*sets, "stratum").agg(F.count(F.lit(1)).alias("people"))
    missing = [F.lit(None).cast("string").alias(name) for name in ("a", "b", "c") if name not in sets]
    return counted.select("*", *missing).select("a", "b", "c", "stratum", "people")


def _is_over(gold: Gold, day: str) -> Column:
    return F.col(day) < F.lit(gold.today)


def _away() -> Column:
    return F.abs(F.col("value") - F.col("median"))


def _median(column: str) -> Column:
    return F.percentile(column, F.lit(0.5))


def _one(condition: Column) -> Column:
    return F.when(condition, 1).otherwise(0)
