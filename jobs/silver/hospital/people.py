"""Patients, and who treats them. See the package for what a transform does."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.silver.columns import (
    at,
    code_columns,
    first,
    first_codings,
    identifier_keys,
    keys,
    select,
)


def patient(records: DataFrame) -> DataFrame:
    """One row per received Patient: sex, birth month, death, postal district (three characters), its numbers'
    pseudonyms, and those of the patients it is linked to.
    """
    r = F.col("r")
    return select(
        records,
        r["gender"].alias("sex"),
        r["birthDate"]["year"].cast("int").alias("birth_year"),
        r["birthDate"]["month"].cast("int").alias("birth_month"),
        r["birthDate"]["precision"].alias("birth_precision"),
        F.coalesce(r["deceasedBoolean"], r["deceasedDateTime"].isNotNull()).alias("is_deceased"),
        at(r["deceasedDateTime"]).alias("deceased_at"),
        r["deceasedDateTime"]["precision"].alias("deceased_precision"),
        _home(r["address"])["postalCode"].alias("postal_district"),
        identifier_keys(r).alias("identifier_keys"),
        keys(F.transform(r["link"], lambda x: x["other"])).alias("linked_keys"),
        is_entered_in_error=F.lit(False),
        valid_from=F.lit(None).cast("timestamp"),
        known_at=F.lit(None).cast("timestamp"),
    )


def practitioner(records: DataFrame) -> DataFrame:
    """One row per received Practitioner, by pseudonym alone."""
    r = F.col("r")
    return select(
        records,
        r["gender"].alias("sex"),
        r["active"].alias("is_active"),
        identifier_keys(r).alias("identifier_keys"),
        is_entered_in_error=F.lit(False),
        valid_from=F.lit(None).cast("timestamp"),
        known_at=F.lit(None).cast("timestamp"),
    )


def practitioner_role(records: DataFrame) -> DataFrame:
    """One row per received PractitionerRole: who does what, where, from when to when."""
    r = F.col("r")
    started_at = at(r["period"]["start"])
    return select(
        records,
        r["practitioner"]["key"].alias("practitioner_key"),
        r["organization"]["key"].alias("organization_key"),
        *code_columns("role", first(r["code"])),
        *code_columns("specialty", first(r["specialty"])),
        first_codings(r["specialty"]).alias("specialties"),
        keys(r["location"]).alias("location_keys"),
        r["active"].alias("is_active"),
        started_at.alias("started_at"),
        r["period"]["start"]["precision"].alias("started_precision"),
        at(r["period"]["end"]).alias("ended_at"),
        r["period"]["end"]["precision"].alias("ended_precision"),
        identifier_keys(r).alias("identifier_keys"),
        is_entered_in_error=F.lit(False),
        valid_from=started_at,
        known_at=F.lit(None).cast("timestamp"),
    )


def _home(addresses: Column) -> Column:
    """The first home address with a postal code, else the first with one that is not old, as the vault chooses
    (``jobs.identity.demographics``).
    """
    coded = F.filter(addresses, lambda x: x["postalCode"].isNotNull())
    at_home = F.filter(coded, lambda x: x["use"] == "home")
    present = F.filter(coded, lambda x: x["use"].isNull() | (x["use"] != "old"))
    return F.coalesce(first(at_home), first(present))
