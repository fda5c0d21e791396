"""What is true of the pharmacies' records, noted for the answer key."""

from __future__ import annotations

import numpy as np

from infra.city.habits import HOSPITALS
from infra.city.ids import hashed, record_ids
from infra.city.lived import Lived, chosen
from infra.city.pharmacies.articles import ARTICLES
from infra.city.pharmacies.chain import FIRST_ID, visible_ms
from infra.city.pharmacies.sales import REVERSAL, SALE, TWIN
from infra.city.pharmacies.shops import ANKER, KEEPER, LINDEN, SHOPS, customer_numbers, prescription_numbers
from infra.city.population import DAY_MS
from infra.city.simulation import Columns

LATE_FILE_RATE = 0.05
RECEIPT_PREFIXES = {"linden": "L", "anker": "A"}
_KINDS = np.array(["sale", "twin", "reversal"], dtype=object)
_ENDPOINTS = np.array([shop.endpoint for shop in SHOPS], dtype=object)
_ATC = np.array([a.atc or None for a in ARTICLES], dtype=object)


def record_names(t: Columns, numbers: np.ndarray) -> np.ndarray:
    """The dispense id of each row as its pharmacy writes it: ``10000042`` (chain), ``L-0000042``, ``A-0000042``."""
    names = [
        f"{prefix}-{n:07d}" if (prefix := RECEIPT_PREFIXES.get(SHOPS[s].name)) else str(FIRST_ID + n)
        for s, n in zip(t["shop"].tolist(), numbers.tolist(), strict=True)
    ]
    return np.array(names, dtype=object)


def file_seen_ms(lived: Lived, shop: int) -> int:
    """When the files of an independent pharmacy's stretch are there: at its end, or, now and then, a day late."""
    place = hashed(lived.seed, 60 + shop, np.array([lived.today]))[0] % np.uint64(1000)
    rate = 0.0 if lived.is_history else LATE_FILE_RATE * min(lived.dirt, 5.0)
    return lived.now_ms + DAY_MS * int(place < np.uint64(int(rate * 1000)))


def note(lived: Lived, sold: Columns, known: np.ndarray) -> np.ndarray:
    """Note every dispense and each customer seen for the first time; ``known`` are the customers noted before, as
    ``person * 6 + keeper * 2 + card``. Returns all that are known now."""
    first = chosen(sold, sold["version"] == 1)
    seen = _seen_ms(first, lived)
    ids, keeper = record_names(first, first["number"]), KEEPER[first["shop"]]
    customers = np.array(customer_numbers(lived.seed, first["person"], keeper, first["card"]), dtype=object)
    customers[first["person"] < 0] = None
    sources, requests = _requests(lived, first)
    numbers = np.array(prescription_numbers(lived.seed, np.maximum(first["request"], 0)), dtype=object)
    numbers[first["request"] < 0] = None
    of = record_names(first, first["of"])
    of[first["kind"] == SALE] = None
    person = first["person"].astype(object)
    person[first["person"] < 0] = None
    lived.truth.add(
        "dispenses",
        source=_ENDPOINTS[first["shop"]],
        dispense_id=ids,
        person_id=person,
        customer_no=customers,
        hospital_source=sources,
        medication_request_id=requests,
        prescription_no=numbers,
        kind=_KINDS[first["kind"]],
        of_dispense_id=of,
        atc_code=_ATC[first["article"]],
        quantity=first["true_quantity"],
        dispensed_at=first["at"],
        visible_at=seen,
    )
    for row in np.flatnonzero((first["kind"] == TWIN) | (first["kind"] == REVERSAL)).tolist():
        kind = _KINDS[first["kind"][row]]
        source = _ENDPOINTS[first["shop"][row]]
        lived.truth.plant(source, "dispense", ids[row], kind, int(seen[row]), of[row])
    _note_changes(lived, sold)
    for row in np.flatnonzero(first["late"] == 1).tolist():
        posted = str(np.datetime64(int(first["changed"][row]), "ms"))
        lived.truth.plant("pharmacy_chain", "dispense", ids[row], "late_commit", int(seen[row]), posted)
    return _note_customers(lived, first, seen, known)


def _note_changes(lived: Lived, sold: Columns) -> None:
    """Wrong quantities with their correction, and deletions."""
    second = chosen(sold, sold["version"] > 1)
    ids, seen = record_names(second, second["number"]), _seen_ms(second, lived)
    for row, id_ in enumerate(ids.tolist()):
        is_deleted, at = second["deleted"][row] == 1, int(seen[row])
        source, true = _ENDPOINTS[second["shop"][row]], second["true_quantity"][row]
        kind = "deleted" if is_deleted else "corrected"
        lived.truth.plant(source, "dispense", id_, kind, at, None, None if is_deleted else true)
    wrong = chosen(sold, (sold["version"] == 1) & (sold["quantity"] != sold["true_quantity"]))
    seen = _seen_ms(wrong, lived)
    for row, id_ in enumerate(record_names(wrong, wrong["number"]).tolist()):
        source, served, true = (
            _ENDPOINTS[wrong["shop"][row]],
            wrong["quantity"][row],
            wrong["true_quantity"][row],
        )
        lived.truth.plant(source, "dispense", id_, "wrong_quantity", int(seen[row]), served, true)


def _seen_ms(t: Columns, lived: Lived) -> np.ndarray:
    """When others see each row of ``sales.rows``: in the chain's database, or with the file it stands in."""
    seen = visible_ms(t, lived)
    for shop in (LINDEN, ANKER):
        seen = np.where(t["shop"] == shop, file_seen_ms(lived, shop), seen)
    return seen


def _note_customers(lived: Lived, first: Columns, seen: np.ndarray, known: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(first["person"] >= 0)
    keeper = KEEPER[first["shop"]]
    keys = first["person"] * 6 + keeper * 2 + first["card"]
    order = rows[np.argsort(seen[rows], kind="stable")]
    fresh, at = np.unique(keys[order], return_index=True)
    new = order[at[~np.isin(fresh, known)]]
    lived.truth.add(
        "identities",
        person_id=first["person"][new],
        source=_ENDPOINTS[first["shop"][new]],
        source_id=customer_numbers(lived.seed, first["person"][new], keeper[new], first["card"][new]),
        visible_at=seen[new],
    )
    return np.union1d(known, fresh)


def _requests(lived: Lived, t: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Hospital source and FHIR id of each row's MedicationRequest, None without one."""
    sources = np.full(len(t["request"]), None, dtype=object)
    ids = sources.copy()
    for habits in HOSPITALS:
        rows = np.flatnonzero((t["hospital"] == habits.code) & (t["request"] >= 0))
        sources[rows] = habits.source
        ids[rows] = record_ids(habits, "MedicationRequest", t["request"][rows], lived.seed)
    return sources, ids
