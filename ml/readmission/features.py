"""What is known of an index stay when its score is made: one row of features per index stay.

Knowledge: every fact is read as it was known at the stay's ``as_of`` (see ``definition.md``): the version usable then
and not yet superseded. So are the stay itself, its discharge and the stays before it, joined from the encounters known
then. What is corrected, deleted or received later moves nothing. Windows are half-open and look back:

* use of the hospital (stays, emergency and outpatient visits): [admission - w, admission), as in LACE and HOSPITAL;
* what was written down (conditions, prescriptions, measurements): [discharge - w, discharge), and what the stay itself
  recorded by the discharge, that very instant included;
* what the stay brought (lowest haemoglobin, drugs prescribed): [admission, discharge), likewise.

What is dated to the day, month or year alone, or to a period, is in a window when it ends in it: a value of the day of
discharge may be the readmission's. Only of what names the stay itself is it enough to begin in it.

Sex and date of birth are taken from the person's records as they are now (``gold.dim_person``): they are facts of
birth, and a changed address must not make them unknown.

Every value is a plain double (0 or 1 for flags), null where unknown, or a short code. Everything is one plan: the index
stays joined once with each fact and aggregated with conditions. Encounters that are not over are no facts.

Sources: LACE, van Walraven et al., CMAJ 2010; 182: 551-557. HOSPITAL, Donzé et al., JAMA Intern Med 2013; 173:
632-638 (without the procedure item, which is not modelled yet). Comorbidities: ``comorbidity.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from ml.question import Feature, Question
from ml.readmission.analytes import ANALYTES, BY_NAME
from ml.readmission.cohort import (
    FINISHED,
    FROM_HOSPITAL,
    HORIZON_DAYS,
    RECORDED,
    is_known,
    period_end,
    recorded,
    stays_of_cases,
    versions,
)
from ml.readmission.comorbidity import GROUPS, Group, weighted_illnesses

TARGET = "readmission_30d"
LABEL = "is_readmitted_30d"

VISIT, CONDITION, DRUG, LAB = "visit", "condition", "drug", "measurement"
EMERGENCY = "EMER"
VISIT_WINDOW_DAYS = 180
LAB_WINDOW_DAYS = 365
DRUG_WINDOW_DAYS = 180
STAY_EXTREMES = (
    ("haemoglobin_g_dl", "min", "lowest haemoglobin of the stay"),
    ("sodium_mmol_l", "min", "lowest sodium of the stay"),
    ("creatinine_mg_dl", "max", "highest creatinine of the stay"),
    ("glucose_mg_dl", "max", "highest blood glucose of the stay"),
)
DRUG_CLASSES = (
    ("anticoagulant", "B01A", "on a drug against clotting"),
    ("insulin", "A10A", "on insulin"),
    ("diuretic", "C03", "on a water tablet"),
    ("opioid", "N02A", "on an opioid"),
    ("steroid", "H02", "on a steroid"),
)
LOW_HAEMOGLOBIN_G_DL = 12.0
LOW_SODIUM_MMOL_L = 135.0

FEATURES: tuple[Feature, ...] = (
    Feature("age_years", "number", "age", "years"),
    Feature("is_female", "flag", "female"),
    Feature("length_of_stay_days", "count", "length of stay", "days"),
    Feature("is_unplanned", "flag", "unplanned admission"),
    Feature("is_transferred_in", "flag", "transferred in from another hospital"),
    Feature("is_weekend_discharge", "flag", "discharged at a weekend"),
    Feature("discharged_to", "category", "discharged to"),
    Feature("stays_180d", "count", "hospital stays in the 6 months before"),
    Feature("stays_365d", "count", "hospital stays in the 12 months before"),
    Feature("unplanned_stays_365d", "count", "unplanned hospital stays in the 12 months before"),
    Feature("bed_days_365d", "count", "days in hospital in the 12 months before", "days"),
    Feature("days_since_last_stay", "number", "days since the last hospital stay", "days"),
    Feature("emergency_visits_180d", "count", "emergency visits in the 6 months before"),
    Feature("outpatient_visits_180d", "count", "outpatient visits in the 6 months before"),
    Feature("conditions", "count", "different conditions on record"),
    Feature("charlson_groups", "count", "serious illness groups on record"),
    *(Feature(f"has_{group.name}", "flag", group.label) for group in GROUPS),
    Feature("drugs_180d", "count", "different drugs prescribed in the last 6 months"),
    Feature("drugs_of_stay", "count", "different drugs prescribed in this stay"),
    *(Feature(f"has_{name}", "flag", label) for name, _, label in DRUG_CLASSES),
    *(Feature(f"last_{a.name}", "number", f"last {a.label}", a.unit) for a in ANALYTES),
    *(Feature(f"{kind}_{name}", "number", label, BY_NAME[name].unit) for name, kind, label in STAY_EXTREMES),
    Feature("has_low_haemoglobin", "flag", f"haemoglobin below {LOW_HAEMOGLOBIN_G_DL:g} g/dL"),
    Feature("has_low_sodium", "flag", f"sodium below {LOW_SODIUM_MMOL_L:g} mmol/L"),
    Feature("lace_points", "number", "LACE score"),
    Feature("hospital_points", "number", "HOSPITAL score"),
)

QUESTION = Question(
    name=TARGET,
    title="Unplanned readmission within 30 days of discharge from hospital",
    horizon_days=HORIZON_DAYS,
    alert_budget=0.15,
    features=FEATURES,
)

CASE_COLUMNS = (
    "source",
    "person_key",
    "patient_key",
    "encounter_key",
    "admitted_at",
    "discharged_at",
    "as_of",
    "data_end_at",
    LABEL,
    "has_died_30d",
    "is_dead",
    "sex",
    "age_band",
)
_CASE = ("person_key", "encounter_key")
_INDEX_COLUMNS = (
    "source",
    *_CASE,
    "patient_key",
    "as_of",
    "data_end_at",
    LABEL,
    "has_died_30d",
    "is_dead",
)
_STAY_COLUMNS = (
    "encounter_keys",
    "admitted_at",
    "discharged_at",
    "is_planned",
    "is_transferred_in",
    "admit_source_code",
    "discharge_disposition_code",
)
_OWN_COLUMNS = {
    **{f"has_{group.name}": "double" for group in GROUPS},
    **{f"has_{name}": "double" for name, _, _ in DRUG_CLASSES},
    "analyte": "string",
    "value": "double",
}

GOLD = (
    "gold.dim_person",
    "gold.fct_encounter",
    "gold.fct_condition",
    "gold.fct_measurement",
    "gold.fct_medication_request",
)
SUPERSEDED = {fact: f"{fact}_superseded" for fact in GOLD[1:]}
"""Fact -> its versions that another took the place of: the fact's columns and ``superseded_at``."""


