"""The vault's tables of linkage, read and written: links, decisions, what is told, the review queue."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from psycopg.rows import class_row

from jobs import postgres
from jobs.identity import vault
from jobs.identity.demographics import is_valid_national_id
from jobs.identity.linkage.clusters import Patient, Verdict

ToldVerdict = Literal["link", "apart", "none"]
PairKey = tuple[str, str]
OWN = "source_patient"
"""Method of a patient that is a person of its own."""


class Link(NamedTuple):
    """The row of ``person_link`` of a patient, but its key."""

    person_key: str
    linked_at: datetime
    method: str


class Held(NamedTuple):
    """A link as it stands; when its row was made, and when its patient was first seen."""

    link: Link
    registered_at: datetime
    first_seen_at: datetime


class Decision(NamedTuple):
    """What somebody decided on a pair."""

    verdict: Verdict
    decided_at: datetime
    actor: str
    reason: str


class Told(NamedTuple):
    """What is told of a pair (see ``told``); ``none``: a merge was taken back. source, kind, key: who tells it, by
    what, in which message or record."""

    verdict: ToldVerdict
    told_at: datetime
    source: str
    kind: str
    key: str


@dataclass(frozen=True)
class InReview:
    """A pair that waits for somebody to decide."""

    key_a: str
    key_b: str
    weight: float
    why: str
    queued_at: datetime


def links(conn: vault.Connection, patients: Sequence[str]) -> dict[str, Link]:
    """Links by patient; those that are not known are left out."""
    rows = conn.execute(
        "select patient_key, person_key, linked_at, method from vault.person_link where patient_key = any(%s)",
        (list(patients),),
    )
    return {key: Link(*row) for key, *row in rows}


def held(conn: vault.Connection, keys: Collection[str]) -> dict[str, Held]:
    """Links of these patients, and of all that are linked to another or have one linked to them."""
    rows = conn.execute(
        "select l.patient_key, l.person_key, l.linked_at, l.method, l.registered_at, i.first_seen_at "
        "from vault.person_link as l inner join vault.source_identity as i on l.patient_key = i.pseudonym "
        "where l.patient_key = any(%s) or l.person_key <> l.patient_key "
        "or l.patient_key in (select person_key from vault.person_link where person_key <> patient_key)",
        (list(keys),),
    )
    return {row[0]: Held(Link(*row[1:4]), row[4], row[5]) for row in rows}


def patients(conn: vault.Connection) -> dict[str, Patient]:
    """House and valid national id of the patients that a pair or a decision names."""
    rows = conn.execute(
        "select patient_key, house, national_id from vault.demographics where patient_key in ("
        "select key_a from vault.link_pair union select key_b from vault.link_pair "
        "union select key_a from vault.link_decision union select key_b from vault.link_decision "
        "union select key_a from vault.link_told union select key_b from vault.link_told)"
    )
    return {key: Patient(house, id_ if is_valid_national_id(id_) else "") for key, house, id_ in rows}


def decisions(conn: vault.Connection) -> dict[PairKey, Decision]:
    """All that is decided, by pair."""
    rows = conn.execute("select key_a, key_b, verdict, decided_at, actor, reason from vault.link_decision")
    return {(a, b): Decision(*row) for a, b, *row in rows}


def write_decisions(conn: vault.Connection, decisions: Mapping[PairKey, Decision | None]) -> None:
    """Replace the decisions on these pairs; None leaves a pair without one."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "delete from vault.link_decision where key_a = %s and key_b = %s",
            [list(key) for key in decisions],
        )
        cursor.executemany(
            "insert into vault.link_decision (key_a, key_b, verdict, decided_at, actor, reason) "
            "values (%s, %s, %s, %s, %s, %s)",
            [[*key, *decision] for key, decision in decisions.items() if decision is not None],
        )


def told(conn: vault.Connection) -> dict[PairKey, Told]:
    """All that is told, by pair."""
    rows = conn.execute("select key_a, key_b, verdict, told_at, source, kind, said_in from vault.link_told")
    return {(a, b): Told(*row) for a, b, *row in rows}


def write_told(conn: vault.Connection, told: Mapping[PairKey, Told]) -> None:
    """Make ``told`` all that is told."""
    conn.execute("delete from vault.link_told")
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy vault.link_told (key_a, key_b, verdict, told_at, source, kind, said_in) from stdin"
        ) as copy,
    ):
        for pair, word in told.items():
            copy.write_row((*pair, *word))


def write_links(conn: vault.Connection, links: Mapping[str, Link]) -> None:
    """Write these links over those of the same patients."""
    if not links:
        return
    with conn.cursor() as cursor:
        cursor.execute(
            "create temporary table relinked (patient_key text, person_key text, linked_at timestamptz, method text) "
            "on commit drop"
        )
        with cursor.copy("copy relinked from stdin") as copy:
            for key, link in links.items():
                copy.write_row((key, *link))
        cursor.execute(
            "update vault.person_link as l set person_key = r.person_key, linked_at = r.linked_at, "
            "method = r.method from relinked as r where l.patient_key = r.patient_key"
        )
        cursor.execute("drop table relinked")


def review(conn: vault.Connection) -> list[InReview]:
    """The pairs that wait for somebody, most probable first."""
    with postgres.discreet(vault.DATABASE), conn.cursor(row_factory=class_row(InReview)) as cursor:
        return cursor.execute(
            "select key_a, key_b, weight, why, queued_at from vault.link_review order by weight desc, key_a, key_b"
        ).fetchall()


def write_review(conn: vault.Connection, queue: Mapping[PairKey, tuple[float, str]], now: datetime) -> None:
    """Make the queue equal to ``queue``; a pair that was in it keeps its place in time."""
    queued = {
        (a, b): at for a, b, at in conn.execute("select key_a, key_b, queued_at from vault.link_review")
    }
    conn.execute("delete from vault.link_review")
    with (
        conn.cursor() as cursor,
        cursor.copy("copy vault.link_review (key_a, key_b, weight, why, queued_at) from stdin") as copy,
    ):
        for key, (weight, why) in queue.items():
            copy.write_row((*key, weight, why, queued.get(key, now)))
