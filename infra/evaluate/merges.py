"""Merges that messages have told, and what was taken back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from infra.evaluate.figures import Line, all_of, is_published
from jobs.identity.linkage import told
from jobs.lake.references import IDENTIFIER
from jobs.silver.hl7v2 import UNLINKS
from jobs.sources import Hl7Endpoint, find_endpoint
from ml.answer_key import pseudonymisers


@dataclass(frozen=True)
class _Merge:
    """A merge that was planted and has arrived, by pseudonyms. visits: those told under the number given up."""

    number: str
    prior: str
    visits: frozenset[str]
    is_parted: bool


def figures(spark: SparkSession, key: Path) -> Iterator[Line]:
    """Merges that messages have told, of patients that a hospital has described, as published: what is known under both
    numbers is of one person, and of two again once they were parted. Nothing before messages are loaded."""
    if not is_published(told.MESSAGES):
        return
    merges = _merges_told(spark, key)
    numbers = {number for merge in merges for number in (merge.number, merge.prior)}
    patients = told.patients_of(spark, numbers)
    links = spark.sql("select patient_key, person_key from silver.person_link").collect()
    person_of = {row["patient_key"]: row["person_key"] for row in links}
    visits = spark.sql(
        "select visit_key, person_key from gold.fct_encounter where visit_key is not null"
    ).collect()
    treated = {row["visit_key"]: row["person_key"] for row in visits}
    effects: dict[str, list[bool]] = {"merges_taken_effect": [], "unlinks_taken_effect": []}
    for merge in merges:
        kept, given_up = (
            {person_of[patient] for patient in patients.get(number, ()) if patient in person_of}
            for number in (merge.number, merge.prior)
        )
        given_up |= {treated[visit] for visit in merge.visits if visit in treated}
        if not kept or not given_up:
            continue
        if merge.is_parted:
            effects["unlinks_taken_effect"].append(not kept & given_up)
        else:
            effects["merges_taken_effect"].append(len(kept | given_up) == 1)
    for name, found in effects.items():
        if found:
            yield all_of(name, sum(found), len(found))


def _merges_told(spark: SparkSession, key: Path) -> list[_Merge]:
    messages = pq.read_table(key / "messages.parquet").to_pylist()
    said = {
        (row["patient_key"], row["prior"], row["trigger"] in UNLINKS)
        for row in spark.sql(
            f"select patient_key, explode(prior_patient_keys) as prior, trigger from {told.MESSAGES} "  # noqa: S608
            "where not is_deleted"
        ).collect()
    }
    found = []
    for row in pq.read_table(key / "message_merges.parquet").to_pylist():
        _, endpoint = find_endpoint(row["source"])
        assert isinstance(endpoint, Hl7Endpoint)
        (maker,) = pseudonymisers([endpoint.house or row["source"]]).values()
        number, prior = (
            maker.key(IDENTIFIER, f"{endpoint.patient_system}|{row[name]}")
            for name in ("patient_number", "prior_number")
        )
        visits = frozenset(
            maker.key(IDENTIFIER, f"{endpoint.visit_system}|{one['visit_number']}")
            for one in messages
            if one["source"] == row["source"]
            and one["patient_number"] == row["prior_number"]
            and one["visit_number"]
        )
        if (number, prior, False) in said:
            found.append(_Merge(number, prior, visits, (number, prior, True) in said))
    return found