@dataclass(frozen=True)
class Facts:
    """The gold tables features are made from; of facts the current rows or, better, all their versions."""

    person: DataFrame
    encounter: DataFrame
    condition: DataFrame
    measurement: DataFrame
    medication_request: DataFrame

    @classmethod
    def of(cls, spark: SparkSession, published: Collection[str]) -> Facts:
        """The facts of a session that has the ``published`` tables registered; superseded versions where there are
        some."""
        person, *facts = (spark.table(table) for table in GOLD)
        superseded = (spark.table(table) if table in published else None for table in SUPERSEDED.values())
        return cls(person, *map(versions, facts, superseded))


def build(index: DataFrame, facts: Facts) -> DataFrame:
    """One row per index stay: CASE_COLUMNS, then every feature of QUESTION in order.

    index: of :func:`ml.readmission.cohort.index_stays`; rows with an exclusion are left out. ``admitted_at`` and
    ``discharged_at`` are those known at the row's ``as_of``, as for the features; label and outcomes are those of
    ``index``.
    """
    cases = _with_stays(index.where("exclusion is null").select(*_INDEX_COLUMNS), facts.encounter)
    of_case = [name for name in cases.columns if name != "encounter_keys"]
    seen = cases.join(_events(facts), _is_seen(), "left")
    table = seen.groupBy(*of_case).agg(
        *_of_visits(),
        *_of_conditions(),
        *_of_drugs(),
        *_of_measurements(),
    )
    person = facts.person.select("person_key", "sex", "birth_year", "birth_month")
    table = _with_person_and_stay(table.join(person, "person_key", "left"))
    table = _with_scores(table)
    return table.select(*CASE_COLUMNS, *(F.col(name) for name in QUESTION.feature_names))


