"""Who is one person, as published, against the answer key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from infra.evaluate.figures import Line, is_published, none_of
from jobs.identity import linkage
from jobs.identity.linkage import labelled
from jobs.sources import find_endpoint
from jobs.sources import load as load_source
from ml.answer_key import pseudonymisers

ENDPOINTS_OF = {"pharmacy_corner": ("pharmacy_linden", "pharmacy_anker")}
"""Names of the answer key that stand for several endpoints; no number is given out at two of them."""
RESIDENCES = "silver.housing__residence"
MOST_IN_REVIEW = 0.02
"""Pairs that wait for a reviewer per patient: what one desk can look through."""


def figures(spark: SparkSession, key: Path) -> Iterator[Line]:
    """Pairs of patients that are one person, as published, against the answer key; of patients that are loaded. First
    of hospitals alone, then of all who are known to any system, where others are loaded."""
    hospitals = _patients_in_truth(key)
    everybody = {**hospitals, **_people_in_truth(spark, key)}
    links = spark.sql("select patient_key, person_key from silver.person_link").collect()
    person_of = {row["patient_key"]: row["person_key"] for row in links if row["patient_key"] in everybody}
    ours = {patient: person for patient, person in person_of.items() if patient in hospitals}
    yield _unlinked(spark)
    yield from _precision_and_recall("person_linkage", ours, hospitals)
    if len(person_of) > len(ours):
        yield from _precision_and_recall("all_systems_linkage", person_of, everybody)
    with linkage.connect() as conn:
        waiting = len(linkage.review(conn))
    most = MOST_IN_REVIEW * len(person_of)
    yield Line(
        "person_linkage_review_queue", waiting, "pairs", f"<={most:.0f}", waiting <= most, len(person_of)
    )


def _unlinked(spark: SparkSession) -> Line:
    """Patients of hospitals who are no person: neither figure of linkage would show them."""
    patients = spark.sql("select patient_key from silver.hospital__patient where not is_deleted")
    alone = patients.join(spark.table("silver.person_link"), "patient_key", "left_anti")
    return none_of("patients_without_a_person", alone.count(), "patients", patients.count())


def _precision_and_recall(
    name: str, person_of: Mapping[str, object], truth: Mapping[str, object]
) -> Iterator[Line]:
    right = labelled.true_pairs({patient: truth[patient] for patient in person_of})
    joined = labelled.true_pairs(person_of)
    both = len(right & joined)
    precision, recall = (round(both / len(of), 4) if of else 1.0 for of in (joined, right))
    yield Line(f"{name}_precision", precision, "share", ">=0.995", precision >= 0.995, len(joined))
    yield Line(f"{name}_recall", recall, "share", ">=0.98", recall >= 0.98, len(right))


def _patients_in_truth(key: Path) -> dict[str, object]:
    """The person of each hospital's patient, by its key."""
    planted = pq.read_table(key / "persons.parquet").to_pylist()
    making = pseudonymisers(row["source"] for row in planted)
    return {making[row["source"]].key("Patient", row["patient_id"]): row["person_id"] for row in planted}


def _people_in_truth(spark: SparkSession, key: Path) -> dict[str, object]:
    """The person of each customer, participant and resident, by its key."""
    planted = [
        (endpoint, row["source_id"], row["person_id"])
        for row in pq.read_table(key / "identities.parquet").to_pylist()
        for endpoint in ENDPOINTS_OF.get(row["source"], (row["source"],))
    ]
    making = pseudonymisers(endpoint for endpoint, _, _ in planted)
    kinds = {name: _kind_of_people(name) for name in making}
    found: dict[str, object] = {
        making[endpoint].key(kinds[endpoint], source_id): person for endpoint, source_id, person in planted
    }
    if not is_published(RESIDENCES):
        return found
    # A resident's id is the national one: the key knows people by their residences.
    housing = load_source("housing")
    making = pseudonymisers(housing.endpoints)
    kind = housing.tables["residence"].resource
    lived = {
        maker.key(kind, row["residence_id"]): row["person_id"]
        for name in ("residences", "residence_errors")
        for row in pq.read_table(key / f"{name}.parquet").to_pylist()
        for maker in making.values()
    }
    rows = spark.sql(f"select residence_key, resident_key from {RESIDENCES} where resident_key is not null")  # noqa: S608
    for row in rows.collect():
        if row["residence_key"] in lived:
            found[row["resident_key"]] = lived[row["residence_key"]]
    return found


def _kind_of_people(endpoint: str) -> str:
    """The kind of reference by which an endpoint's source tells its people apart."""
    source, _ = find_endpoint(endpoint)
    table = next(table for table in source.tables.values() if table.person and table.person.is_linked)
    assert table.person
    assert table.fields
    return str(table.fields[table.person.key].of)
