"""Organizations, places, devices, and when they can be had. See the package for what a transform does."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.silver.columns import (
    at,
    code_columns,
    first,
    first_coding,
    identifier_keys,
    keys,
    select,
)


def organization(records: DataFrame) -> DataFrame:
    """One row per received Organization."""
    r = F.col("r")
    return select(
        records,
        r["name"].alias("name"),
        first_coding(first(r["type"]))["code"].alias("type_code"),
        r["active"].alias("is_active"),
        r["partOf"]["key"].alias("part_of_key"),
        identifier_keys(r).alias("identifier_keys"),
        is_entered_in_error=F.lit(False),
        valid_from=F.lit(None).cast("timestamp"),
        known_at=F.lit(None).cast("timestamp"),
    )


def location(records: DataFrame) -> DataFrame:
    """One row per received Location."""
    r = F.col("r")
    return select(
        records,
        r["name"].alias("name"),
        r["status"].alias("status"),
        first_coding(first(r["type"]))["code"].alias("type_code"),
        first_coding(r["physicalType"])["code"].alias("physical_type_code"),
        r["managingOrganization"]["key"].alias("organization_key"),
        r["partOf"]["key"].alias("part_of_key"),
        identifier_keys(r).alias("identifier_keys"),
        is_entered_in_error=F.lit(False),
        valid_from=F.lit(None).cast("timestamp"),
        known_at=F.lit(None).cast("timestamp"),
    )


def device(records: DataFrame) -> DataFrame:
    """One row per received Device: its kind, state and dates; what tells it apart as pseudonyms."""
    r = F.col("r")
    udi = first(r["udiCarrier"])
    return select(
        records,
        r["status"].alias("status"),
        first_coding(first(r["statusReason"]))["code"].alias("status_reason_code"),
        *code_columns("type", r["type"]),
        at(r["manufactureDate"]).alias("manufactured_at"),
        r["manufactureDate"]["precision"].alias("manufactured_precision"),
        at(r["expirationDate"]).alias("expires_at"),
        r["expirationDate"]["precision"].alias("expires_precision"),
        r["serialNumber"]["key"].alias("serial_key"),
        r["lotNumber"]["key"].alias("lot_key"),
        udi["deviceIdentifier"]["key"].alias("model_key"),
        udi["carrierHRF"]["key"].alias("udi_key"),
        r["patient"]["key"].alias("patient_key"),
        r["owner"]["key"].alias("organization_key"),
        r["location"]["key"].alias("location_key"),
        r["parent"]["key"].alias("part_of_key"),
        identifier_keys(r).alias("identifier_keys"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=F.lit(None).cast("timestamp"),
        known_at=F.lit(None).cast("timestamp"),
    )


def schedule(records: DataFrame) -> DataFrame:
    """One row per received Schedule: whose or what's time can be booked, for what, from when to when."""
    r = F.col("r")
    started_at = at(r["planningHorizon"]["start"])
    return select(
        records,
        r["active"].alias("is_active"),
        first_coding(first(r["serviceCategory"]))["code"].alias("service_category_code"),
        *code_columns("service_type", first(r["serviceType"])),
        *code_columns("specialty", first(r["specialty"])),
        keys(r["actor"]).alias("actor_keys"),
        started_at.alias("started_at"),
        r["planningHorizon"]["start"]["precision"].alias("started_precision"),
        at(r["planningHorizon"]["end"]).alias("ended_at"),
        r["planningHorizon"]["end"]["precision"].alias("ended_precision"),
        identifier_keys(r).alias("identifier_keys"),
        is_entered_in_error=F.lit(False),
        valid_from=started_at,
        known_at=F.lit(None).cast("timestamp"),
    )