def _with_person_and_stay(table: DataFrame) -> DataFrame:
    age = (
        F.year("discharged_at")
        - F.col("birth_year")
        + (F.month("discharged_at") - F.coalesce("birth_month", F.lit(7))) / F.lit(12.0)
    )
    band = (
        F.when(F.col("age_years") < 18, "<18")
        .when(F.col("age_years") < 45, "18-44")
        .when(F.col("age_years") < 65, "45-64")
        .when(F.col("age_years") < 80, "65-79")
        .when(F.col("age_years") >= 80, "80+")
        .otherwise("unknown")
    )
    counted = [f.name for f in QUESTION.features if f.kind in ("count", "flag") and f.name in table.columns]
    filled = table.fillna(0.0, counted)
    return (
        filled.withColumn("age_years", _rounded(F.when(age < 0, 0.0).otherwise(age)))
        .withColumn("age_band", band)
        .withColumn("sex", F.coalesce("sex", F.lit("unknown")))
        .withColumn("is_female", _flag(F.col("sex") == "female"))
        .withColumn("length_of_stay_days", _rounded(_days(F.col("discharged_at"), F.col("admitted_at"))))
        .withColumn("is_unplanned", _flag(~F.col("is_planned")))
        .withColumn(
            "is_transferred_in",
            _flag(F.col("is_transferred_in") | (F.col("admit_source_code") == FROM_HOSPITAL)),
        )
        .withColumn("is_weekend_discharge", _flag(F.dayofweek("discharged_at").isin(1, 7)))
        .withColumn("discharged_to", F.coalesce("discharge_disposition_code", F.lit("unknown")))
        .withColumn("charlson_groups", _sum_of_illnesses(lambda group: 1))
        .withColumn("has_low_haemoglobin", _flag(F.col("last_haemoglobin_g_dl") < LOW_HAEMOGLOBIN_G_DL))
        .withColumn("has_low_sodium", _flag(F.col("last_sodium_mmol_l") < LOW_SODIUM_MMOL_L))
    )


def _with_scores(table: DataFrame) -> DataFrame:
    """LACE (0 to 19) and HOSPITAL without procedures (0 to 12)."""
    days = F.col("length_of_stay_days")
    length = (
        F.when(days < 1, 0).when(days < 4, F.floor(days)).when(days < 7, 4).when(days < 14, 5).otherwise(7)
    )
    illness = _sum_of_illnesses(lambda group: group.lace_weight)
    lace = (
        length
        + 3 * F.col("is_unplanned")
        + F.when(illness >= 4, 5).otherwise(illness)
        + F.least(F.col("emergency_visits_180d"), F.lit(4.0))
    )
    earlier = F.col("stays_365d")
    hospital = (
        F.col("has_low_haemoglobin")
        + 2 * F.greatest(F.col("has_cancer"), F.col("has_metastatic"))
        + F.col("has_low_sodium")
        + F.col("is_unplanned")
        + F.when(earlier > 5, 5).when(earlier >= 1, 2).otherwise(0)
        + F.when(days >= 5, 2).otherwise(0)
    )
    return table.withColumn("lace_points", lace.cast("double")).withColumn(
        "hospital_points", hospital.cast("double")
    )


def _sum_of_illnesses(points: Callable[[Group], int]) -> Column:
    """Sum over the illnesses on record of the most ``points`` that a group of theirs gives."""
    each = [
        [F.col(f"has_{group.name}") * points(group) for group in groups] for groups in weighted_illnesses()
    ]
    return reduce(add, (F.greatest(*of) if len(of) > 1 else of[0] for of in each))


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
    in_365 = is_before & (began_at >= _back(index_at, 365))
    in_180 = in_365 & (began_at >= _back(index_at, 180))
    counts = {
        "stays_180d": _count(in_180),
        "stays_365d": _count(in_365),
        "unplanned_stays_365d": _count(in_365 & ~F.col("is_planned")),
        "bed_days_365d": F.sum(F.when(in_365, _days(left_at, began_at))),
        "days_since_last_stay": F.min(F.when(in_365, _days(index_at, left_at))),
    }
    counted = rows.withColumns({name: count.over(case) for name, count in counts.items()}).withColumn(
        "place", F.row_number().over(index_first)
    )
    of_stay = (F.when(F.col("is_index"), F.col(name)).alias(name) for name in _STAY_COLUMNS)
    return counted.where("place = 1").select(
        "case.*", *of_stay, *(_rounded(F.col(name)).alias(name) for name in counts)
    )


