"""From a champion and rows of features to rows of ``scores.risk``.

Grain: one score issued or withdrawn, ``risk_key`` and ``batch_id``. ``risk_key`` stands for source, patient, target and
encounter: what is said later of the same discharge (by a newer model, or after its record was corrected) has the same
key, and so takes the older one's place wherever only the newest (by ``scored_at``) is shown. ``scores.risk`` itself is
append-only: it keeps all. A score is taken back by a row of status ``withdrawn`` that repeats it.

``person_key`` is the person as known when the row was written. It is no part of ``risk_key``: when linkage finds that a
patient is of another person, what was said of a discharge stays what was said; a score that still counts is repeated
under the new person, with the same key, by the next scoring, and whoever shows scores shows the person as known now
(by ``patient_key``).
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pandas as pd
import pyarrow as pa

from jobs.errors import CitywellError
from ml import explain, models
from ml.question import Question
from ml.registry import Model
from ml.training import DIGITS

ROWS_AT_ONCE = 10_000
WORKERS = 2
"""Chunks that are scored at a time, each by a thread: LightGBM and NumPy work without the interpreter's lock."""
ACTIVE, WITHDRAWN = "active", "withdrawn"

_INSTANT = pa.timestamp("us", tz="UTC")
RISK_SCHEMA = pa.schema(
    [
        ("risk_key", pa.string()),
        ("source", pa.string()),
        ("person_key", pa.string()),
        ("patient_key", pa.string()),
        ("encounter_key", pa.string()),
        ("target", pa.string()),
        ("as_of", _INSTANT),
        ("probability", pa.float64()),
        ("band", pa.string()),
        ("is_alert", pa.bool_()),
        ("reasons", pa.string()),
        ("input_digest", pa.string()),
        ("model_name", pa.string()),
        ("model_version", pa.string()),
        ("data_versions", pa.string()),
        ("scored_at", _INSTANT),
        ("expires_at", _INSTANT),
        ("status", pa.string()),
        ("status_reason", pa.string()),
    ]
)
"""``reasons``: JSON array of {"feature", "label", "effect", "log_odds"}, weightiest first, empty below the
alert line. ``input_digest``: names the values of the features. ``data_versions``: JSON object, table -> Delta
version. ``expires_at``: when the question is answered. ``status``: active or withdrawn; ``status_reason``: why it was
withdrawn, null for an active one."""

_SQL_TYPES = {pa.string(): "string", _INSTANT: "timestamp", pa.float64(): "double", pa.bool_(): "boolean"}
RISK_COLUMNS = ", ".join(f"{field.name} {_SQL_TYPES[field.type]}" for field in RISK_SCHEMA)
"""RISK_SCHEMA in SQL."""


def score(
    model: Model,
    question: Question,
    tables: Iterable[pa.Table],
    *,
    data_versions: Mapping[str, int],
    scored_at: datetime,
    valid_days: int,
) -> Iterator[pa.Table]:
    """Scores of each of ``tables``, in RISK_SCHEMA, at most ROWS_AT_ONCE at a time.

    tables: source, person_key, patient_key, encounter_key (null for a question about a person), starts_at, as_of,
    input_digest and the features of ``question``, one row per case. valid_days: a score expires so many days after
    ``starts_at``. Raises CitywellError when the model wants features that are not there.
    """
    waiting: deque[Future[pa.Table]] = deque()
    with ThreadPoolExecutor(WORKERS) as pool:
        for chunk in _chunks(model, tables):
            waiting.append(
                pool.submit(_score_chunk, model, question, chunk, data_versions, scored_at, valid_days)
            )
            if len(waiting) > WORKERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _chunks(model: Model, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    for rows in tables:
        missing = [name for name in model.features if name not in rows.column_names]
        if missing:
            raise CitywellError(
                f"The champion wants features that are no longer made: {', '.join(missing)}.",
                where=f"model {model.version.name} version {model.version.number}",
                do="train again; the gate replaces a champion that cannot score",
            )
        for start in range(0, rows.num_rows, ROWS_AT_ONCE):
            yield rows.slice(start, ROWS_AT_ONCE)


def risk_key(source: str, patient_key: str, target: str, encounter_key: str | None) -> str:
    """32 hex digits; the same for every score of one target and discharge, or patient, whoever that turns out to be."""
    return hashlib.sha256("|".join((source, patient_key, target, encounter_key or "")).encode()).hexdigest()[
        :32
    ]


def _score_chunk(
    model: Model,
    question: Question,
    rows: pa.Table,
    data_versions: Mapping[str, int],
    scored_at: datetime,
    valid_days: int,
) -> pa.Table:
    x = rows.select(list(model.features)).to_pandas()
    probability = models.predict(model.pipeline, x).round(DIGITS)
    bands = [model.lines.band(p) for p in probability]
    is_alert = [band == "high" for band in bands]
    reasons = ["[]"] * len(x)
    alerts = [i for i, alert in enumerate(is_alert) if alert]
    for i, found in zip(alerts, _explained(model, question, x.iloc[alerts]), strict=True):
        reasons[i] = found
    keys = {name: rows[name].to_pylist() for name in ("source", "person_key", "patient_key", "encounter_key")}
    count = rows.num_rows
    return pa.table(
        {
            "risk_key": [
                risk_key(source, patient, question.name, encounter)
                for source, patient, encounter in zip(
                    keys["source"], keys["patient_key"], keys["encounter_key"], strict=True
                )
            ],
            **keys,
            "target": [question.name] * count,
            "as_of": rows["as_of"].to_pylist(),
            "probability": probability,
            "band": bands,
            "is_alert": is_alert,
            "reasons": reasons,
            "input_digest": rows["input_digest"].to_pylist(),
            "model_name": [model.version.name] * count,
            "model_version": [model.version.number] * count,
            "data_versions": [json.dumps(dict(data_versions), sort_keys=True)] * count,
            "scored_at": [scored_at] * count,
            "expires_at": [at + timedelta(days=valid_days) for at in rows["starts_at"].to_pylist()],
            "status": [ACTIVE] * count,
            "status_reason": [None] * count,
        },
        schema=RISK_SCHEMA,
    )


def _explained(model: Model, question: Question, x: pd.DataFrame) -> list[str]:
    asked = replace(question, features=tuple(f for f in question.features if f.name in model.features))
    found = explain.explain(model.pipeline, asked, x, model.typical)
    return [json.dumps([vars(reason) for reason in reasons]) for reasons in found]
