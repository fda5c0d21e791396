"""What is known of an index stay when its score is made: one row of features per index stay.

Knowledge: a row of any fact counts only if it was usable at the stay's ``as_of`` (never more than 48 hours after
discharge; see ``definition.md``). Windows are half-open and look back:

* use of the hospital (stays, emergency and outpatient visits): [admission - w, admission), as in LACE and HOSPITAL;
* what was written down (conditions, prescriptions, measurements): [discharge - w, discharge), and what the stay itself
  recorded at the very instant of discharge;
* what the stay brought (lowest haemoglobin, drugs prescribed): [admission, discharge), likewise.

Sex and date of birth are taken from the person's record as it is now: they are facts of birth, and a changed
address must not make them unknown.

Every value is a plain double (0 or 1 for flags), null where unknown, or a short code. Everything is one plan: the index
stays joined once with each fact and aggregated with conditions.

Sources: LACE, van Walraven et al., CMAJ 2010; 182: 551-557. HOSPITAL, Donzé et al., JAMA Intern Med 2013; 173:
632-638 (without the procedure item, which is not modelled yet). Comorbidities: ``comorbidity.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ml.question import Feature, Question
from ml.readmission.analytes import ANALYTES, BY_NAME
from ml.readmission.cohort import FROM_HOSPITAL, HORIZON_DAYS
from ml.readmission.comorbidity import GROUPS

TARGET = "readmission_30d"
LABEL = "is_readmitted_30d"

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


@dataclass(frozen=True)
class Facts:
    """The gold tables features are made from."""

    person: DataFrame
    encounter: DataFrame
    condition: DataFrame
    measurement: DataFrame
    medication_request: DataFrame


def build(index: DataFrame, all_stays: DataFrame, facts: Facts) -> DataFrame:
    """One row per index stay: CASE_COLUMNS, then every feature of QUESTION in order.

    index: of :func:`ml.readmission.cohort.index_stays`; rows with an exclusion are left out. all_stays: of
    :func:`ml.readmission.cohort.stays`.
    """
    cases = index.where("exclusion is null").drop("exclusion")
    parts = [
        _earlier_stays(cases, all_stays),
        _visits(cases, facts.encounter),
        _conditions(cases, facts.condition),
        _drugs(cases, facts.medication_request),
        _measurements(cases, facts.measurement),
    ]
    person = facts.person.select("person_key", "sex", "birth_year", "birth_month")
    table = reduce(lambda left, right: left.join(right, list(_CASE), "left"), parts, cases)
    table = table.join(person, "person_key", "left")
    table = _with_person_and_stay(table)
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
        .withColumn("has_low_haemoglobin", _flag(F.col("last_haemoglobin_g_dl") < LOW_HAEMOGLOBIN_G_DL))
        .withColumn("has_low_sodium", _flag(F.col("last_sodium_mmol_l") < LOW_SODIUM_MMOL_L))
    )


def _with_scores(table: DataFrame) -> DataFrame:
    """LACE (0 to 19) and HOSPITAL without procedures (0 to 12)."""
    days = F.col("length_of_stay_days")
    length = (
        F.when(days < 1, 0).when(days < 4, F.floor(days)).when(days < 7, 4).when(days < 14, 5).otherwise(7)
    )
    weights = [F.col(f"has_{group.name}") * group.lace_weight for group in GROUPS if group.lace_weight]
    illness = reduce(lambda left, right: left + right, weights)
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


def _earlier_stays(cases: DataFrame, all_stays: DataFrame) -> DataFrame:
    """Stays of the person that began before this one's admission and had ended, as far as known."""
    earlier = all_stays.select(
        F.col("person_key").alias("other_person"),
        F.col("admitted_at").alias("began_at"),
        F.col("discharged_at").alias("left_at"),
        F.col("is_planned").alias("was_planned"),
        F.col("known_at").alias("usable_at"),
    )
    rows = _cases(cases).join(
        earlier,
        (F.col("person_key") == F.col("other_person"))
        & (F.col("usable_at") <= F.col("as_of"))
        & (F.col("began_at") < F.col("admitted_at"))
        & (F.col("began_at") >= _back(F.col("admitted_at"), 365)),
    )
    in_180 = F.col("began_at") >= _back(F.col("admitted_at"), 180)
    return rows.groupBy(*_CASE).agg(
        _count(in_180).alias("stays_180d"),
        _count(F.lit(True)).alias("stays_365d"),
        _count(~F.col("was_planned")).alias("unplanned_stays_365d"),
        _rounded(F.sum(_days(F.col("left_at"), F.col("began_at")))).alias("bed_days_365d"),
        _rounded(F.min(_days(F.col("admitted_at"), F.col("left_at")))).alias("days_since_last_stay"),
    )


