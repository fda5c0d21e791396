"""Hospital records: FHIR R4 shapes (``jobs.silver.fhir``) to flat, typed columns, one pure function per entity.

Each function takes a DataFrame with the columns of ``COMMON`` and the struct ``r`` (the parsed record, null for a
tombstone or a rejected line) and returns COMMON followed by the entity's columns and the times of the record contract:

* ``valid_from``: when the fact holds;
* ``available_at``: when a clinician could first have known it, never before ``lastUpdated`` where there is one; of a
  record that says neither, the instant of its export. What is dated to the day, month or year alone is known when
  that has passed.

Both engines give the same values: instants arrive as microseconds, decimals as their digits, and every cast is a
``try_cast``. The columns are declared in ``jobs/sources/hospital.yml``; a convention test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

COMMON = (
    "source",
    "batch_id",
    "file",
    "line",
    "line_hash",
    "key",
    "version_at",
    "version_number",
    "has_version_instant",
    "is_deleted",
    "content_hash",
    "known_from",
    "is_first_load",
    "rule",
    "reason",
)

Value = Callable[[str], Column]


def patient(records: DataFrame) -> DataFrame:
    """One row per received Patient: sex, birth month, death, postal district (three characters)."""
    r = F.col("r")
    return _select(
        records,
        r["gender"].alias("sex"),
        r["birthDate"]["year"].cast("int").alias("birth_year"),
        r["birthDate"]["month"].cast("int").alias("birth_month"),
        r["birthDate"]["precision"].alias("birth_precision"),
        F.coalesce(r["deceasedBoolean"], r["deceasedDateTime"].isNotNull()).alias("is_deceased"),
        _at(r["deceasedDateTime"]).alias("deceased_at"),
        r["deceasedDateTime"]["precision"].alias("deceased_precision"),
        _first(r["address"])["postalCode"].alias("postal_district"),
        is_entered_in_error=F.lit(False),
        valid_from=F.lit(None).cast("timestamp"),
        known_at=F.lit(None).cast("timestamp"),
    )


def encounter(records: DataFrame) -> DataFrame:
    """One row per received Encounter; known to a clinician when it ends, or from its start while it lasts."""
    r = F.col("r")
    locations = F.filter(F.transform(r["location"], lambda x: x["location"]["key"]), lambda x: x.isNotNull())
    started_at, ended_at = _at(r["period"]["start"]), _at(r["period"]["end"])
    return _select(
        records,
        r["subject"]["key"].alias("patient_key"),
        r["status"].alias("status"),
        r["class"]["code"].alias("class_code"),
        _coding(r["priority"])["code"].alias("priority_code"),
        *_code("type", _first(r["type"])),
        _coding(_first(r["reasonCode"]))["code"].alias("reason_code"),
        started_at.alias("started_at"),
        r["period"]["start"]["precision"].alias("started_precision"),
        ended_at.alias("ended_at"),
        r["period"]["end"]["precision"].alias("ended_precision"),
        _coding(r["hospitalization"]["admitSource"])["code"].alias("admit_source_code"),
        _coding(r["hospitalization"]["dischargeDisposition"])["code"].alias("discharge_disposition_code"),
        locations.alias("location_keys"),
        F.get(locations, F.lit(0)).alias("location_key"),
        r["serviceProvider"]["key"].alias("organization_key"),
        r["partOf"]["key"].alias("part_of_key"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=started_at,
        known_at=F.coalesce(_passed(r["period"]["end"]), _passed(r["period"]["start"])),
    )


def condition(records: DataFrame) -> DataFrame:
    """One row per received Condition; known when recorded, else at onset."""
    r = F.col("r")
    onset, abatement = (
        F.coalesce(r["onsetDateTime"], r["onsetPeriod"]["start"]),
        F.coalesce(r["abatementDateTime"], r["abatementPeriod"]["end"]),
    )
    recorded_at = _at(r["recordedDate"])
    verification = _coding(r["verificationStatus"])["code"]
    return _select(
        records,
        r["subject"]["key"].alias("patient_key"),
        r["encounter"]["key"].alias("encounter_key"),
        *_code("", r["code"]),
        _codings(r["code"]),
        _coding(_first(r["category"]))["code"].alias("category_code"),
        _coding(r["clinicalStatus"])["code"].alias("clinical_status"),
        verification.alias("verification_status"),
        _at(onset).alias("onset_at"),
        onset["precision"].alias("onset_precision"),
        _at(abatement).alias("abatement_at"),
        abatement["precision"].alias("abatement_precision"),
        recorded_at.alias("recorded_at"),
        r["recordedDate"]["precision"].alias("recorded_precision"),
        is_entered_in_error=verification == "entered-in-error",
        valid_from=F.coalesce(_at(onset), recorded_at),
        known_at=F.coalesce(_passed(r["recordedDate"]), _passed(onset)),
    )


def observation(records: DataFrame) -> DataFrame:
    """One row per received Observation, its components as an array; known when issued, else when it took effect."""
    r = F.col("r")
    start = F.coalesce(r["effectiveDateTime"], r["effectiveInstant"], r["effectivePeriod"]["start"])
    end_at, issued_at = _at(r["effectivePeriod"]["end"]), _at(r["issued"])
    components = F.transform(
        r["component"],
        lambda c: F.struct(
            *_code("", c["code"]),
            *_value(lambda name: c[name]),
            _coding(_first(c["interpretation"]))["code"].alias("interpretation_code"),
            _coding(c["dataAbsentReason"])["code"].alias("data_absent_reason"),
        ),
    )
    return _select(
        records,
        r["subject"]["key"].alias("patient_key"),
        r["encounter"]["key"].alias("encounter_key"),
        r["status"].alias("status"),
        _coding(_first(r["category"]))["code"].alias("category_code"),
        *_code("", r["code"]),
        _codings(r["code"]),
        _at(start).alias("effective_at"),
        start["precision"].alias("effective_precision"),
        end_at.alias("effective_end_at"),
        r["effectivePeriod"]["end"]["precision"].alias("effective_end_precision"),
        issued_at.alias("issued_at"),
        *_value(lambda name: r[name]),
        _coding(_first(r["interpretation"]))["code"].alias("interpretation_code"),
        _coding(r["dataAbsentReason"])["code"].alias("data_absent_reason"),
        components.alias("components"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=F.coalesce(_at(start), issued_at),
        known_at=F.coalesce(_passed(r["issued"]), _passed(r["effectivePeriod"]["end"]), _passed(start)),
    )


def medication_request(records: DataFrame) -> DataFrame:
    """One row per received MedicationRequest, coded inline or by reference; known when authored."""
    r = F.col("r")
    authored_at = _at(r["authoredOn"])
    return _select(
        records,
        r["subject"]["key"].alias("patient_key"),
        r["encounter"]["key"].alias("encounter_key"),
        r["status"].alias("status"),
        r["intent"].alias("intent"),
        *_code("", r["medicationCodeableConcept"]),
        _codings(r["medicationCodeableConcept"]),
        r["medicationReference"]["key"].alias("medication_key"),
        authored_at.alias("authored_at"),
        r["authoredOn"]["precision"].alias("authored_precision"),
        r["requester"]["key"].alias("requester_key"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=authored_at,
        known_at=_passed(r["authoredOn"]),
    )


def medication(records: DataFrame) -> DataFrame:
    """One row per received Medication."""
    r = F.col("r")
    return _select(
        records,
        *_code("", r["code"]),
        _codings(r["code"]),
        r["status"].alias("status"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=F.lit(None).cast("timestamp"),
        known_at=F.lit(None).cast("timestamp"),
    )


def immunization(records: DataFrame) -> DataFrame:
    """One row per received Immunization; known when recorded, else when given."""
    r = F.col("r")
    occurred = r["occurrenceDateTime"]
    return _select(
        records,
        r["patient"]["key"].alias("patient_key"),
        r["encounter"]["key"].alias("encounter_key"),
        r["status"].alias("status"),
        *_code("", r["vaccineCode"]),
        _codings(r["vaccineCode"]),
        _at(occurred).alias("occurred_at"),
        occurred["precision"].alias("occurred_precision"),
        _at(r["recorded"]).alias("recorded_at"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=_at(occurred),
        known_at=F.coalesce(_passed(r["recorded"]), _passed(occurred)),
    )


def organization(records: DataFrame) -> DataFrame:
    """One row per received Organization."""
    r = F.col("r")
    return _select(
        records,
        r["name"].alias("name"),
        _coding(_first(r["type"]))["code"].alias("type_code"),
        r["active"].alias("is_active"),
        r["partOf"]["key"].alias("part_of_key"),
        _identifier_keys(r).alias("identifier_keys"),
        is_entered_in_error=F.lit(False),
        valid_from=F.lit(None).cast("timestamp"),
        known_at=F.lit(None).cast("timestamp"),
    )


def practitioner(records: DataFrame) -> DataFrame:
    """One row per received Practitioner, by pseudonym alone."""
    r = F.col("r")
    return _select(
        records,
        r["gender"].alias("sex"),
        r["active"].alias("is_active"),
        _identifier_keys(r).alias("identifier_keys"),
        is_entered_in_error=F.lit(False),
        valid_from=F.lit(None).cast("timestamp"),
        known_at=F.lit(None).cast("timestamp"),
    )


def location(records: DataFrame) -> DataFrame:
    """One row per received Location."""
    r = F.col("r")
    return _select(
        records,
        r["name"].alias("name"),
        r["status"].alias("status"),
        _coding(_first(r["type"]))["code"].alias("type_code"),
        _coding(r["physicalType"])["code"].alias("physical_type_code"),
        r["managingOrganization"]["key"].alias("organization_key"),
        r["partOf"]["key"].alias("part_of_key"),
        _identifier_keys(r).alias("identifier_keys"),
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


def _select(
    records: DataFrame, *columns: Column, is_entered_in_error: Column, valid_from: Column, known_at: Column
) -> DataFrame:
    return records.select(
        *COMMON,
        *columns,
        F.coalesce(is_entered_in_error, F.lit(False)).alias("is_entered_in_error"),
        valid_from.alias("valid_from"),
        F.coalesce(F.greatest(known_at, F.col("updated_at")), F.col("version_at")).alias("available_at"),
    )


def _at(moment: Column) -> Column:
    return F.timestamp_micros(moment["at"])


def _passed(moment: Column) -> Column:
    """The instant itself, or the end of the period that a partial date names."""
    return F.timestamp_micros(F.coalesce(moment["until"], moment["at"]))


def _first(array: Column) -> Column:
    return F.get(array, F.lit(0))


def _coding(concept: Column) -> Column:
    return _first(concept["coding"])


def _code(prefix: str, concept: Column) -> list[Column]:
    """Columns (prefix_)system or code_system, code and display of a concept's first coding."""
    coding = _coding(concept)
    names = (
        (f"{prefix}_system", f"{prefix}_code", f"{prefix}_display")
        if prefix
        else ("code_system", "code", "code_display")
    )
    return [part.alias(name) for part, name in zip(_parts(coding), names, strict=True)]