def _events(facts: Facts) -> DataFrame:
    """Every version of every fact that features look at, one below the other.

    In common: kind, other_person, other_encounter, event_at, event_by (the end of the day, month, year or period that
    event_at begins), usable_at, superseded_at and ``key``, that which is counted or breaks a tie (class, code or
    measurement). Columns of other kinds (flags, analyte, value) are null.
    """
    kinds = (
        _visits(facts.encounter),
        _conditions(facts.condition),
        _drugs(facts.medication_request),
        _measurements(facts.measurement),
    )
    return reduce(DataFrame.unionByName, kinds)


def _event(
    rows: DataFrame, kind: str, key: Column, event_at: Column, event_by: Column, **own: Column
) -> DataFrame:
    """own: the columns of _OWN_COLUMNS that this kind has."""
    return rows.select(
        F.lit(kind).alias("kind"),
        F.col("person_key").alias("other_person"),
        F.col("encounter_key").alias("other_encounter"),
        event_at.alias("event_at"),
        event_by.alias("event_by"),
        "usable_at",
        "superseded_at",
        key.alias("key"),
        *(own.get(name, F.lit(None)).cast(of).alias(name) for name, of in _OWN_COLUMNS.items()),
    )


def _is_seen() -> Column:
    """Whether a case sees an event: its person's, known at ``as_of``, in the window of its kind."""
    event_at, admitted_at, discharged_at = F.col("event_at"), F.col("admitted_at"), F.col("discharged_at")
    is_of_stay = F.array_contains("encounter_keys", F.col("other_encounter"))
    event_by, kind = F.col("event_by"), F.col("kind")
    is_before = ((event_at < discharged_at) & (event_by <= discharged_at)) | (
        (event_at <= discharged_at) & F.coalesce(is_of_stay, F.lit(False))
    )
    is_before_stay = (event_at < admitted_at) & (event_by <= admitted_at)
    in_window = (
        ((kind == VISIT) & is_before_stay & (event_at >= _back(admitted_at, VISIT_WINDOW_DAYS)))
        | ((kind == CONDITION) & is_before)
        | ((kind == DRUG) & is_before & (event_at >= _back(discharged_at, DRUG_WINDOW_DAYS)))
        | ((kind == LAB) & is_before & (event_at >= _back(discharged_at, LAB_WINDOW_DAYS)))
    )
    return (F.col("person_key") == F.col("other_person")) & is_known(F.col("as_of")) & in_window


def _visits(encounter: DataFrame) -> DataFrame:
    is_visit = F.col("class_code").isin(EMERGENCY, "AMB", "VR", "HH") & (F.col("status") == FINISHED)
    is_vague = F.coalesce(F.col("started_precision").isin("year", "month"), F.lit(False))
    return _event(
        recorded(encounter).where(is_visit & ~is_vague),
        VISIT,
        F.col("class_code"),
        F.col("started_at"),
        period_end("started_at", "started_precision"),
    )


def _of_visits() -> list[Column]:
    is_visit, is_emergency = F.col("kind") == VISIT, F.col("key") == EMERGENCY
    return [
        _count(is_visit & is_emergency).alias("emergency_visits_180d"),
        _count(is_visit & ~is_emergency).alias("outpatient_visits_180d"),
    ]


def _conditions(condition: DataFrame) -> DataFrame:
    """All conditions ever recorded: lasting ones are written down once, long before."""
    is_icd10 = F.col("code_system").contains("icd-10")
    plain = F.when(is_icd10, F.upper(F.regexp_replace("code", "[.]", "")))
    return _event(
        versions(condition).where("code is not null"),
        CONDITION,
        F.concat_ws("|", "code_system", "code"),
        F.coalesce("recorded_at", "onset_at"),
        F.coalesce(
            period_end("recorded_at", "recorded_precision"), period_end("onset_at", "onset_precision")
        ),
        **{f"has_{group.name}": _flag(plain.rlike(group.pattern)) for group in GROUPS},
    )


def _of_conditions() -> list[Column]:
    return [
        _distinct(F.col("kind") == CONDITION).alias("conditions"),
        *(F.max(f"has_{group.name}").alias(f"has_{group.name}") for group in GROUPS),
    ]


def _drugs(medication_request: DataFrame) -> DataFrame:
    is_real = F.coalesce("status", F.lit("active")).isin(
        "active", "completed", "on-hold", "stopped", "unknown"
    )
    is_atc = F.col("code_system").contains("atc")
    return _event(
        versions(medication_request).where(F.col("code").isNotNull() & is_real),
        DRUG,
        F.col("code"),
        F.col("authored_at"),
        period_end("authored_at", "authored_precision"),
        **{f"has_{name}": _flag(is_atc & F.col("code").startswith(code)) for name, code, _ in DRUG_CLASSES},
    )