def _visits(cases: DataFrame, encounter: DataFrame) -> DataFrame:
    visits = encounter.where("class_code in ('EMER', 'AMB', 'VR', 'HH')").select(
        F.col("person_key").alias("other_person"), "started_at", "class_code", "usable_at"
    )
    rows = _cases(cases).join(
        visits,
        (F.col("person_key") == F.col("other_person"))
        & (F.col("usable_at") <= F.col("as_of"))
        & (F.col("started_at") < F.col("admitted_at"))
        & (F.col("started_at") >= _back(F.col("admitted_at"), 180)),
    )
    is_emergency = F.col("class_code") == "EMER"
    return rows.groupBy(*_CASE).agg(
        _count(is_emergency).alias("emergency_visits_180d"),
        _count(~is_emergency).alias("outpatient_visits_180d"),
    )


def _conditions(cases: DataFrame, condition: DataFrame) -> DataFrame:
    """All conditions ever recorded before discharge: lasting ones are written down once, long before."""
    is_icd10 = F.col("code_system").contains("icd-10")
    plain = F.when(is_icd10, F.upper(F.regexp_replace("code", "[.]", "")))
    coded = condition.where("code is not null").select(
        F.col("person_key").alias("other_person"),
        F.col("encounter_key").alias("other_encounter"),
        F.concat_ws("|", "code_system", "code").alias("full_code"),
        F.coalesce("recorded_at", "onset_at").alias("event_at"),
        "usable_at",
        *(_flag(plain.rlike(group.pattern)).alias(f"has_{group.name}") for group in GROUPS),
    )
    flags = [F.max(f"has_{group.name}").alias(f"has_{group.name}") for group in GROUPS]
    table = (
        _before_discharge(cases, coded)
        .groupBy(*_CASE)
        .agg(F.count_distinct("full_code").cast("double").alias("conditions"), *flags)
    )
    weighted = [F.col(f"has_{group.name}") for group in GROUPS if group.lace_weight]
    return table.withColumn("charlson_groups", reduce(lambda left, right: left + right, weighted))


def _drugs(cases: DataFrame, medication_request: DataFrame) -> DataFrame:
    is_real = F.coalesce("status", F.lit("active")).isin(
        "active", "completed", "on-hold", "stopped", "unknown"
    )
    requests = medication_request.where(F.col("code").isNotNull() & is_real).select(
        F.col("person_key").alias("other_person"),
        F.col("encounter_key").alias("other_encounter"),
        "code",
        "code_system",
        F.col("authored_at").alias("event_at"),
        "usable_at",
    )
    rows = _before_discharge(cases, requests, DRUG_WINDOW_DAYS)
    in_stay = F.col("event_at") >= F.col("admitted_at")
    is_atc = F.col("code_system").contains("atc")
    return rows.groupBy(*_CASE).agg(
        F.count_distinct("code").cast("double").alias("drugs_180d"),
        F.count_distinct(F.when(in_stay, F.col("code"))).cast("double").alias("drugs_of_stay"),
        *(
            F.max(_flag(is_atc & F.col("code").startswith(prefix))).alias(f"has_{name}")
            for name, prefix, _ in DRUG_CLASSES
        ),
    )