def _parts(coding: Column) -> tuple[Column, Column, Column]:
    """System, code and display; the display only beside a code of a system, else it is free text."""
    system, code = coding["system"], coding["code"]
    return system, code, F.when(system.isNotNull() & code.isNotNull(), coding["display"])


def _codings(concept: Column) -> Column:
    def parts(coding: Column) -> Column:
        return F.struct(
            *(
                part.alias(name)
                for part, name in zip(_parts(coding), ("system", "code", "display"), strict=True)
            )
        )

    return F.transform(concept["coding"], parts).alias("codings")


def _identifier_keys(resource: Column) -> Column:
    keys = F.transform(resource["identifier"], lambda x: x["key"])
    return F.filter(keys, lambda x: x.isNotNull())


def _number(quantity: Column) -> Column:
    return quantity["value"].try_cast("double")


def _unit(*quantities: Column) -> Column:
    """The unit of the first quantity that has one, as code or else as text."""
    return F.coalesce(*(quantity[part] for quantity in quantities for part in ("code", "unit")))


def _kind(values: Mapping[str, Column]) -> Column:
    """The name of the first value that is there; ``none`` without one."""
    (first, value), *others = values.items()
    found = F.when(value.isNotNull(), first)
    for name, value in others:
        found = found.when(value.isNotNull(), name)
    return found.otherwise("none")


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
        _kind(kinds).alias("value_type"),
        F.coalesce(
            _number(quantity), integer.cast("double"), _number(ratio["numerator"]), _number(sampled["origin"])
        ).alias("value_number"),
        F.coalesce(
            quantity["value"], integer.cast("string"), ratio["numerator"]["value"], sampled["data"]
        ).alias("value_text"),
        quantity["comparator"].alias("value_comparator"),
        _unit(quantity, bounds["low"], bounds["high"], ratio["numerator"], sampled["origin"]).alias("unit"),
        _coding(concept)["system"].alias("value_code_system"),
        _coding(concept)["code"].alias("value_code"),
        _parts(_coding(concept))[2].alias("value_display"),
        value("valueBoolean").alias("value_boolean"),
        _number(bounds["low"]).alias("value_low"),
        _number(bounds["high"]).alias("value_high"),
        _number(ratio["denominator"]).alias("value_denominator"),
        _unit(ratio["denominator"]).alias("value_denominator_unit"),
    ]
