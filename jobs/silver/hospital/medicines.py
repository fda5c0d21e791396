"""Medicines: what they are, asked for, given; vaccinations. See the package for what a transform does."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.silver.columns import (
    at,
    code_columns,
    codings,
    first,
    first_coding,
    keys,
    number,
    passed,
    select,
    unit,
)


def medication_request(records: DataFrame) -> DataFrame:
    """One row per received MedicationRequest, coded inline or by reference; known when authored."""
    r = F.col("r")
    authored_at = at(r["authoredOn"])
    return select(
        records,
        r["subject"]["key"].alias("patient_key"),
        r["encounter"]["key"].alias("encounter_key"),
        r["status"].alias("status"),
        r["intent"].alias("intent"),
        r["doNotPerform"].alias("is_prohibited"),
        *code_columns("", r["medicationCodeableConcept"]),
        codings(r["medicationCodeableConcept"]),
        r["medicationReference"]["key"].alias("medication_key"),
        authored_at.alias("authored_at"),
        r["authoredOn"]["precision"].alias("authored_precision"),
        r["requester"]["key"].alias("requester_key"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=authored_at,
        known_at=passed(r["authoredOn"]),
    )


def medication(records: DataFrame) -> DataFrame:
    """One row per received Medication."""
    r = F.col("r")
    return select(
        records,
        *code_columns("", r["code"]),
        codings(r["code"]),
        r["status"].alias("status"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=F.lit(None).cast("timestamp"),
        known_at=F.lit(None).cast("timestamp"),
    )


def immunization(records: DataFrame) -> DataFrame:
    """One row per received Immunization; known when recorded, else when given."""
    r = F.col("r")
    occurred = r["occurrenceDateTime"]
    return select(
        records,
        r["patient"]["key"].alias("patient_key"),
        r["encounter"]["key"].alias("encounter_key"),
        r["status"].alias("status"),
        *code_columns("", r["vaccineCode"]),
        codings(r["vaccineCode"]),
        at(occurred).alias("occurred_at"),
        occurred["precision"].alias("occurred_precision"),
        at(r["recorded"]).alias("recorded_at"),
        r["isSubpotent"].alias("is_subpotent"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=at(occurred),
        known_at=F.coalesce(passed(r["recorded"]), passed(occurred)),
    )


def medication_administration(records: DataFrame) -> DataFrame:
    """One row per received MedicationAdministration, coded inline or by reference; known when it is over.

    A rate of which a part has a comparator (``<``) bounds the speed alone, which no column says, and is withheld.
    """
    r = F.col("r")
    start, end = (
        F.coalesce(r["effectiveDateTime"], r["effectivePeriod"]["start"]),
        r["effectivePeriod"]["end"],
    )
    dosage = r["dosage"]
    rate, parts = dosage["rateQuantity"], [dosage["rateRatio"][part] for part in ("numerator", "denominator")]
    is_exact = F.coalesce(*(part["comparator"] for part in parts)).isNull()
    numerator, denominator = (F.when(is_exact, part) for part in parts)
    return select(
        records,
        r["subject"]["key"].alias("patient_key"),
        r["context"]["key"].alias("encounter_key"),
        r["status"].alias("status"),
        first_coding(r["category"])["code"].alias("category_code"),
        *code_columns("", r["medicationCodeableConcept"]),
        codings(r["medicationCodeableConcept"]),
        r["medicationReference"]["key"].alias("medication_key"),
        r["request"]["key"].alias("medication_request_key"),
        at(start).alias("effective_at"),
        start["precision"].alias("effective_precision"),
        at(end).alias("effective_end_at"),
        end["precision"].alias("effective_end_precision"),
        number(dosage["dose"]).alias("dose_number"),
        dosage["dose"]["value"].alias("dose_text"),
        unit(dosage["dose"]).alias("dose_unit"),
        F.coalesce(number(rate), number(numerator)).alias("rate_number"),
        unit(rate, numerator).alias("rate_unit"),
        number(denominator).alias("rate_denominator"),
        unit(denominator).alias("rate_denominator_unit"),
        *code_columns("route", dosage["route"]),
        first_coding(dosage["method"])["code"].alias("method_code"),
        first_coding(dosage["site"])["code"].alias("site_code"),
        *code_columns("reason", first(r["reasonCode"])),
        keys(F.transform(r["performer"], lambda x: x["actor"])).alias("performer_keys"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=at(start),
        known_at=F.coalesce(passed(end), passed(start)),
    )
