"""A write-back that is killed at any step is run again, and the outcome is that of an undisturbed run."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from infra.stack.postgres import Cluster
from jobs.identity import vault
from jobs.settings import settings
from jobs.writeback import fhir, serving
from jobs.writeback.risk_assessment import Score

SOURCE = "hospital_given"
AS_OF = datetime(2026, 1, 2, tzinfo=UTC)


def is_killed_at(point: str, step: Callable[[], object]) -> bool:
    """Whether ``step``, run in a process of its own, reaches ``point`` and dies there."""
    process = os.fork()
    if process == 0:
        os.environ["CITYWELL_CRASH_AT"] = point
        settings.cache_clear()
        try:
            step()
        finally:
            os._exit(1)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status) == 137


@pytest.mark.parametrize("point", ["writeback:queued", "writeback:sent", "writeback:recorded"])
def test_each_score_arrives_once(
    point: str,
    postgres: Cluster,
    hospital: Any,
    control_conn: psycopg.Connection[Any],
    vault_conn: vault.Connection,
) -> None:
    scores = [
        Score(
            f"{point}-{n}",
            f"{n:032x}",
            None,
            SOURCE,
            "readmission_30d",
            AS_OF,
            0.1,
            "low",
            "readmission",
            "3",
            is_alert=True,
        )
        for n in range(20)
    ]
    known = [
        vault.Identity(s.patient_key, "k", SOURCE, "Patient", f"p{n}", AS_OF) for n, s in enumerate(scores)
    ]
    vault.register(vault_conn, "batch", known, method="test")

    def run() -> fhir.WritebackResult:
        with (
            psycopg.connect(postgres.dsn("control", "control"), autocommit=True) as conn,
            psycopg.connect(postgres.dsn("vault", vault.CLIENT_ROLE)) as identities,
        ):
            return fhir.write_back(SOURCE, scores, conn=conn, vault_conn=identities, run_id="run")

    assert is_killed_at(point, run)
    assert run() == fhir.WritebackResult(sent=20, refused=0, pending=0)
    found = fhir.verify(SOURCE, scores, vault_conn=vault_conn, run_id="run")
    assert (found.matching, found.missing, found.different) == (20, (), ())


@pytest.mark.parametrize(
    ("point", "loaded"), [("serving:staged", 0), ("serving:merged", 0), ("serving:loaded", 2)]
)
def test_serving_is_loaded_whole_or_not_at_all(
    point: str, loaded: int, postgres: Cluster, serving_as: Callable[[str], serving.Connection]
) -> None:
    def row(person: str) -> dict[str, Any]:
        texts = dict.fromkeys(serving.COLUMNS, person)
        times = {"as_of": AS_OF, "scored_at": AS_OF, "expires_at": AS_OF + timedelta(days=30)}
        return texts | times | {"probability": 0.5, "reasons": "[]"}

    scores = pa.Table.from_pylist([row("anna"), row("ben")])

    def run() -> serving.LoadResult:
        with psycopg.connect(postgres.dsn("serving", serving.OWNER_ROLE)) as conn:
            return serving.load(conn, scores, run_id="run", data_versions={})

    assert is_killed_at(point, run)
    care = serving_as("care")
    assert care.execute("select count(*) from serving.risk").fetchone() == (loaded,)
    assert run().rows == 2
    assert care.execute("select count(*) from serving.risk").fetchone() == (2,)
    assert care.execute("select run_id, rows_loaded from serving.load").fetchall() == [("run", 2)]
