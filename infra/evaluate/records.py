"""Records of hospitals: whether all that was received is accounted for, and what is gone or mistaken stays away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from infra.evaluate.figures import (
    HOSPITALS,
    Line,
    Seen,
    all_of,
    keys,
    listed,
    none_of,
    share,
    visible,
)
from jobs.lake import control
from jobs.sources import load as load_source
from ml.answer_key import pseudonymisers

LEAST_PATIENTS = 0.95
"""Some have not arrived yet, and the line of others was spoilt."""
NEVER = ("cancelled", "planned")
"""Spurious stays that never were one, from their first version on."""


def figures(spark: SparkSession, key: Path, seen: Seen) -> Iterator[Line]:
    yield _receipts_balance()
    yield _corrupt_lines(spark, key, seen)
    yield from _deletions(spark, key, seen)
    yield _entered_in_error(spark, key, seen)
    yield _never_stays(spark, key, seen)
    yield _patients(spark, key)


def _receipts_balance() -> Line:
    with control.connect() as conn:
        receipts = control.receipts(conn)
    off = sum(r.received != r.accounted for r in receipts)
    return none_of("receipts_out_of_balance", off, "receipts", len(receipts))


def _corrupt_lines(spark: SparkSession, key: Path, seen: Seen) -> Line:
    """By line, however often one was delivered."""
    planted = visible(key / "corrupt_lines.parquet", seen).num_rows
    row = spark.sql(
        "select count(distinct source, resource_type, line_hash) as found from quality.quarantine "
        "where rule in ('invalid_json', 'invalid_utf8', 'duplicate_key', 'nul_character') "
        "and source like 'hospital_%' and source <> 'hospital_given'"
    ).first()
    found = row["found"] if row else 0
    return all_of("corrupt_lines_quarantined", min(found, planted), planted)


def _deletions(spark: SparkSession, key: Path, seen: Seen) -> Iterator[Line]:
    """Gone for good in records and in gold, where a message may tell of the same stay; and back, what came back."""
    planted = visible(key / "deleted.parquet", seen)
    until = pa.array(
        [seen[source.as_py()].as_py() for source in planted["source"]], planted["came_back_at"].type
    )
    is_back = pc.fill_null(pc.less_equal(planted["came_back_at"], until), False)
    gone = planted.filter(pc.is_null(planted["came_back_at"]))
    alive = missing = 0
    for entity, table in load_source(HOSPITALS).tables.items():
        alive += _count(spark, entity, keys(gone, table.resource), "not is_deleted")
        back = keys(planted.filter(is_back), table.resource)
        missing += len(back) - _count(spark, entity, back, "not is_deleted")
    alive += len(_facts(spark, keys(gone, "Encounter")))
    yield none_of("deleted_records_still_published", alive, "records", gone.num_rows)
    yield none_of("revived_records_missing", missing, "records", int(pc.sum(is_back).as_py() or 0))


def _entered_in_error(spark: SparkSession, key: Path, seen: Seen) -> Line:
    planted = visible(key / "entered_in_error.parquet", seen)
    facts = len(_facts(spark, keys(planted, "Encounter")))
    for entity, table in load_source(HOSPITALS).tables.items():
        mistaken = keys(planted, table.resource)
        facts += _count(spark, entity, mistaken, "not is_deleted and not is_entered_in_error")
    return none_of("errors_published_as_facts", facts, "records", planted.num_rows)


def _never_stays(spark: SparkSession, key: Path, seen: Seen) -> Line:
    planted = visible(key / "spurious_stays.parquet", seen)
    never = keys(planted.filter(pc.is_in(planted["kind"], pa.array(NEVER))), "Encounter")
    facts = _facts(spark, never, "status in ('in-progress', 'finished')")
    return none_of("stays_that_never_were_published", len(facts), "stays", len(never))


def _patients(spark: SparkSession, key: Path) -> Line:
    planted = pq.read_table(key / "persons.parquet").to_pylist()
    making = pseudonymisers(row["source"] for row in planted)
    known = [making[row["source"]].key("Patient", row["patient_id"]) for row in planted]
    found = share(_count(spark, "patient", known, "not is_deleted"), len(known))
    is_met = LEAST_PATIENTS <= found <= 1
    return Line("source_patients_published", found, "share", f">={LEAST_PATIENTS}", is_met, len(known))


def _count(spark: SparkSession, entity: str, wanted: Sequence[str], condition: str) -> int:
    """Current rows of ``entity`` of those keys that fulfil ``condition``."""
    if not wanted:
        return 0
    table = load_source(HOSPITALS).tables[entity]
    rows = spark.table(f"silver.{HOSPITALS}__{entity}").where(condition)
    return rows.join(listed(spark, table.key, wanted), table.key, "left_semi").count()


def _facts(spark: SparkSession, wanted: Sequence[str], condition: str = "true") -> list[str]:
    """The encounters of those keys that gold has, whoever told them."""
    if not wanted:
        return []
    rows = spark.table("gold.fct_encounter").where(condition)
    found = rows.join(listed(spark, "encounter_key", wanted), "encounter_key", "left_semi")
    return [row["encounter_key"] for row in found.select("encounter_key").collect()]
