"""What people got of each medication at pharmacies, as gold has it, against the answer key.

A pair is a person and an ATC code. Its true packs are those sold less those taken back; a second posting of one sale
is none, nor is a sale that its pharmacy has deleted. Its knowable packs leave out the records that were spoilt so that
nobody can know them: those belong in quarantine, and count for nothing. A pair is exact where gold's sum of
``quantity`` is what is knowable. One that is not is told apart by what was planted among its records; where people are
linked wrongly, by that.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

Key = Callable[[str, str, str], str]
"""The pseudonym of a source's id: source, type, id."""
Pair = tuple[int, str]
SPOILT = {
    *("bad_date", "quantity_in_words", "other_decimals", "too_few_fields", "invalid_bytes", "wrong_clock"),
    "unknown_article",
}
"""What makes a record unknowable: it cannot be read, contradicts itself, or names an article that is none."""
REPEATED = "repeated_after_correction"
CAUSES = ("wrong_quantity", "twin", "reversal", REPEATED)
"""What may keep a pair from being exact: not put right yet, or by a line that was spoilt; paired wrongly; or a line
that stands in a file once more below its correction, which nobody can tell from a correction taken back."""
LINKAGE, UNEXPLAINED = "linkage", "unexplained"
_CORNER = {"L": "pharmacy_linden", "A": "pharmacy_anker"}


@dataclass(frozen=True)
class Found:
    """pairs: how many there are. exact, knowable, true: packs of those that gold has exactly, of those that are
    knowable, and of all. off: pairs that gold has not exactly, by cause.
    inferred, inferred_right, prescribed: dispenses with a request that was inferred, those where it is the true one,
    and all that have a true one.
    """

    pairs: int
    exact: int
    knowable: int
    true: int
    off: Mapping[str, int]
    inferred: int
    inferred_right: int
    prescribed: int


@dataclass
class _Packs:
    true: int = 0
    knowable: int = 0
    planted: set[str] = field(default_factory=set)


def compare(spark: SparkSession, folder: Path, seen: Mapping[str, pa.Scalar], key: Key) -> Found:
    """Hold gold.fct_dispense against the answer key in ``folder``, as far as ``seen``: the newest transaction time of
    each endpoint that is loaded."""
    records = _visible(folder / "dispenses.parquet", seen)
    kinds: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in _visible(folder / "planted.parquet", seen):
        if row["table"] == "dispense":
            kinds[row["endpoint"], row["record_id"]].add(row["kind"])
    for row in records:
        found = kinds[row["endpoint"], row["dispense_id"]]
        found |= {row["kind"]} - {"sale"}
        if "corrected" in found and not found & SPOILT:
            found -= {"wrong_quantity"}
        if {"corrected", "repeated_line"} <= found:
            found.add(REPEATED)
    person_of = _people(spark, records, key)
    sold = _sold(records, kinds)
    published = {
        (row["person_key"], row["atc_code"]): row["packs"]
        for row in spark.sql(
            "select person_key, atc_code, sum(quantity) as packs from gold.fct_dispense "
            "where told_by = 'pharmacy' and person_key is not null and atc_code is not null group by 1, 2"
        ).collect()
    }
    exact, off = 0, Counter[str]()
    for (person, atc), packs in sold.items():
        owner, is_linked_right = person_of[person]
        if (published.get((owner, atc)) or 0) == packs.knowable:
            exact += packs.knowable
        else:
            planted = next((cause for cause in CAUSES if cause in packs.planted), None)
            off[planted or (UNEXPLAINED if is_linked_right else LINKAGE)] += 1
    knowable, true = sum(p.knowable for p in sold.values()), sum(p.true for p in sold.values())
    return Found(len(sold), exact, knowable, true, dict(off), *_requests(spark, records, key))


def _visible(path: Path, seen: Mapping[str, pa.Scalar]) -> list[dict[str, Any]]:
    """Rows of pharmacies that a batch we loaded could have had, with the endpoint of each."""
    rows = []
    for row in pq.read_table(path).to_pylist():
        name = str(row.get("dispense_id") or row.get("record_id"))
        endpoint = (
            _CORNER.get(name[:1], row["source"]) if row["source"] == "pharmacy_corner" else row["source"]
        )
        if endpoint in seen and row["visible_at"] <= seen[endpoint].as_py():
            rows.append({**row, "endpoint": endpoint})
    return rows


def _people(spark: SparkSession, records: list[dict[str, Any]], key: Key) -> dict[int, tuple[str, bool]]:
    """The person of the lake that each true person is, by most of its customer numbers; and whether it is that one
    alone, and nobody else."""
    customers = {
        key(row["endpoint"], "Customer", row["customer_no"]): row["person_id"]
        for row in records
        if row["person_id"] is not None
    }
    linked: dict[int, Counter[str]] = defaultdict(Counter)
    for row in spark.sql("select patient_key, person_key from silver.person_link").collect():
        if row["patient_key"] in customers:
            linked[customers[row["patient_key"]]][row["person_key"]] += 1
    for customer, person in customers.items():
        if not linked[person]:
            linked[person][customer] += 1
    taken = Counter(owner for found in linked.values() for owner in found)
    return {
        person: (
            min(found, key=lambda owner: (-found[owner], owner)),
            len(found) == 1 and taken[next(iter(found))] == 1,
        )
        for person, found in linked.items()
    }


def _sold(records: list[dict[str, Any]], kinds: Mapping[tuple[str, str], set[str]]) -> dict[Pair, _Packs]:
    sold: dict[Pair, _Packs] = defaultdict(_Packs)
    for row in records:
        if row["person_id"] is None or row["atc_code"] is None:
            continue
        planted = kinds[row["endpoint"], row["dispense_id"]]
        packs = sold[row["person_id"], row["atc_code"]]
        packs.planted |= planted
        counted = 0 if planted & {"twin", "deleted"} else row["quantity"]
        packs.true += counted
        packs.knowable += 0 if planted & SPOILT else counted
    return sold


def _requests(spark: SparkSession, records: list[dict[str, Any]], key: Key) -> tuple[int, int, int]:
    """How many dispenses have an inferred request, how many of these the true one, and how many have one in truth."""
    true = {
        key(row["endpoint"], "Dispense", row["dispense_id"]): key(
            row["hospital_source"], "MedicationRequest", row["medication_request_id"]
        )
        for row in records
        if row["medication_request_id"] is not None
    }
    inferred = {
        row["dispense_key"]: row["medication_request_key"]
        for row in spark.sql(
            "select dispense_key, medication_request_key from gold.fct_dispense "
            "where medication_request_basis = 'inferred'"
        ).collect()
    }
    right = sum(true.get(dispense) == request for dispense, request in inferred.items())
    return len(inferred), right, len(true)
