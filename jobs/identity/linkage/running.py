"""A run of linkage: what has changed since the last one is scored against everybody, then persons are settled, first by
scores, then by what hospitals tell.

Runs in a process of its own, as the role ``vault_linker``. Before demographics are read, a row of ``vault.link_run`` is
committed that says who reads them and what for. Scores depend on the two records and the fitted model alone, and which
values are crowded on the records as they stand, so batches in any order and in any number of runs give the same pairs;
the model is fitted anew, and everybody scored anew, when there is another one, when records have grown by a quarter, or
when asked (``full``).
"""

from __future__ import annotations

import io
import logging
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc_csv

from jobs import postgres
from jobs.crash import crash_here
from jobs.identity import vault
from jobs.identity.linkage import models, scoring, settling
from jobs.identity.linkage.audit import Because
from jobs.identity.linkage.records import RECORD_SCHEMA
from jobs.identity.linkage.settling import Settled
from jobs.identity.linkage.stored import PairKey, Told

log = logging.getLogger(__name__)

ACTOR = "linkage"
PURPOSE = "link records of one person"


@dataclass(frozen=True)
class Result:
    """Counts of a run. records: described patients. scored: those scored against everybody, because they changed or who
    shares a value with them did. pairs: that are held."""

    run_id: str
    is_full: bool
    records: int
    scored: int
    pairs: int
    merged: int
    split: int
    changed: int
    review: int

    def summary(self) -> dict[str, Any]:
        return asdict(self)


def run(
    conn: vault.Connection,
    *,
    told: Mapping[PairKey, Told] | None = None,
    full: bool = False,
    actor: str = ACTOR,
    run_id: str = "",
) -> Result:
    """Link everybody who has been described. Running it again changes nothing.

    conn: of the role ``vault_linker``, in autocommit. told: all that hospitals tell (``told.verdicts``); by default
    what they told before. full: fit the model anew, score everybody. Raises CitywellError, without a value, when the
    vault or the scoring fails; nothing is changed then.
    """
    run_id = run_id or uuid.uuid4().hex
    with postgres.discreet(vault.DATABASE):
        _announce(conn, run_id, actor, PURPOSE)
    with settling.changing(conn):
        trained = models.current(conn)
        records, changed = _records(conn)
        model = None if full else models.fitted(conn, trained, records.num_rows)
        is_full = model is None
        if model is None:
            model = models.fit(conn, trained, records)
        if is_full or changed:
            scored = scoring.score(
                records,
                model,
                changed=None if is_full else changed,
                crowded=_crowded(conn),
                least_weight=trained.thresholds.review,
            )
            changed = scored.keys
            _replace_pairs(conn, scored, is_full=is_full)
            _mark_linked(conn)
        crash_here("linkage:scored")
        settled = settling.settle(conn, Because(actor, run_id, f"model {trained.model_id}"))
        if told is not None and (heeded := settling.tell(conn, told, run_id)):
            settled = settled.then(heeded)
        count = conn.execute("select count(*) from vault.link_pair").fetchone()
        assert count is not None
        crash_here("linkage:settled")
    result = _result(run_id, settled, records.num_rows, len(changed), count[0], is_full=is_full)
    log.info("linkage: %s", result)
    return result


def _result(run_id: str, settled: Settled, records: int, scored: int, pairs: int, *, is_full: bool) -> Result:
    return Result(
        run_id=run_id,
        is_full=is_full,
        records=records,
        scored=scored,
        pairs=pairs,
        merged=settled.merged,
        split=settled.split,
        changed=settled.changed,
        review=settled.review,
    )


def everybody(conn: vault.Connection, purpose: str) -> pa.Table:
    """Everybody's demographics (RECORD_SCHEMA), for training. Leaves a trace first."""
    with postgres.discreet(vault.DATABASE):
        _announce(conn, uuid.uuid4().hex, ACTOR, purpose)
        with conn.transaction():
            return _records(conn)[0]


def _announce(conn: vault.Connection, run_id: str, actor: str, purpose: str) -> None:
    """Leave a lasting trace before anything is read."""
    conn.execute(
        "insert into vault.link_run (run_id, actor, purpose, records) "
        "select %s, %s, %s, count(*) from vault.demographics",
        (run_id, actor, purpose),
    )


def _records(conn: vault.Connection) -> tuple[pa.Table, list[str]]:
    """Everybody's demographics (RECORD_SCHEMA), and whom no run has scored as they stand now.

    Those are remembered by what was read: a record described anew meanwhile stays to be scored.
    """
    conn.execute(
        "create temporary table being_linked on commit drop as "
        "select patient_key, digest from vault.demographics where not is_linked"
    )
    names = RECORD_SCHEMA.names
    copied = io.BytesIO()
    with (
        conn.cursor() as cursor,
        cursor.copy(
            f"copy (select {', '.join(names)} from vault.demographics order by patient_key) "  # noqa: S608
            "to stdout (format csv, force_quote *)"
        ) as copy,
    ):
        for part in copy:
            copied.write(part)
    changed = [row[0] for row in conn.execute("select patient_key from being_linked order by 1")]
    copied.seek(0)
    if not copied.getbuffer().nbytes:
        return RECORD_SCHEMA.empty_table(), changed
    table = pc_csv.read_csv(
        copied,
        read_options=pc_csv.ReadOptions(column_names=names),
        parse_options=pc_csv.ParseOptions(newlines_in_values=True),
        convert_options=pc_csv.ConvertOptions(
            column_types=RECORD_SCHEMA, strings_can_be_null=False, quoted_strings_can_be_null=False
        ),
    )
    return table, changed


def _crowded(conn: vault.Connection) -> list[tuple[str, str]]:
    """Block and value of the blocks that were crowded when pairs were last scored."""
    return conn.execute("select block, value from vault.link_crowded").fetchall()


def _replace_pairs(conn: vault.Connection, scored: scoring.Scored, *, is_full: bool) -> None:
    if is_full:
        conn.execute("delete from vault.link_pair")
    else:
        conn.execute(
            "delete from vault.link_pair where key_a = any(%(keys)s) or key_b = any(%(keys)s)",
            {"keys": scored.keys},
        )
    conn.execute("delete from vault.link_crowded")
    columns = (column.to_pylist() for column in scored.pairs.columns)
    with conn.cursor() as cursor:
        with cursor.copy("copy vault.link_pair (key_a, key_b, weight, rule, against) from stdin") as copy:
            for row in zip(*columns, strict=True):
                copy.write_row(row)
        with cursor.copy("copy vault.link_crowded (block, value) from stdin") as copy:
            for row in scored.crowded:
                copy.write_row(row)


def _mark_linked(conn: vault.Connection) -> None:
    conn.execute(
        "update vault.demographics as d set is_linked = true from being_linked as b "
        "where d.patient_key = b.patient_key and d.digest = b.digest and not d.is_linked"
    )
