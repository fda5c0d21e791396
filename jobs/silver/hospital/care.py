"""What happens to a patient. See the package for what a transform does."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.silver.columns import (
    all_codings,
    at,
    code_columns,
    coding_of,
    codings,
    first,
    first_coding,
    first_codings,
    identifier_keys,
    keys,
    passed,
    select,
)

CONDITION_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CONDITION_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
ALLERGY_CLINICAL = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
ALLERGY_VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
"""The systems of the value sets that FHIR R4 requires of these elements: the code that decides is of them."""


def encounter(records: DataFrame) -> DataFrame:
    """One row per received Encounter; known to a clinician when it ends, or from its start while it lasts."""
    r = F.col("r")
    locations = keys(F.transform(r["location"], lambda x: x["location"]))
    started_at, ended_at = at(r["period"]["start"]), at(r["period"]["end"])
    return select(
        records,
        r["subject"]["key"].alias("patient_key"),
        r["status"].alias("status"),
        r["class"]["code"].alias("class_code"),
        first_coding(r["priority"])["code"].alias("priority_code"),
        *code_columns("type", first(r["type"])),
        *code_columns("reason", first(r["reasonCode"])),
        all_codings(r["reasonCode"]).alias("reason_codings"),
        started_at.alias("started_at"),
        r["period"]["start"]["precision"].alias("started_precision"),
        ended_at.alias("ended_at"),
        r["period"]["end"]["precision"].alias("ended_precision"),
        first_coding(r["hospitalization"]["admitSource"])["code"].alias("admit_source_code"),
        first_coding(r["hospitalization"]["dischargeDisposition"])["code"].alias(
            "discharge_disposition_code"
        ),
        locations.alias("location_keys"),
        first(locations).alias("location_key"),
        r["serviceProvider"]["key"].alias("organization_key"),
        r["partOf"]["key"].alias("part_of_key"),
        identifier_keys(r).alias("identifier_keys"),
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
    verification = coding_of(r["verificationStatus"], CONDITION_VERIFICATION)["code"]
    return select(
        records,
        r["subject"]["key"].alias("patient_key"),
        r["encounter"]["key"].alias("encounter_key"),
        *code_columns("", r["code"]),
        codings(r["code"]),
        first_coding(first(r["category"]))["code"].alias("category_code"),
        coding_of(r["clinicalStatus"], CONDITION_CLINICAL)["code"].alias("clinical_status"),
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


def procedure(records: DataFrame) -> DataFrame:
    """One row per received Procedure; known when it is over."""
    r = F.col("r")
    start, end = (
        F.coalesce(r["performedDateTime"], r["performedPeriod"]["start"]),
        r["performedPeriod"]["end"],
    )
    return select(
        records,
        r["subject"]["key"].alias("patient_key"),
        r["encounter"]["key"].alias("encounter_key"),
        r["status"].alias("status"),
        first_coding(r["statusReason"])["code"].alias("status_reason_code"),
        first_coding(r["category"])["code"].alias("category_code"),
        *code_columns("", r["code"]),
        codings(r["code"]),
        at(start).alias("performed_at"),
        start["precision"].alias("performed_precision"),
        at(end).alias("performed_end_at"),
        end["precision"].alias("performed_end_precision"),
        *code_columns("reason", first(r["reasonCode"])),
        keys(r["reasonReference"]).alias("reason_keys"),
        *code_columns("body_site", first(r["bodySite"])),
        *code_columns("outcome", r["outcome"]),
        keys(F.transform(r["performer"], lambda x: x["actor"])).alias("performer_keys"),
        r["location"]["key"].alias("location_key"),
        keys(r["partOf"]).alias("part_of_keys"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=F.coalesce(at(start), at(end)),
        known_at=F.coalesce(passed(end), passed(start)),
    )


def allergy_intolerance(records: DataFrame) -> DataFrame:
    """One row per received AllergyIntolerance, its reactions as an array; known when recorded, else at onset."""
    r = F.col("r")
    onset = F.coalesce(r["onsetDateTime"], r["onsetPeriod"]["start"])
    recorded_at = at(r["recordedDate"])
    verification = coding_of(r["verificationStatus"], ALLERGY_VERIFICATION)["code"]
    reactions = F.transform(
        r["reaction"],
        lambda x: F.struct(
            *code_columns("substance", x["substance"]),
            first_codings(x["manifestation"]).alias("manifestations"),
            x["severity"].alias("severity"),
            first_coding(x["exposureRoute"])["code"].alias("exposure_route_code"),
        ),
    )
    return select(
        records,
        r["patient"]["key"].alias("patient_key"),
        r["encounter"]["key"].alias("encounter_key"),
        *code_columns("", r["code"]),
        codings(r["code"]),
        r["type"].alias("allergy_type"),
        r["category"].alias("categories"),
        r["criticality"].alias("criticality"),
        coding_of(r["clinicalStatus"], ALLERGY_CLINICAL)["code"].alias("clinical_status"),
        verification.alias("verification_status"),
        at(onset).alias("onset_at"),
        onset["precision"].alias("onset_precision"),
        recorded_at.alias("recorded_at"),
        r["recordedDate"]["precision"].alias("recorded_precision"),
        at(r["lastOccurrence"]).alias("last_occurrence_at"),
        r["lastOccurrence"]["precision"].alias("last_occurrence_precision"),
        reactions.alias("reactions"),
        r["recorder"]["key"].alias("recorder_key"),
        is_entered_in_error=verification == "entered-in-error",
        valid_from=F.coalesce(at(onset), recorded_at),
        known_at=F.coalesce(passed(r["recordedDate"]), passed(onset)),
    )


def care_plan(records: DataFrame) -> DataFrame:
    """One row per received CarePlan, its activities as an array; known when written, else when it starts."""
    r = F.col("r")
    started_at, created_at = at(r["period"]["start"]), at(r["created"])
    activities = F.transform(
        r["activity"],
        lambda x: F.struct(
            *code_columns("", x["detail"]["code"]),
            x["detail"]["kind"].alias("kind"),
            x["detail"]["status"].alias("status"),
            x["detail"]["doNotPerform"].alias("is_prohibited"),
            x["reference"]["key"].alias("reference_key"),
        ),
    )
    return select(
        records,
        r["subject"]["key"].alias("patient_key"),
        r["encounter"]["key"].alias("encounter_key"),
        r["status"].alias("status"),
        r["intent"].alias("intent"),
        *code_columns("category", first(r["category"])),
        first_codings(r["category"]).alias("categories"),
        started_at.alias("started_at"),
        r["period"]["start"]["precision"].alias("started_precision"),
        at(r["period"]["end"]).alias("ended_at"),
        r["period"]["end"]["precision"].alias("ended_precision"),
        created_at.alias("created_at"),
        r["created"]["precision"].alias("created_precision"),
        keys(r["addresses"]).alias("addressed_keys"),
        activities.alias("activities"),
        r["author"]["key"].alias("author_key"),
        is_entered_in_error=r["status"] == "entered-in-error",
        valid_from=F.coalesce(started_at, created_at),
        known_at=F.coalesce(passed(r["created"]), passed(r["period"]["start"])),
    )