def _measurements(cases: DataFrame, measurement: DataFrame) -> DataFrame:
    values = measurement.where("value_number is not null and effective_at is not null").select(
        F.col("person_key").alias("other_person"),
        F.col("encounter_key").alias("other_encounter"),
        F.col("measurement_key"),
        _analyte().alias("analyte"),
        F.col("value_number"),
        F.col("unit"),
        F.col("effective_at").alias("event_at"),
        "usable_at",
    )
    values = values.where("analyte is not null").withColumn("value", _plausible()).where("value is not null")
    rows = _before_discharge(cases, values, LAB_WINDOW_DAYS)
    newest = F.struct("event_at", "measurement_key", "value")
    in_stay = F.col("event_at") >= F.col("admitted_at")

    def extreme(name: str, kind: str) -> Column:
        chosen = F.when(in_stay & (F.col("analyte") == name), F.col("value"))
        return (F.min(chosen) if kind == "min" else F.max(chosen)).alias(f"{kind}_{name}")

    table = rows.groupBy(*_CASE).agg(
        *(F.max(F.when(F.col("analyte") == a.name, newest)).alias(a.name) for a in ANALYTES),
        *(extreme(name, kind) for name, kind, _ in STAY_EXTREMES),
    )
    return table.select(
        *_CASE,
        *(_rounded(F.col(f"{a.name}.value")).alias(f"last_{a.name}") for a in ANALYTES),
        *(_rounded(F.col(f"{kind}_{name}")).alias(f"{kind}_{name}") for name, kind, _ in STAY_EXTREMES),
    )


def _analyte() -> Column:
    """Name of the analyte a LOINC code stands for, null for others."""
    cases = [
        (F.col("code").isin(*a.codes) & F.col("code_system").contains("loinc"), a.name) for a in ANALYTES
    ]
    return _switch([(condition, F.lit(name)) for condition, name in cases])


def _plausible() -> Column:
    """The value in the analyte's unit; null in an unlisted unit or out of range."""
    arms = []
    for analyte in ANALYTES:
        for unit, (factor, offset) in analyte.units.items():
            value = F.col("value_number") * F.lit(factor) + F.lit(offset)
            fits = (F.col("analyte") == analyte.name) & (F.col("unit") == unit)
            arms.append((fits & value.between(analyte.low, analyte.high), value))
    return _switch(arms)


def _switch(arms: Sequence[tuple[Column, Column]]) -> Column:
    """The value of the first arm whose condition holds, else null."""
    chosen = F.when(*arms[0])
    for condition, value in arms[1:]:
        chosen = chosen.when(condition, value)
    return chosen


def _before_discharge(cases: DataFrame, facts: DataFrame, days: int | None = None) -> DataFrame:
    """Cases joined with what was written down before discharge and usable at ``as_of``.

    facts: other_person, other_encounter, event_at, usable_at and what the caller needs. days: length of the window;
    None for all time.
    """
    is_of_stay = F.array_contains("encounter_keys", F.col("other_encounter"))
    is_before = (F.col("event_at") < F.col("discharged_at")) | (
        (F.col("event_at") == F.col("discharged_at")) & F.coalesce(is_of_stay, F.lit(False))
    )
    condition = (
        (F.col("person_key") == F.col("other_person")) & (F.col("usable_at") <= F.col("as_of")) & is_before
    )
    if days is not None:
        condition = condition & (F.col("event_at") >= _back(F.col("discharged_at"), days))
    return _cases(cases).join(facts, condition)


def _cases(cases: DataFrame) -> DataFrame:
    return cases.select(*_CASE, "encounter_keys", "admitted_at", "discharged_at", "as_of")


def _back(instant: Column, days: int) -> Column:
    return instant - F.expr(f"interval {days} days")


def _days(later: Column, earlier: Column) -> Column:
    return (F.unix_micros(later) - F.unix_micros(earlier)) / F.lit(86_400_000_000.0)


def _count(condition: Column) -> Column:
    return F.sum(F.when(condition, 1.0).otherwise(0.0))


def _flag(condition: Column) -> Column:
    return F.when(condition, 1.0).otherwise(0.0)


def _rounded(value: Column) -> Column:
    """Six decimals, so that both engines and any order of summing give equal values."""
    return F.round(value, 6)
