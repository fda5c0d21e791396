"""What people got of each medication at pharmacies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pyspark.sql import SparkSession

from infra.evaluate import packs
from infra.evaluate.figures import HOSPITALS, Line, is_published, none_of, seen_until, share, told
from jobs.sources import load as load_source
from ml.answer_key import pseudonymisers

DISPENSED = "gold.fct_dispense"
LEAST_EXACT_PACKS = 0.99
"""Of those that can be known: some sales are wrong until their pharmacy puts them right."""
LEAST_RIGHT_REQUESTS = 0.95
LEAST_FOUND_REQUESTS = 0.9
"""Of the dispenses that have one in truth: 0.98 in a city of 2,000."""


def figures(spark: SparkSession, key: Path) -> Iterator[Line]:
    """Packs by person and medication, as published, against the truth; and the pairs that are off, by what was planted
    among their records. Nothing before a pharmacy is loaded."""
    seen = seen_until("pharmacy") if is_published(DISPENSED) else {}
    if not seen:
        return
    making = pseudonymisers([*seen, *load_source(HOSPITALS).endpoints])

    def pseudonym(source: str, kind: str, source_id: str) -> str:
        return making[source].key(kind, source_id)

    found = packs.compare(spark, key, seen, pseudonym)
    yield told("dispensed_packs_knowable", share(found.knowable, found.true), "share", found.true)
    exact = share(found.exact, found.knowable)
    yield Line(
        "dispensed_packs_exact",
        exact,
        "share",
        f">={LEAST_EXACT_PACKS}",
        exact >= LEAST_EXACT_PACKS,
        found.knowable,
    )
    yield none_of(
        "dispensed_pairs_off_unexplained", found.off.get(packs.UNEXPLAINED, 0), "pairs", found.pairs
    )
    for cause in (*packs.CAUSES, packs.LINKAGE):
        if cause in found.off:
            yield told(f"dispensed_pairs_off_{cause}", found.off[cause], "pairs", found.pairs)
    right = share(found.inferred_right, found.inferred)
    yield Line(
        "dispensed_requests_right",
        right,
        "share",
        f">={LEAST_RIGHT_REQUESTS}",
        right >= LEAST_RIGHT_REQUESTS,
        found.inferred,
    )
    met, least = share(found.inferred_right, found.prescribed), LEAST_FOUND_REQUESTS
    yield Line("dispensed_requests_found", met, "share", f">={least}", met >= least, found.prescribed)
