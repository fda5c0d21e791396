"""Hospital records: FHIR R4 shapes (``jobs.silver.fhir``) to flat, typed columns, one pure function per entity.

Each function takes and returns what ``jobs.silver.columns`` says: the entity's columns and the times of the record
contract:

* ``valid_from``: when the fact holds;
* ``available_at``: when a clinician could first have known it, never before ``lastUpdated`` where there is one; of a
  record that says neither, the instant of its export. What is dated to the day, month or year alone is known when
  that has passed.

Both engines give the same values: instants arrive as microseconds, decimals as their digits, and every cast is a
``try_cast``. The columns are declared in ``jobs/sources/hospital.yml``; a convention test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.silver.columns import (
    at,
    code_columns,
    coding_parts,
    codings,
    first,
    first_coding,
    identifier_keys,
    kind,
    number,
    passed,
    select,
    unit,
)

Value = Callable[[str], Column]


def patient(records: DataFrame) -> DataFrame:
    """One row per received Patient: sex, birth month, death, postal district (three characters)."""
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
        first(r["address"])["postalCode"].alias("postal_district"),
        is_entered_in_error=F.lit(False),
        valid_from=F.lit(None).cast("timestamp"),
        known_at=F.lit(None).cast("timestamp"),
    )


def encounter(records: DataFrame) -> DataFrame:
    """One row per received Encounter; known to a clinician when it ends, or from its start while it lasts."""
    r = F.col("r")
    locations = F.filter(F.transform(r["location"], lambda x: x["location"]["key"]), lambda x: x.isNotNull())
    started_at, ended_at = at(r["period"]["start"]), at(r["period"]["end"])
    return select(
        records,
        r["subject"]["key"].alias("patient_key"),
        r["status"].alias("status"),
        r["class"]["code"].alias("class_code"),
        first_coding(r["priority"])["code"].alias("priority_code"),
        *code_columns("type", first(r["type"])),
        first_coding(first(r["reasonCode"]))["code"].alias("reason_code"),
        started_at.alias("started_at"),
        r["period"]["start"]["precision"].alias("started_precision"),
        ended_at.alias("ended_at"),
        r["period"]["end"]["precision"].alias("ended_precision"),
        first_coding(r["hospitalization"]["admitSource"])["code"].alias("admit_source_code"),
        first_coding(r["hospitalization"]["dischargeDisposition"])["code"].alias(
            "discharge_disposition_code"
        ),
        locations.alias("location_keys"),
        F.get(locations, F.lit(0)).alias("location_key"),
        r["serviceProvider"]["key"].alias("organization_key"),
        r["partOf"]["key"].alias("part_of_key"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=started_at,
        known_at=F.coalesce(passed(r["period"]["end"]), passed(r["period"]["start"])),
    )


def condition(records: DataFrame) -> DataFrame:
    """One row per received Condition; known when recorded, else at onset."""
    r = F.col("r")
    onset, abatement = (
        F.coalesce(r["onsetDateTime"], r["onsetPeriod"]["start"]),
        F.coalesce(r["abatementDateTime"], r["abatementPeriod"]["end"]),
    )
    recorded_at = at(r["recordedDate"])
    verification = first_coding(r["verificationStatus"])["code"]
    return select(
        records,
        r["subject"]["key"].alias("patient_key"),
        r["encounter"]["key"].alias("encounter_key"),
        *code_columns("", r["code"]),
        codings(r["code"]),
        first_coding(first(r["category"]))["code"].alias("category_code"),
        first_coding(r["clinicalStatus"])["code"].alias("clinical_status"),
        verification.alias("verification_status"),
        at(onset).alias("onset_at"),
        onset["precision"].alias("onset_precision"),
        at(abatement).alias("abatement_at"),
        abatement["precision"].alias("abatement_precision"),
        recorded_at.alias("recorded_at"),
        r["recordedDate"]["precision"].alias("recorded_precision"),
        is_entered_in_error=verification == "entered-in-error",
        valid_from=F.coalesce(at(onset), recorded_at),
        known_at=F.coalesce(passed(r["recordedDate"]), passed(onset)),
    )


def observation(records: DataFrame) -> DataFrame:
    """One row per received Observation, its components as an array; known when issued, else when it took effect."""
    r = F.col("r")
    start = F.coalesce(r["effectiveDateTime"], r["effectiveInstant"], r["effectivePeriod"]["start"])
    end_at, issued_at = at(r["effectivePeriod"]["end"]), at(r["issued"])
    components = F.transform(
        r["component"],
        lambda c: F.struct(
            *code_columns("", c["code"]),
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
        *code_columns("", r["code"]),
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
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=at(occurred),
        known_at=F.coalesce(passed(r["recorded"]), passed(occurred)),
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


TRANSFORMS: dict[str, Callable[[DataFrame], DataFrame]] = {
    "patient": patient,
    "encounter": encounter,
    "condition": condition,
    "observation": observation,
    "medication_request": medication_request,
    "medication": medication,
    "immunization": immunization,
    "organization": organization,
    "practitioner": practitioner,
    "location": location,
}
"""The transform of each entity in ``hospital.yml``."""


def _value(value: Value) -> list[Column]:
    """The value of an Observation or a component: its type and, by type, number, code, boolean, bounds.

    ``value_text`` keeps the digits as written. A Quantity's comparator (<, <=, >=, >) is kept beside the number.
    """
    quantity, concept = value("valueQuantity"), value("valueCodeableConcept")
    bounds, ratio, sampled = value("valueRange"), value("valueRatio"), value("valueSampledData")
    kinds = {
        "quantity": quantity,
        "codeable_concept": concept,
        "boolean": value("valueBoolean"),
        "integer": value("valueInteger"),
        "range": bounds,
        "ratio": ratio,
        "sampled_data": sampled,
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
        quantity["comparator"].alias("value_comparator"),
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
