"""Columns that the silver transforms of every source are made of.

A transform takes a DataFrame with the columns of ``COMMON``, the instant ``updated_at`` and the struct ``r`` (the
parsed record, null for a tombstone or a rejected line); it ends in ``select``. The helpers take the leaves of
``jobs.lake.scrub`` (instants as microseconds with a precision, decimals as digits, references as keys) and the FHIR
data types built of them.
"""

from __future__ import annotations

from collections.abc import Mapping

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


def select(
    records: DataFrame,
    *columns: Column,
    is_entered_in_error: Column | None = None,
    valid_from: Column | None = None,
    known_at: Column | None = None,
) -> DataFrame:
    """COMMON, the entity's columns and the times of the record contract.

    valid_from: when the fact holds. known_at: when a clinician could first have known it by the record's own words;
    what is published is never before the version's instant. Records without such times, or that cannot be entered in
    error, leave them out.
    """
    never = F.lit(None).cast("timestamp")
    is_error = F.lit(None).cast("boolean") if is_entered_in_error is None else is_entered_in_error
    known_at = never if known_at is None else known_at
    return records.select(
        *COMMON,
        *columns,
        F.coalesce(is_error, F.lit(False)).alias("is_entered_in_error"),
        (never if valid_from is None else valid_from).alias("valid_from"),
        F.coalesce(F.greatest(known_at, F.col("updated_at")), F.col("version_at")).alias("available_at"),
    )


def double(digits: Column) -> Column:
    """The number that digits stand for."""
    return digits.try_cast("double")


def at(moment: Column) -> Column:
    """The instant, or the first instant of the period that a partial date names."""
    return F.timestamp_micros(moment["at"])


def passed(moment: Column) -> Column:
    """The instant itself, or the end of the period that a partial date names."""
    return F.timestamp_micros(F.coalesce(moment["until"], moment["at"]))


def first(array: Column) -> Column:
    return F.get(array, F.lit(0))


def first_coding(concept: Column) -> Column:
    return first(concept["coding"])


def coding_of(concept: Column, *systems: str) -> Column:
    """The first coding with a code of one of ``systems``, else the first. FHIR gives their order no meaning."""
    listed = F.filter(concept["coding"], lambda x: x["system"].isin(*systems) & x["code"].isNotNull())
    return F.coalesce(first(listed), first_coding(concept))


def code_columns(prefix: str, concept: Column, *systems: str) -> list[Column]:
    """Columns (prefix_)system or code_system, code and display of a concept's ``coding_of`` (``systems``)."""
    coding = coding_of(concept, *systems) if systems else first_coding(concept)
    names = (
        (f"{prefix}_system", f"{prefix}_code", f"{prefix}_display")
        if prefix
        else ("code_system", "code", "code_display")
    )
    return [part.alias(name) for part, name in zip(coding_parts(coding), names, strict=True)]


def coding_parts(coding: Column) -> tuple[Column, Column, Column]:
    """System, code and display; the display only beside a code of a system, else it is free text."""
    system, code = coding["system"], coding["code"]
    return system, code, F.when(system.isNotNull() & code.isNotNull(), coding["display"])


def codings(concept: Column) -> Column:
    """Column ``codings``: every coding of a concept as struct<system, code, display>."""
    return F.transform(concept["coding"], _triple).alias("codings")


def all_codings(concepts: Column) -> Column:
    """Every coding of several concepts as struct<system, code, display>, in the order received."""
    coded = F.filter(concepts, lambda x: x["coding"].isNotNull())
    return F.flatten(F.transform(coded, lambda x: F.transform(x["coding"], _triple)))


def first_codings(concepts: Column) -> Column:
    """The first coding of each of several concepts as struct<system, code, display>; those without one left out."""

    def triple(concept: Column) -> Column:
        return _triple(first_coding(concept))

    return F.transform(F.filter(concepts, lambda x: first_coding(x).isNotNull()), triple)


def keys(references: Column) -> Column:
    """The keys of several references, in the order received; those that name nothing left out."""
    return F.filter(F.transform(references, lambda x: x["key"]), lambda x: x.isNotNull())


def identifier_keys(resource: Column) -> Column:
    """Pseudonyms of a resource's business identifiers."""
    return keys(resource["identifier"])


def number(quantity: Column) -> Column:
    return quantity["value"].try_cast("double")


def unit(*quantities: Column) -> Column:
    """The unit of the first quantity that has one, as code or else as text."""
    return F.coalesce(*(quantity[part] for quantity in quantities for part in ("code", "unit")))


def kind(values: Mapping[str, Column]) -> Column:
    """The name of the first value that is there; ``none`` without one."""
    (first, value), *others = values.items()
    found = F.when(value.isNotNull(), first)
    for name, value in others:
        found = found.when(value.isNotNull(), name)
    return found.otherwise("none")


def _triple(coding: Column) -> Column:
    names = ("system", "code", "display")
    return F.struct(*(part.alias(name) for part, name in zip(coding_parts(coding), names, strict=True)))
