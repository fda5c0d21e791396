"""Hospitals' HL7 v2 messages (``jobs.silver.hl7v2``) to flat, typed columns; see ``jobs.silver.columns``.

A row says what one message said. What becomes of a visit when its messages are put together is found out in dbt
(``int_encounter__told``).
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.silver.columns import at, double, first, passed, select

NOT_DONE = ("X", "W")
"""Results that were wrong or could not be obtained (HL7 table 0085): W was posted for the wrong patient."""


def admission(records: DataFrame) -> DataFrame:
    """One row per ADT message; known when it was sent."""
    r = F.col("r")
    names = (
        "class_code",
        "location_unit",
        "location_room",
        "location_bed",
        "location_facility",
        "prior_unit",
        "prior_room",
        "prior_bed",
        "service_code",
        "admission_type",
        "admit_source",
        "discharge_disposition",
    )
    return select(
        records,
        *_about(r),
        r["visit_keys"].alias("other_visit_keys"),
        at(r["occurred_at"]).alias("occurred_at"),
        at(r["recorded_at"]).alias("recorded_at"),
        r["sex"].alias("sex"),
        r["birth_date"]["year"].cast("int").alias("birth_year"),
        r["birth_date"]["month"].cast("int").alias("birth_month"),
        r["is_deceased"].alias("is_deceased"),
        at(r["deceased_at"]).alias("deceased_at"),
        r["deceased_at"]["precision"].alias("deceased_precision"),
        *(r[name].alias(name) for name in names),
        at(r["admitted_at"]).alias("admitted_at"),
        r["admitted_at"]["precision"].alias("admitted_precision"),
        at(r["discharged_at"]).alias("discharged_at"),
        r["discharged_at"]["precision"].alias("discharged_precision"),
        at(r["expected_at"]).alias("expected_at"),
        *_coded("reason", r["reason"]),
        r["diagnoses"].alias("diagnoses"),
        _keys(r["prior_patient_ids"]).alias("prior_patient_keys"),
        r["prior_visit_key"].alias("prior_visit_key"),
        valid_from=F.coalesce(_exactly(r["occurred_at"]), _exactly(r["recorded_at"]), F.col("version_at")),
        known_at=F.col("version_at"),
    )


def result(records: DataFrame) -> DataFrame:
    """One row per result; known when it was reported."""
    r = F.col("r")
    return select(
        records,
        *_about(r),
        *_order_keys(r),
        *_coded("panel", r["panel"]),
        r["section"].alias("section"),
        r["order_status"].alias("order_status"),
        at(r["collected_at"]).alias("collected_at"),
        r["collected_at"]["precision"].alias("collected_precision"),
        at(r["reported_at"]).alias("reported_at"),
        *_coded("specimen", r["specimen"]),
        r["parent_key"].alias("parent_key"),
        *_coded("observed", first(r["observations"])),
        r["observations"].alias("codings"),
        r["sub_id"].alias("sub_id"),
        r["value_type"].alias("value_type"),
        double(r["value_number"]).alias("value_number"),
        r["value_number"].alias("value_text"),
        r["value_comparator"].alias("value_comparator"),
        r["value_separator"].alias("value_separator"),
        double(r["value_second_number"]).alias("value_second_number"),
        first(r["value_codes"])["system"].alias("value_system"),
        first(r["value_codes"])["code"].alias("value_code"),
        r["value_codes"].alias("value_codings"),
        r["is_text_withheld"].alias("is_text_withheld"),
        r["unit"]["code"].alias("unit"),
        double(r["reference_low"]).alias("reference_low"),
        double(r["reference_high"]).alias("reference_high"),
        r["flags"].alias("flags"),
        r["status"].alias("status"),
        at(r["observed_at"]).alias("observed_at"),
        r["observed_at"]["precision"].alias("observed_precision"),
        is_entered_in_error=r["status"].isin(*NOT_DONE),
        valid_from=F.coalesce(at(r["observed_at"]), at(r["collected_at"]), at(r["reported_at"])),
        known_at=F.coalesce(passed(r["reported_at"]), F.col("version_at")),
    )


def appointment(records: DataFrame) -> DataFrame:
    """One row per appointment; known when it was booked or changed."""
    r = F.col("r")
    return select(
        records,
        *_about(r),
        *_order_keys(r),
        r["status"].alias("status"),
        *_coded("reason", r["reason"]),
        *_coded("type", r["type"]),
        at(r["starts_at"]).alias("starts_at"),
        at(r["ends_at"]).alias("ends_at"),
        r["duration_minutes"].cast("int").alias("duration_minutes"),
        r["location_unit"].alias("location_unit"),
        r["location_facility"].alias("location_facility"),
        valid_from=at(r["starts_at"]),
        known_at=F.col("version_at"),
    )


def prescription(records: DataFrame) -> DataFrame:
    """One row per prescription; known when ordered."""
    r = F.col("r")
    return select(
        records,
        *_about(r),
        *_order(r),
        double(r["dose_low"]).alias("dose_low"),
        double(r["dose_high"]).alias("dose_high"),
        r["dose_unit"]["code"].alias("dose_unit"),
        r["form"]["code"].alias("form_code"),
        r["route"]["code"].alias("route_code"),
        r["frequency"].alias("frequency"),
        double(r["amount"]).alias("amount"),
        r["amount_unit"]["code"].alias("amount_unit"),
        r["refills"].cast("int").alias("refills"),
        at(r["starts_at"]).alias("starts_at"),
        at(r["ends_at"]).alias("ends_at"),
        valid_from=F.coalesce(at(r["starts_at"]), at(r["ordered_at"])),
        known_at=F.coalesce(passed(r["ordered_at"]), F.col("version_at")),
    )


def dispense(records: DataFrame) -> DataFrame:
    """One row per dispense; known when it was made."""
    r = F.col("r")
    return select(
        records,
        *_about(r),
        *_order(r),
        r["prescription_key"].alias("prescription_key"),
        r["sub_id"].alias("sub_id"),
        at(r["dispensed_at"]).alias("dispensed_at"),
        double(r["amount"]).alias("amount"),
        r["amount_unit"]["code"].alias("amount_unit"),
        r["refills_left"].cast("int").alias("refills_left"),
        valid_from=at(r["dispensed_at"]),
        known_at=F.coalesce(passed(r["dispensed_at"]), F.col("version_at")),
    )


TRANSFORMS = {
    "admission": admission,
    "result": result,
    "appointment": appointment,
    "prescription": prescription,
    "dispense": dispense,
}


def _about(r: Column) -> list[Column]:
    """Whom and which visit a record is about."""
    return [
        r["patient_key"].alias("patient_key"),
        _keys(r["patient_ids"]).alias("patient_keys"),
        r["visit_key"].alias("visit_key"),
        r["trigger"].alias("trigger"),
        r["nulled"].alias("nulled"),
    ]


def _order_keys(r: Column) -> list[Column]:
    return [r["placer_key"].alias("placer_key"), r["filler_key"].alias("filler_key")]


def _order(r: Column) -> list[Column]:
    return [
        *_order_keys(r),
        r["order_control"].alias("order_control"),
        r["order_status"].alias("order_status"),
        at(r["ordered_at"]).alias("ordered_at"),
        *_coded("medication", first(r["medications"])),
        r["medications"].alias("codings"),
    ]


def _exactly(moment: Column) -> Column:
    """The instant; null where only its day or hour was told: it would come before all else of that day."""
    return F.when(moment["precision"] == "second", at(moment))


def _coded(prefix: str, code: Column) -> list[Column]:
    return [code["system"].alias(f"{prefix}_system"), code["code"].alias(f"{prefix}_code")]


def _keys(ids: Column) -> Column:
    return F.filter(F.transform(ids, lambda x: x["key"]), lambda key: key.isNotNull())
