"""Measurements, and the reports that put them together. See the package for what a transform does."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.model import LOINC
from jobs.silver.columns import (
    at,
    code_columns,
    coding_parts,
    codings,
    double,
    first,
    first_coding,
    first_codings,
    keys,
    kind,
    number,
    passed,
    select,
    unit,
)

Value = Callable[[str], Column]


def observation(records: DataFrame) -> DataFrame:
    """One row per received Observation, its components as an array; known when issued, else when it took effect.

    Of several codes the one of LOINC is taken, as of the results that messages tell (dbt/macros/told_results.sql).
    """
    r = F.col("r")
    start = F.coalesce(r["effectiveDateTime"], r["effectiveInstant"], r["effectivePeriod"]["start"])
    end_at, issued_at = at(r["effectivePeriod"]["end"]), at(r["issued"])
    components = F.transform(
        r["component"],
        lambda c: F.struct(
            *code_columns("", c["code"], LOINC),
            *_value(lambda name: c[name]),
            first_coding(first(c["interpretation"]))["code"].alias("interpretation_code"),
            first_coding(c["dataAbsentReason"])["code"].alias("data_absent_reason"),
        ),
    )
    return select(
        records,
        r["subject"]["key"].alias("patient_key"),
        r["encounter"]["key"].alias("encounter_key"),
        r["status"].alias("status"),
        first_coding(first(r["category"]))["code"].alias("category_code"),
        *code_columns("", r["code"], LOINC),
        codings(r["code"]),
        at(start).alias("effective_at"),
        start["precision"].alias("effective_precision"),
        end_at.alias("effective_end_at"),
        r["effectivePeriod"]["end"]["precision"].alias("effective_end_precision"),
        issued_at.alias("issued_at"),
        *_value(lambda name: r[name]),
        first_coding(first(r["interpretation"]))["code"].alias("interpretation_code"),
        first_coding(r["dataAbsentReason"])["code"].alias("data_absent_reason"),
        components.alias("components"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=F.coalesce(at(start), issued_at),
        known_at=F.coalesce(passed(r["issued"]), passed(r["effectivePeriod"]["end"]), passed(start)),
    )


def diagnostic_report(records: DataFrame) -> DataFrame:
    """One row per received DiagnosticReport, its results by key; known when issued, else when it took effect."""
    r = F.col("r")
    start, end = (
        F.coalesce(r["effectiveDateTime"], r["effectivePeriod"]["start"]),
        r["effectivePeriod"]["end"],
    )
    return select(
        records,
        r["subject"]["key"].alias("patient_key"),
        r["encounter"]["key"].alias("encounter_key"),
        r["status"].alias("status"),
        first_coding(first(r["category"]))["code"].alias("category_code"),
        *code_columns("", r["code"]),
        codings(r["code"]),
        at(start).alias("effective_at"),
        start["precision"].alias("effective_precision"),
        at(end).alias("effective_end_at"),
        end["precision"].alias("effective_end_precision"),
        at(r["issued"]).alias("issued_at"),
        keys(r["result"]).alias("result_keys"),
        *code_columns("conclusion", first(r["conclusionCode"])),
        first_codings(r["conclusionCode"]).alias("conclusions"),
        keys(r["performer"]).alias("performer_keys"),
        keys(r["resultsInterpreter"]).alias("interpreter_keys"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=F.coalesce(at(start), at(r["issued"])),
        known_at=F.coalesce(passed(r["issued"]), passed(end), passed(start)),
    )


def _value(value: Value) -> list[Column]:
    """The value of an Observation or a component: its type and, by type, number, code, boolean, bounds.

    ``value_text`` keeps the digits as written. The comparator (<, <=, >=, >) of a Quantity or of a numerator is kept
    beside the number. Withheld are a ratio whose denominator has a comparator, which would bound it the other way
    round, and sampled data whose numbers are to be multiplied by a factor other than 1: no column says so.
    https://hl7.org/fhir/R4/datatypes.html#Ratio, https://hl7.org/fhir/R4/datatypes.html#SampledData
    """
    quantity, concept = value("valueQuantity"), value("valueCodeableConcept")
    bounds = value("valueRange")
    ratio = F.when(value("valueRatio")["denominator"]["comparator"].isNull(), value("valueRatio"))
    factor = double(value("valueSampledData")["factor"])
    sampled = F.when(factor.isNull() | (factor == 1), value("valueSampledData"))
    kinds = {
        "quantity": quantity,
        "codeable_concept": concept,
        "boolean": value("valueBoolean"),
        "integer": value("valueInteger"),
        "range": bounds,
        "ratio": ratio,
        "sampled_data": sampled,
        "ratio_withheld": value("valueRatio"),
        "sampled_data_withheld": value("valueSampledData"),
        "string_withheld": value("valueString"),
        "date_time_withheld": value("valueDateTime"),
        "time_withheld": value("valueTime"),
        "period_withheld": value("valuePeriod"),
    }
    integer = value("valueInteger")
    return [
        kind(kinds).alias("value_type"),
        F.coalesce(
            number(quantity), integer.cast("double"), number(ratio["numerator"]), number(sampled["origin"])
        ).alias("value_number"),
        F.coalesce(
            quantity["value"], integer.cast("string"), ratio["numerator"]["value"], sampled["data"]
        ).alias("value_text"),
        F.coalesce(quantity["comparator"], ratio["numerator"]["comparator"]).alias("value_comparator"),
        unit(quantity, bounds["low"], bounds["high"], ratio["numerator"], sampled["origin"]).alias("unit"),
        first_coding(concept)["system"].alias("value_code_system"),
        first_coding(concept)["code"].alias("value_code"),
        coding_parts(first_coding(concept))[2].alias("value_display"),
        value("valueBoolean").alias("value_boolean"),
        number(bounds["low"]).alias("value_low"),
        number(bounds["high"]).alias("value_high"),
        number(ratio["denominator"]).alias("value_denominator"),
        unit(ratio["denominator"]).alias("value_denominator_unit"),
    ]
