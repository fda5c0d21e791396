"""Who is one person: pairs and decisions turned into ``vault.person_link``, each change with a row of ``link_audit``.

A person's key is the pseudonym of its member that was registered first (ties: the smaller), so it is a function of who
the members are: a new member changes no key, of two persons that become one the older key stays, and undoing gives back
the keys of before. Functions take a connection of the role ``vault_linker`` in autocommit; one change at a time.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import product
from typing import Any, Literal, NamedTuple

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from jobs import postgres
from jobs.errors import CitywellError
from jobs.identity import vault
from jobs.identity.demographics import is_valid_national_id
from jobs.identity.linkage import models
from jobs.identity.linkage.clusters import Pair, Patient, Persons, Verdict, pair_key, persons

Kind = Literal["merge", "split", "rekey", "decision", "undo"]
ToldVerdict = Literal["link", "apart", "none"]
PairKey = tuple[str, str]
OWN = "source_patient"
"""Method of a patient that is a person of its own."""


class Link(NamedTuple):
    """The row of ``person_link`` of a patient, but its key."""

    person_key: str
    linked_at: datetime
    method: str


class _Held(NamedTuple):
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
class Settled:
    """Persons after a change. merged, split: changes of that kind; changed: patients whose person is another now.
    audit_ids: their rows of ``link_audit``. review: pairs that wait for somebody."""

    merged: int
    split: int
    changed: int
    review: int
    audit_ids: tuple[int, ...]

    def then(self, next_: Settled) -> Settled:
        """Both, one after the other."""
        return Settled(
            self.merged + next_.merged,
            self.split + next_.split,
            self.changed + next_.changed,
            next_.review,
            self.audit_ids + next_.audit_ids,
        )


@dataclass(frozen=True)
class Undone:
    """A change taken back. is_exact: every patient is again who it was before it; not so when newer records or
    decisions say something else."""

    audit_id: int
    is_exact: bool


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


@dataclass(frozen=True)
class InReview:
    """A pair that waits for somebody to decide."""

    key_a: str
    key_b: str
    weight: float
    why: str
    queued_at: datetime


def merge(conn: vault.Connection, one: str, other: str, reason: str, *, actor: str, run_id: str = "") -> int:
    """Two patients are one person: stands above every score, and above what is told. The id of its audit row.

    Raises CitywellError when a patient is not known, or somebody decided that members of the two are apart.
    """
    with _changing(conn):
        _require_known(conn, [one, other])
        decision = Decision("link", datetime.now(UTC), actor, reason)
        audit_id = _decide(conn, {pair_key(one, other): decision}, actor, run_id, reason)
        if len({link.person_key for link in _links(conn, [one, other]).values()}) > 1:
            raise CitywellError(
                "Somebody has decided that members of these two persons are apart",
                where=f"patients {one} and {other}",
                do="see `citywell people history` of both; undo that decision, or merge the two that a message put "
                "apart, then merge again",
            )
    return audit_id


def split(
    conn: vault.Connection, patients: Sequence[str], reason: str, *, actor: str, run_id: str = ""
) -> int:
    """These patients are one person, and nobody else's record is theirs. The id of its audit row.

    Raises CitywellError when a patient is not known, they are not of one person, or all of its members are named.
    """
    with _changing(conn):
        _require_known(conn, patients)
        persons_of = {link.person_key for link in _links(conn, patients).values()}
        others = [
            row[0]
            for row in conn.execute(
                "select patient_key from vault.person_link where person_key = any(%s) and patient_key <> all(%s)",
                (list(persons_of), list(patients)),
            )
        ]
        if len(persons_of) > 1 or not others:
            raise CitywellError(
                "Only some of the patients of one person can be split off",
                where=f"{len(patients)} patients of {len(persons_of)} persons, {len(others)} others",
                do="name patients of one person, and not all of them",
            )
        decision = Decision("apart", datetime.now(UTC), actor, reason)
        pairs = {pair_key(a, b): decision for a, b in product(patients, others)}
        return _decide(conn, pairs, actor, run_id, reason)


def reject(conn: vault.Connection, one: str, other: str, reason: str, *, actor: str, run_id: str = "") -> int:
    """Two patients are not one person, whatever their records score. The id of its audit row."""
    with _changing(conn):
        _require_known(conn, [one, other])
        decision = Decision("apart", datetime.now(UTC), actor, reason)
        return _decide(conn, {pair_key(one, other): decision}, actor, run_id, reason)


def unmerge(conn: vault.Connection, audit_id: int, reason: str, *, actor: str, run_id: str = "") -> Undone:
    """Take an audited change back, rows and all. A change that somebody decided is undone by taking the decision back;
    one that scores made, by deciding that its patients are what they were.

    Raises CitywellError when there is no such change or it has been undone.
    """
    with _changing(conn):
        audit = _audit(conn, audit_id)
        before = {
            key: Link(row[0], datetime.fromisoformat(row[1]), row[2]) for key, row in audit.before.items()
        }
        if audit.decisions_after:
            decisions = {(row[0], row[1]): _decision(row[2:]) for row in audit.decisions_before}
        else:
            decisions = dict(_as_it_was(audit, actor, reason))
        held = _decisions(conn)
        previous = {key: held.get(key) for key in decisions}
        _write_decisions(conn, decisions)
        because = Because(
            actor,
            run_id,
            reason,
            kind="undo",
            decisions_before=previous,
            decisions_after=decisions,
            undoes=audit_id,
            restore=before,
        )
        settled = settle(conn, because)
        is_exact = _links(conn, list(before)) == before
    return Undone(settled.audit_ids[0], is_exact)


def tell(conn: vault.Connection, told: Mapping[PairKey, Told], run_id: str) -> Settled | None:
    """Make ``told`` all that is told of who is one person; None where that changes nothing. Inside ``changing``.

    Each change has its row of ``link_audit``. A patient that returns to a person it was of gets the row back that it
    had then, so that taking a word back leaves no trace elsewhere.
    """
    held = _told(conn)
    if held == dict(told):
        return None
    _write_told(conn, told)
    pairs = sorted(pair for pair in {*held, *told} if _wording(held.get(pair)) != _wording(told.get(pair)))
    if not pairs:
        return None
    because = Because(
        "linkage",
        run_id,
        "told",
        told_before={pair: held.get(pair) for pair in pairs},
        told_after={pair: told.get(pair) for pair in pairs},
    )
    return settle(conn, because)


def review(conn: vault.Connection) -> list[InReview]:
    """The pairs that wait for somebody, most probable first."""
    with postgres.discreet(vault.DATABASE), conn.cursor(row_factory=class_row(InReview)) as cursor:
        return cursor.execute(
            "select key_a, key_b, weight, why, queued_at from vault.link_review order by weight desc, key_a, key_b"
        ).fetchall()


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


def describe(
    conn: vault.Connection, keys: Sequence[str], access: vault.Access
) -> Mapping[str, dict[str, str]]:
    """Identity attributes of patients, for somebody who must decide. Leaves a row in ``access_audit`` first."""
    found: dict[str, dict[str, str]] = {}
    with postgres.discreet(vault.DATABASE):
        with conn.transaction():
            asked = conn.execute(
                "select vault.request_access(%s, %s, %s, %s)",
                (list(keys), access.purpose, access.actor, access.run_id),
            ).fetchone()
        with conn.transaction():
            cursor = conn.execute("select * from vault.read_demographics(%s)", asked)
            names = [column.name for column in cursor.description or ()]
            for row in cursor:
                values = dict(zip(names, row, strict=True))
                found[values["patient_key"]] = {
                    name: values[name]
                    for name in (
                        *("source", "given", "family", "birth_date", "sex", "national_id", "phone", "email"),
                        *("postal_code", "street", "city", "record_number"),
                    )
                }
    return found


def settle(conn: vault.Connection, because: Because) -> Settled:
    """Bring ``person_link`` to what pairs, decisions and what is told say, audit each change, renew the review queue.
    Inside a transaction that holds the linkage's lock. A change by somebody leaves one audit row, whatever it changes;
    of what is told, each word that changes nobody has a row too."""
    trained = models.current(conn)
    decisions, told = _decisions(conn), _told(conn)
    pairs = [
        Pair(a, b, weight, rule or "", frozenset(against.split(",")) if against else frozenset())
        for a, b, weight, rule, against in conn.execute(
            "select key_a, key_b, weight, rule, against from vault.link_pair "
            "where rule is not null or weight >= %s",
            (trained.thresholds.review,),
        )
    ]
    found = persons(pairs, _standing(decisions, told), _patients(conn), trained.thresholds)
    told_of = {key for pair in because.told_after for key in pair}
    held = _held(conn, {*found.cluster, *because.restore, *told_of})
    now = datetime.now(UTC)
    wanted = _wanted(found, held, now, because.restore)
    changed = {key: wanted[key] for key in wanted if wanted[key].person_key != held[key].link.person_key}
    if because.told_after:
        changed |= _former(conn, changed)
        wanted |= changed
    changed |= {
        key: wanted[key]
        for key in because.restore
        if key in wanted and wanted[key] != held[key].link and wanted[key] == because.restore[key]
    }
    _write_links(conn, changed)
    audit_ids, kinds = [], []
    for group, reason in _reasons(_changes(held, wanted, changed, as_one=because.kind is not None), because):
        known = [key for key in group if key in wanted]
        kind, audit_id = _write_audit(conn, reason, now, held, wanted, known, found)
        audit_ids.append(audit_id)
        kinds.append(kind)
    review = {**found.review, **_doubtful(decisions, told, pairs, found)}
    _write_review(conn, review, now)
    return Settled(
        merged=kinds.count("merge"),
        split=kinds.count("split"),
        changed=len(changed),
        review=len(review),
        audit_ids=tuple(audit_ids),
    )


@contextmanager
def changing(conn: vault.Connection) -> Iterator[None]:
    """One transaction that changes who is one person, while no other does."""
    with _changing(conn):
        yield


@contextmanager
def _changing(conn: vault.Connection) -> Iterator[None]:
    with postgres.discreet(vault.DATABASE), conn.transaction():
        conn.execute("select pg_advisory_xact_lock(hashtext('citywell linkage'))")
        yield


def _standing(decisions: Mapping[PairKey, Decision], told: Mapping[PairKey, Told]) -> dict[PairKey, Verdict]:
    """What is decided by pair, in the order in which it is heeded: what people decided, the oldest first, because what
    contradicts it is refused when it is decided; then what is told, the newest first."""
    by_people = sorted(decisions.items(), key=lambda item: (item[1].decided_at, item[0]))
    by_messages = sorted(told.items(), key=lambda item: item[0])
    by_messages.sort(key=lambda item: item[1].told_at, reverse=True)
    standing: dict[PairKey, Verdict] = {pair: decision.verdict for pair, decision in by_people}
    for pair, word in by_messages:
        if word.verdict != "none":
            standing.setdefault(pair, word.verdict)
    return standing


def _doubtful(
    decisions: Mapping[PairKey, Decision],
    told: Mapping[PairKey, Told],
    pairs: Sequence[Pair],
    found: Persons,
) -> dict[PairKey, tuple[float, str]]:
    """Patients whose merge was taken back and who are one person all the same: somebody should look."""
    unlinked = {
        (a, b): (0.0, "unlinked")
        for (a, b), word in told.items()
        if word.verdict == "none" and (a, b) not in decisions and found.are_one(a, b)
    }
    return unlinked | {
        (pair.a, pair.b): (pair.weight, "unlinked") for pair in pairs if (pair.a, pair.b) in unlinked
    }


def _reasons(groups: Iterable[Sequence[str]], because: Because) -> Iterator[tuple[Sequence[str], Because]]:
    """Each change with what it rests on; and, one by one, what is told that changes nobody."""
    left = set(because.told_after)
    for group in groups:
        members = set(group)
        pairs = sorted(pair for pair in because.told_after if members & set(pair))
        left -= set(pairs)
        yield group, because.told_of(pairs) if pairs else because
    yield from ((pair, because.told_of([pair])) for pair in sorted(left))


def _wanted(
    found: Persons, held: Mapping[str, _Held], now: datetime, restore: Mapping[str, Link]
) -> dict[str, Link]:
    """The link of every patient of ``held``: kept where its person stays, as it was before where it comes back."""
    groups: dict[str, list[str]] = {}
    for key, cluster in found.cluster.items():
        groups.setdefault(cluster, []).append(key)
    person_of = {key: key for key in held}
    for members in groups.values():
        known = [key for key in members if key in held]
        if known:
            oldest = min(known, key=lambda key: (held[key].first_seen_at, key))
            person_of |= dict.fromkeys(known, oldest)
    wanted = {}
    for key, person in person_of.items():
        if key in restore and restore[key].person_key == person:
            wanted[key] = restore[key]
        elif held[key].link.person_key == person:
            wanted[key] = held[key].link
        elif person == key:
            wanted[key] = Link(key, held[key].registered_at, OWN)
        else:
            pair = found.joined_by[key]
            wanted[key] = Link(person, now, pair.rule or "score")
    return wanted


def _changes(
    held: Mapping[str, _Held], wanted: Mapping[str, Link], changed: Collection[str], *, as_one: bool
) -> Iterator[list[str]]:
    """Patients by change: those whose persons before and after hang together. ``as_one``: one change, even of none."""
    if as_one:
        affected = {link.person_key for key in changed for link in (held[key].link, wanted[key])}
        yield sorted(
            key
            for key in wanted
            if held[key].link.person_key in affected or wanted[key].person_key in affected
        )
        return
    parent: dict[str, str] = {}

    def root(person: str) -> str:
        while parent.setdefault(person, person) != person:
            parent[person] = parent[parent[person]]
            person = parent[person]
        return person

    for key in changed:
        parent[root(held[key].link.person_key)] = root(wanted[key].person_key)
    groups: dict[str, list[str]] = {}
    for key in wanted:
        for person in (held[key].link.person_key, wanted[key].person_key):
            if person in parent:
                groups.setdefault(root(person), []).append(key)
                break
    yield from (sorted(group) for _, group in sorted(groups.items()))


def _write_audit(
    conn: vault.Connection,
    because: Because,
    now: datetime,
    held: Mapping[str, _Held],
    wanted: Mapping[str, Link],
    group: Sequence[str],
    found: Persons,
) -> tuple[Kind, int]:
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


def _wording(word: Told | None) -> tuple[str, ...]:
    """What makes it another word: a record that says again what it said says nothing new."""
    return () if word is None else (word.verdict, word.source, word.kind, word.key)


def _decision(row: Sequence[Any]) -> Decision | None:
    verdict, decided_at, actor, reason = row
    return None if verdict is None else Decision(verdict, datetime.fromisoformat(decided_at), actor, reason)


def _as_it_was(audit: Audit, actor: str, reason: str) -> Iterator[tuple[PairKey, Decision]]:
    """Decisions that make the patients of a change what they were: apart, or one."""
    now = datetime.now(UTC)
    keys = sorted(audit.before)
    for place, one in enumerate(keys):
        for other in keys[place + 1 :]:
            was_one = audit.before[one][0] == audit.before[other][0]
            is_one = audit.after[one][0] == audit.after[other][0]
            if was_one != is_one:
                yield (one, other), Decision("link" if was_one else "apart", now, actor, reason)


def _decide(
    conn: vault.Connection, decisions: Mapping[PairKey, Decision], actor: str, run_id: str, reason: str
) -> int:
    """Write decisions, settle, and give the id of the audit row."""
    held = _decisions(conn)
    before = {key: held.get(key) for key in decisions}
    _write_decisions(conn, decisions)
    because = Because(
        actor,
        run_id or uuid.uuid4().hex,
        reason,
        "decision",
        decisions_before=before,
        decisions_after=decisions,
    )
    return settle(conn, because).audit_ids[0]


def _require_known(conn: vault.Connection, patients: Sequence[str]) -> None:
    if missing := set(patients) - _links(conn, patients).keys():
        raise CitywellError(
            f"{len(missing)} of these patients are not known",
            where=", ".join(sorted(missing)),
            do="give the patient_key of patients that have been loaded, as in silver.person_link",
        )


def _links(conn: vault.Connection, patients: Sequence[str]) -> dict[str, Link]:
    rows = conn.execute(
        "select patient_key, person_key, linked_at, method from vault.person_link where patient_key = any(%s)",
        (list(patients),),
    )
    return {key: Link(*row) for key, *row in rows}


def _held(conn: vault.Connection, keys: Collection[str]) -> dict[str, _Held]:
    """Links of these patients, and of all that are linked to another or have one linked to them."""
    rows = conn.execute(
        "select l.patient_key, l.person_key, l.linked_at, l.method, l.registered_at, i.first_seen_at "
        "from vault.person_link as l inner join vault.source_identity as i on l.patient_key = i.pseudonym "
        "where l.patient_key = any(%s) or l.person_key <> l.patient_key "
        "or l.patient_key in (select person_key from vault.person_link where person_key <> patient_key)",
        (list(keys),),
    )
    return {row[0]: _Held(Link(*row[1:4]), row[4], row[5]) for row in rows}


def _patients(conn: vault.Connection) -> dict[str, Patient]:
    """House and valid national id of the patients that a pair or a decision names."""
    rows = conn.execute(
        "select patient_key, house, national_id from vault.demographics where patient_key in ("
        "select key_a from vault.link_pair union select key_b from vault.link_pair "
        "union select key_a from vault.link_decision union select key_b from vault.link_decision "
        "union select key_a from vault.link_told union select key_b from vault.link_told)"
    )
    return {key: Patient(house, id_ if is_valid_national_id(id_) else "") for key, house, id_ in rows}


def _decisions(conn: vault.Connection) -> dict[PairKey, Decision]:
    rows = conn.execute("select key_a, key_b, verdict, decided_at, actor, reason from vault.link_decision")
    return {(a, b): Decision(*row) for a, b, *row in rows}


def _write_decisions(conn: vault.Connection, decisions: Mapping[PairKey, Decision | None]) -> None:
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


def _told(conn: vault.Connection) -> dict[PairKey, Told]:
    rows = conn.execute("select key_a, key_b, verdict, told_at, source, kind, said_in from vault.link_told")
    return {(a, b): Told(*row) for a, b, *row in rows}


def _write_told(conn: vault.Connection, told: Mapping[PairKey, Told]) -> None:
    conn.execute("delete from vault.link_told")
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy vault.link_told (key_a, key_b, verdict, told_at, source, kind, said_in) from stdin"
        ) as copy,
    ):
        for pair, word in told.items():
            copy.write_row((*pair, *word))


def _former(conn: vault.Connection, links: Mapping[str, Link]) -> dict[str, Link]:
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


def _write_links(conn: vault.Connection, links: Mapping[str, Link]) -> None:
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


def _write_review(conn: vault.Connection, queue: Mapping[PairKey, tuple[float, str]], now: datetime) -> None:
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


def _audit(conn: vault.Connection, audit_id: int) -> Audit:
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
