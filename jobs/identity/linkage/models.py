"""The linkage model in use: the newest of ``vault.link_model``, or the one that comes with Citywell.

The model that comes with Citywell was trained and its thresholds chosen on a simulated city, whose answer key says who
is who (``default_model.json``; ``python -m infra.linkage_model`` makes it, ``citywell people train`` one for the
records at hand). m and u probabilities hold no value of a person; the shares of names do and are taken from the vault's
own records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources
from typing import Any

import msgspec
import pyarrow as pa
from psycopg.types.json import Jsonb

from jobs.identity import vault
from jobs.identity.linkage import scoring
from jobs.identity.linkage.clusters import Thresholds

DEFAULT_ID = 0
GROWN = 1.25
"""A model is fitted anew, and everybody scored anew, when there are so many times the records it was fitted to."""


@dataclass(frozen=True)
class Trained:
    """A model as it was trained. evidence: what it was trained on and what its thresholds gave there."""

    model_id: int
    settings: Mapping[str, Any]
    thresholds: Thresholds
    evidence: Mapping[str, Any]

    @property
    def pairs_per_record(self) -> float:
        return float(self.evidence["pairs_per_record"])


def current(conn: vault.Connection) -> Trained:
    """The model in use."""
    row = conn.execute(
        "select model_id, settings, thresholds, evidence from vault.link_model order by model_id desc limit 1"
    ).fetchone()
    return _default() if row is None else Trained(row[0], row[1], Thresholds(**row[2]), row[3])


def store(
    conn: vault.Connection,
    settings: Mapping[str, Any],
    thresholds: Thresholds,
    evidence: Mapping[str, Any],
    *,
    actor: str,
    origin: str,
) -> int:
    """Put a model into use; the next run fits it and scores everybody. Its id."""
    row = conn.execute(
        "insert into vault.link_model (actor, origin, settings, thresholds, evidence) values (%s, %s, %s, %s, %s) "
        "returning model_id",
        (actor, origin, Jsonb(dict(settings)), Jsonb(asdict(thresholds)), Jsonb(dict(evidence))),
    ).fetchone()
    assert row is not None
    return int(row[0])


def fitted(conn: vault.Connection, trained: Trained, count: int) -> scoring.Model | None:
    """The model as it was fitted to the people here; None when it never was, or to much fewer than ``count``."""
    row = conn.execute("select model_id, records, prior from vault.link_calibration").fetchone()
    if row is None or row[0] != trained.model_id or count > GROWN * row[1]:
        return None
    terms: dict[str, dict[str, float]] = {}
    for attribute, term, share in conn.execute("select attribute, term, share from vault.link_term"):
        terms.setdefault(attribute, {})[term] = share
    return scoring.Model(trained.settings, row[2], terms)


def fit(conn: vault.Connection, trained: Trained, records: pa.Table) -> scoring.Model:
    """Fit the model to ``records`` and keep that, for runs over what changes later."""
    model = scoring.calibrated(records, trained.settings, trained.pairs_per_record)
    conn.execute(
        "insert into vault.link_calibration (model_id, calibrated_at, records, prior) values (%s, %s, %s, %s) "
        "on conflict (is_only) do update set model_id = excluded.model_id, records = excluded.records, "
        "calibrated_at = excluded.calibrated_at, prior = excluded.prior",
        (trained.model_id, datetime.now(UTC), records.num_rows, model.prior),
    )
    conn.execute("delete from vault.link_term")
    with (
        conn.cursor() as cursor,
        cursor.copy("copy vault.link_term (attribute, term, share) from stdin") as copy,
    ):
        for attribute, shares in model.terms.items():
            for term, share in shares.items():
                copy.write_row((attribute, term, share))
    return model


@lru_cache(maxsize=1)
def _default() -> Trained:
    text = resources.files("jobs.identity.linkage").joinpath("default_model.json").read_bytes()
    read = msgspec.json.decode(text)
    return Trained(DEFAULT_ID, read["settings"], Thresholds(**read["thresholds"]), read["evidence"])