def _of_drugs() -> list[Column]:
    is_drug = F.col("kind") == DRUG
    return [
        _distinct(is_drug).alias("drugs_180d"),
        _distinct(is_drug & (F.col("event_at") >= F.col("admitted_at"))).alias("drugs_of_stay"),
        *(F.max(f"has_{name}").alias(f"has_{name}") for name, _, _ in DRUG_CLASSES),
    ]


def _measurements(measurement: DataFrame) -> DataFrame:
    """Only what a hospital's record tells: what messages tell earlier, or alone, counts once it is recorded, and what a
    device says at home is no value of a hospital."""
    values = (
        versions(measurement)
        .where(F.col("told_by").isin(*RECORDED))
        .where("value_canonical is not null and effective_at is not null")
        .withColumn("analyte", _analyte())
        .where("analyte is not null")
        .withColumn("value", _plausible())
        .where("value is not null")
    )
    own = {name: F.col(name) for name in ("analyte", "value")}
    effective_by = F.greatest(
        period_end("effective_at", "effective_precision"),
        period_end("effective_end_at", "effective_end_precision"),
    )
    return _event(values, LAB, F.col("measurement_key"), F.col("effective_at"), effective_by, **own)


def _newest_value(analyte: str) -> Column:
    """The value of the newest measurement of ``analyte`` that a case sees; of one instant, of the greatest key.

    Found as the greatest text of instant, key and value: a rank sorts a city's events with all columns of their cases,
    and of a struct Sail (0.7.2) keeps a whole batch of rows for each that a group holds. A DOUBLE and its text are one
    and the same on both engines.
    """
    # Microseconds, shifted to be positive: so their texts sort as the instants do.
    since_long_ago = F.unix_micros("event_at") + F.lit(10**17)
    text = F.concat_ws(
        "|", F.lpad(since_long_ago.cast("string"), 20, "0"), "key", F.col("value").cast("string")
    )
    newest = F.max(F.when(F.col("analyte") == analyte, text))
    return F.substring_index(newest, "|", -1).cast("double")


def _of_measurements() -> list[Column]:
    in_stay = F.col("event_at") >= F.col("admitted_at")

    def extreme(name: str, kind: str) -> Column:
        chosen = F.when(in_stay & (F.col("analyte") == name), F.col("value"))
        return _rounded(F.min(chosen) if kind == "min" else F.max(chosen)).alias(f"{kind}_{name}")

    return [
        *(_rounded(_newest_value(a.name)).alias(f"last_{a.name}") for a in ANALYTES),
        *(extreme(name, kind) for name, kind, _ in STAY_EXTREMES),
    ]


def _analyte() -> Column:
    """Name of the analyte that a concept is, null for others."""
    return _switch([(F.col("concept") == a.concept, F.lit(a.name)) for a in ANALYTES])


def _plausible() -> Column:
    """The value in the analyte's unit; null out of range."""
    value = F.col("value_canonical")
    return _switch([((F.col("analyte") == a.name) & value.between(a.low, a.high), value) for a in ANALYTES])


def _switch(arms: Sequence[tuple[Column, Column]]) -> Column:
    """The value of the first arm whose condition holds, else null."""
    chosen = F.when(*arms[0])
    for condition, value in arms[1:]:
        chosen = chosen.when(condition, value)
    return chosen


def _back(instant: Column, days: int) -> Column:
    return instant - F.expr(f"interval {days} days")


def _days(later: Column, earlier: Column) -> Column:
    return (F.unix_micros(later) - F.unix_micros(earlier)) / F.lit(86_400_000_000.0)


def _count(condition: Column) -> Column:
    return F.sum(F.when(condition, 1.0).otherwise(0.0))


def _distinct(condition: Column) -> Column:
    """How many different keys meet ``condition``; a set, because several distinct counts multiply Spark's rows."""
    return F.size(F.collect_set(F.when(condition, F.col("key")))).cast("double")


def _flag(condition: Column) -> Column:
    return F.when(condition, 1.0).otherwise(0.0)


def _rounded(value: Column) -> Column:
    """Six decimals, so that both engines and any order of summing give equal values."""
    return F.round(value, 6)
