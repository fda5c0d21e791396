"""The lake against the simulator's answer key: was what was planted found, and is what was published right?

Runs inside the landing and vault zone: it turns the key's ids into pseudonyms to find them in the lake. It prints
counts and shares, never a record. Each module judges a part:

    records       receipts, spoilt lines, deletions, mistakes, stays that never were, patients
    values        units and decimal points; values that were right
    people        who is one person
    merges        what messages merge and part
    surroundings  exposures, and readings that no instrument can have made
    dispensing    packs by person and medication (``packs``)
    consent       what came without it
    risks         the models, by true risks or planted declines, and scores at the hospitals
    mining        clusters, rules, anomalies and outbreaks that mining found
    forecasts     the forecasting models in use

Of the answer key nothing is judged here by: late, changed, duplicates, oddities, message results, the wearables' daily
values, energy corrections, spells, residences' dates, prices. Tests of the sources hold those.
"""

from __future__ import annotations

from collections.abc import Iterator

from infra.evaluate import (
    consent,
    dispensing,
    forecasts,
    merges,
    mining,
    people,
    records,
    risks,
    surroundings,
    values,
)
from infra.evaluate.figures import HOSPITALS, Line, seen_until
from jobs.errors import CitywellError
from jobs.lake import catalog
from jobs.settings import settings

__all__ = ["Line", "evaluate"]


def evaluate() -> Iterator[Line]:
    """The figures. Raises CitywellError when there is no simulated city, or nothing of its hospitals is loaded."""
    key = settings().city_dir / "answer_key"
    if not (key / "discharges.parquet").exists():
        raise CitywellError(
            "There is no answer key", where=str(key), do="run `make demo`; only the simulated city has one"
        )
    seen = seen_until(HOSPITALS)
    if not seen:
        raise CitywellError(
            "Nothing has been loaded yet",
            where="control database",
            do="run `make demo`, or ingest a hospital",
        )
    with catalog.lake_session() as spark:
        yield from records.figures(spark, key, seen)
        yield from values.figures(spark, key, seen)
        yield from people.figures(spark, key)
        yield from merges.figures(spark, key)
        yield from surroundings.figures(spark, key)
        yield from dispensing.figures(spark, key)
        yield from consent.figures(spark, key)
    yield from risks.figures(key, seen)
    yield from mining.figures(key)
    yield from forecasts.figures()
