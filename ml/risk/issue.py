"""What a version says of open cases, appended part by part: a city of a million is never in memory as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.errors import CitywellError
from jobs.lake import engine
from ml import registry, scoring
from ml.lake import Lake
from ml.risk import meaning, scores
from ml.risk.declared import Risk

PART_ROWS = 100_000
"""Scores of one append."""


@dataclass(frozen=True)
class Issued:
    """added: rows. bands: how many of what was said, by band."""

    added: int = 0
    bands: Mapping[str, int] = field(default_factory=dict)


def issue(
    lake: Lake, risk: Risk, version: registry.Version, asked: DataFrame, as_of: datetime, table: str
) -> Issued:
    """Append to ``table`` (``scores.SCORES`` or ``SHADOW``) what the version says of the question's open cases and has
    not said there yet.

    A run that is stopped between two parts says the rest when it is run again. Raises CitywellError when the model
    cannot score the present features, or these mean something else than it has learnt; of an unexpected error it names
    the kind alone, as its message may quote values.
    """
    try:
        return _issue(lake, risk, version, asked, as_of, table)
    except (KeyError, TypeError, ValueError) as error:
        raise CitywellError(
            f"The model does not fit the present features ({type(error).__name__}).",
            where=f"model {version.name} version {version.number}",
            do="train again; the gate replaces a champion that cannot score",
        ) from None


def _issue(
    lake: Lake, risk: Risk, version: registry.Version, asked: DataFrame, as_of: datetime, table: str
) -> Issued:
    model = meaning.load(risk, version)
    unsaid = scores.unsaid(lake.spark, risk, asked, version.number, as_of, table)
    chunks = scoring.score(
        model,
        risk.question,
        engine.batches(unsaid),
        data_versions=lake.inputs,
        scored_at=datetime.now(UTC),
        valid_days=risk.valid_days or risk.horizon_days,
    )
    added, bands = 0, Counter[str]()
    for part in _parts(chunks):
        batch_id = scores.batch_id(risk.name, as_of, version.number, lake.inputs, part)
        added += scores.add(lake.spark, part, batch_id, table)
        bands.update(part["band"].to_pylist())
    return Issued(added, bands)


def _parts(chunks: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The chunks, joined to tables of about PART_ROWS; one empty table where there is none."""
    held = [scoring.RISK_SCHEMA.empty_table()]
    is_first = True
    for chunk in chunks:
        held.append(chunk)
        if sum(one.num_rows for one in held) >= PART_ROWS:
            yield pa.concat_tables(held)
            held, is_first = [], False
    if held and (is_first or any(one.num_rows for one in held)):
        yield pa.concat_tables(held)
