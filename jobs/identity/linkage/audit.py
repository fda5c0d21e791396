"""Each change of who is one person, with why and what was before: ``vault.link_audit``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from jobs import postgres
from jobs.errors import CitywellError
from jobs.identity import vault
from jobs.identity.linkage.clusters import Persons
from jobs.identity.linkage.stored import Decision, Held, Link, PairKey, Told

Kind = Literal["merge", "split", "rekey", "decision", "undo"]


@dataclass(frozen=True)
class Because:
    """Why persons change: who, in which run, what for; the decisions and what is told, before and after (None where
    there is none), what it undoes, and the rows to bring back."""

    actor: str
    run_id: str
    reason: str
    kind: Kind | None = None
    decisions_before: Mapping[PairKey, Decision | None] = field(default_factory=dict)
    decisions_after: Mapping[PairKey, Decision | None] = field(default_factory=dict)
    undoes: int | None = None
    restore: Mapping[str, Link] = field(default_factory=dict)
    told_before: Mapping[PairKey, Told | None] = field(default_factory=dict)
    told_after: Mapping[PairKey, Told | None] = field(default_factory=dict)

    def told_of(self, pairs: Collection[PairKey]) -> Because:
        """The part of what is told that is of ``pairs``, in the name of those who tell it."""
        before, after = (
            {pair: words[pair] for pair in pairs if pair in words}
            for words in (self.told_before, self.told_after)
        )
        words = {
            (said.source, said.kind if after[pair] else f"{said.kind} withdrawn")
            for pair in pairs
            if (said := after[pair] or before[pair])
        }
        return replace(
            self,
            actor=", ".join(sorted({source for source, _ in words})),
            reason=", ".join(sorted({kind for _, kind in words})),
            told_before=before,
            told_after=after,
        )


@dataclass(frozen=True)
class Audit:
    """A row of ``link_audit``."""

    audit_id: int
    at: datetime
    role: str
    actor: str
    run_id: str
    kind: Kind
    reason: str
    evidence: list[list[Any]]
    before: dict[str, list[Any]]
    after: dict[str, list[Any]]
    retired: list[str]
    decisions_before: list[list[Any]]
    decisions_after: list[list[Any]]
    told_before: list[list[Any]]
    told_after: list[list[Any]]
    undoes: int | None


def history(conn: vault.Connection, patient: str | None = None, *, limit: int = 100) -> list[Audit]:
    """Changes of who is one person, newest first; of one patient, or of the person with that key."""
    with postgres.discreet(vault.DATABASE), conn.cursor(row_factory=class_row(Audit)) as cursor:
        return cursor.execute(
            "select audit_id, at, role, actor, run_id, kind, reason, evidence, before, after, retired, "
            "decisions_before, decisions_after, told_before, told_after, undoes from vault.link_audit "
            "where %(key)s::text is null or before ? %(key)s or after ? %(key)s "
            "or exists (select from jsonb_array_elements(decisions_after) as d where %(key)s in (d ->> 0, d ->> 1)) "
            "order by audit_id desc limit %(limit)s",
            {"key": patient, "limit": limit},
        ).fetchall()


def one(conn: vault.Connection, audit_id: int) -> Audit:
    """The change of that id. Raises CitywellError when there is none, or it has been undone."""
    with conn.cursor(row_factory=class_row(Audit)) as cursor:
        row = cursor.execute(
            "select audit_id, at, role, actor, run_id, kind, reason, evidence, before, after, retired, "
            "decisions_before, decisions_after, told_before, told_after, undoes from vault.link_audit "
            "where audit_id = %s "
            "and not exists (select from vault.link_audit as u where u.undoes = %s)",
            (audit_id, audit_id),
        ).fetchone()
    if row is None:
        raise CitywellError(
            "There is no such change, or it has been undone",
            where=f"change {audit_id} of vault.link_audit",
            do="`citywell people history` lists the changes",
        )
    return row


def former(conn: vault.Connection, links: Mapping[str, Link]) -> dict[str, Link]:
    """The rows that patients had when they were last of the person that ``links`` gives them; not of those that never
    were."""
    rows = conn.execute(
        "select distinct on (was.key) was.key, was.value from vault.link_audit as a "
        "cross join lateral jsonb_each(a.before) as was "
        "inner join unnest(%s::text[], %s::text[]) as now (key, person_key) "
        "on was.key = now.key and was.value ->> 0 = now.person_key order by was.key, a.audit_id desc",
        (list(links), [link.person_key for link in links.values()]),
    )
    return {key: Link(row[0], datetime.fromisoformat(row[1]), row[2]) for key, row in rows}


def write(
    conn: vault.Connection,
    because: Because,
    now: datetime,
    held: Mapping[str, Held],
    wanted: Mapping[str, Link],
    group: Sequence[str],
    found: Persons,
) -> tuple[Kind, int]:
    """Write the row of a change of the patients ``group``; its kind and id."""
    before = {key: held[key].link for key in group}
    after = {key: wanted[key] for key in group}
    old, new = ({link.person_key for link in links.values()} for links in (before, after))
    kind: Kind = "merge" if len(new) < len(old) else "split" if len(new) > len(old) else "rekey"
    if before == after:
        kind = "decision"
    if because.kind == "undo":
        kind = "undo"
    evidence = {pair for key in group if (pair := found.joined_by.get(key)) is not None}
    row = conn.execute(
        "insert into vault.link_audit (at, actor, run_id, kind, reason, evidence, before, after, retired, "
        "decisions_before, decisions_after, told_before, told_after, undoes) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning audit_id",
        (
            now,
            because.actor,
            because.run_id,
            kind,
            because.reason,
            Jsonb([[p.a, p.b, p.weight, p.rule or "score"] for p in sorted(evidence, key=lambda p: p[:2])]),
            Jsonb({key: _row(link) for key, link in before.items()}),
            Jsonb({key: _row(link) for key, link in after.items()}),
            sorted(old - new),
            Jsonb(_rows(because.decisions_before)),
            Jsonb(_rows(because.decisions_after)),
            Jsonb(_told_rows(because.told_before)),
            Jsonb(_told_rows(because.told_after)),
            because.undoes,
        ),
    ).fetchone()
    assert row is not None
    return kind, int(row[0])


def decisions_of(rows: Iterable[Sequence[Any]]) -> dict[PairKey, Decision | None]:
    """The decisions in ``decisions_before`` or ``decisions_after`` by pair; None where there was none."""
    return {
        (a, b): None
        if verdict is None
        else Decision(verdict, datetime.fromisoformat(decided_at), actor, reason)
        for a, b, verdict, decided_at, actor, reason in rows
    }


def newest_on(conn: vault.Connection, pairs: Collection[PairKey]) -> int:
    """The newest change that decided on one of these pairs. At least one has."""
    row = conn.execute(
        "select max(a.audit_id) from vault.link_audit as a "
        "cross join lateral jsonb_array_elements(a.decisions_after) as d "
        "inner join unnest(%s::text[], %s::text[]) as p (key_a, key_b) "
        "on d ->> 0 = p.key_a and d ->> 1 = p.key_b",
        ([a for a, _ in pairs], [b for _, b in pairs]),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _row(link: Link) -> list[str]:
    return [link.person_key, link.linked_at.isoformat(), link.method]


def _rows(decisions: Mapping[PairKey, Decision | None]) -> list[list[Any]]:
    return [
        [*key, *(None,) * 4]
        if decision is None
        else [*key, decision.verdict, decision.decided_at.isoformat(), decision.actor, decision.reason]
        for key, decision in sorted(decisions.items(), key=lambda item: item[0])
    ]


def _told_rows(told: Mapping[PairKey, Told | None]) -> list[list[Any]]:
    return [
        [*pair] if word is None else [*pair, word.verdict, word.told_at.isoformat(), *word[2:]]
        for pair, word in sorted(told.items(), key=lambda item: item[0])
    ]
