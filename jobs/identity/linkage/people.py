"""What somebody decides of who is one person: merge, split, reject, undo; and what they need to see for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise, product

from jobs import postgres
from jobs.errors import CitywellError
from jobs.identity import vault
from jobs.identity.linkage import audit, stored
from jobs.identity.linkage.audit import Audit, Because
from jobs.identity.linkage.clusters import Persons, pair_key
from jobs.identity.linkage.settling import changing, persons_with, settle
from jobs.identity.linkage.stored import Decision, Link, PairKey


@dataclass(frozen=True)
class Undone:
    """A change taken back. is_exact: every patient is again who it was before it; not so when newer records or
    decisions say something else."""

    audit_id: int
    is_exact: bool


def merge(conn: vault.Connection, one: str, other: str, reason: str, *, actor: str, run_id: str = "") -> int:
    """Two patients are one person: stands above every score, and above what is told. The id of its audit row.

    Raises CitywellError when a patient is not known, or somebody decided that members of the two are apart.
    """
    with _deciding(conn, run_id) as run:
        _require_known(conn, [one, other])
        decision = Decision("link", datetime.now(UTC), actor, reason)
        audit_id = _decide(conn, {pair_key(one, other): decision}, actor, run, reason)
        _require_one(conn, [one, other])
    return audit_id


def split(
    conn: vault.Connection, patients: Sequence[str], reason: str, *, actor: str, run_id: str = ""
) -> int:
    """These patients are one person, the others of their person are another. The id of its audit row.

    Where one of the two would fall apart without the other, that it is one is decided too. Raises CitywellError when a
    patient is not known, they are not of one person, all of its members are named, or somebody decided otherwise.
    """
    with _deciding(conn, run_id) as run:
        _require_known(conn, patients)
        persons_of = {link.person_key for link in stored.links(conn, patients).values()}
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
        now = datetime.now(UTC)
        apart, link = Decision("apart", now, actor, reason), Decision("link", now, actor, reason)
        decisions = {pair_key(a, b): apart for a, b in product(patients, others)}
        held, found = stored.decisions(conn), persons_with(conn, decisions)
        for group in (patients, others):
            decisions |= {pair: link for pair in _parted(found, group) if pair not in held}
        audit_id = _decide(conn, decisions, actor, run, reason)
        for group in (patients, others):
            _require_one(conn, group)
    return audit_id


def reject(conn: vault.Connection, one: str, other: str, reason: str, *, actor: str, run_id: str = "") -> int:
    """Two patients are not one person, whatever their records score. The id of its audit row."""
    with _deciding(conn, run_id) as run:
        _require_known(conn, [one, other])
        decision = Decision("apart", datetime.now(UTC), actor, reason)
        return _decide(conn, {pair_key(one, other): decision}, actor, run, reason)


def unmerge(conn: vault.Connection, audit_id: int, reason: str, *, actor: str, run_id: str = "") -> Undone:
    """Take an audited change back, rows and all. A change that somebody decided is undone by taking the decision back;
    one that scores made, by deciding that its patients are what they were. What has been decided since stays.

    Raises CitywellError when there is no such change, it has been undone, or all of it has been decided anew.
    """
    with _deciding(conn, run_id) as run:
        change = audit.one(conn, audit_id)
        before = {
            key: Link(row[0], datetime.fromisoformat(row[1]), row[2]) for key, row in change.before.items()
        }
        held = stored.decisions(conn)
        wanted = audit.decisions_of(change.decisions_before) or dict(_as_it_was(change, actor, reason))
        decisions = {
            pair: decision for pair, decision in wanted.items() if not _is_decided_anew(pair, change, held)
        }
        if wanted and not decisions:
            raise CitywellError(
                "Somebody has decided anew on all that this change is about",
                where=f"change {audit_id} of vault.link_audit, change {audit.newest_on(conn, wanted)} after it",
                do="undo the later change first, or decide on the patients themselves",
            )
        previous = {key: held.get(key) for key in decisions}
        stored.write_decisions(conn, decisions)
        because = Because(
            actor,
            run,
            reason,
            kind="undo",
            decisions_before=previous,
            decisions_after=decisions,
            undoes=audit_id,
            restore=before,
        )
        settled = settle(conn, because)
        is_exact = stored.links(conn, list(before)) == before
    return Undone(settled.audit_ids[0], is_exact)


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


@contextmanager
def _deciding(conn: vault.Connection, run_id: str) -> Iterator[str]:
    """``changing``, with what is pending settled first, in linkage's own name; the id of the run. What somebody decides
    then changes what follows from it alone."""
    run = run_id or uuid.uuid4().hex
    with changing(conn):
        settle(conn, Because("linkage", run, "pending before a decision"))
        yield run


def _as_it_was(change: Audit, actor: str, reason: str) -> Iterator[tuple[PairKey, Decision]]:
    """Decisions that make the patients of a change what they were: apart, or one."""
    now = datetime.now(UTC)
    keys = sorted(change.before)
    for place, one in enumerate(keys):
        for other in keys[place + 1 :]:
            was_one = change.before[one][0] == change.before[other][0]
            is_one = change.after[one][0] == change.after[other][0]
            if was_one != is_one:
                yield (one, other), Decision("link" if was_one else "apart", now, actor, reason)


def _is_decided_anew(pair: PairKey, change: Audit, held: Mapping[PairKey, Decision]) -> bool:
    """Whether a decision on a pair is newer than a change: another than the one it made, or made after it."""
    made = audit.decisions_of(change.decisions_after)
    if made:
        return held.get(pair) != made[pair]
    return pair in held and held[pair].decided_at > change.at


def _decide(
    conn: vault.Connection, decisions: Mapping[PairKey, Decision], actor: str, run_id: str, reason: str
) -> int:
    """Write decisions, settle, and give the id of the audit row."""
    held = stored.decisions(conn)
    before = {key: held.get(key) for key in decisions}
    stored.write_decisions(conn, decisions)
    because = Because(
        actor,
        run_id,
        reason,
        "decision",
        decisions_before=before,
        decisions_after=decisions,
    )
    return settle(conn, because).audit_ids[0]


def _parted(found: Persons, group: Sequence[str]) -> set[PairKey]:
    """The pairs that, linked, hold a group together; none where it is one person as it is."""
    in_order = sorted(set(group))
    if all(found.are_one(in_order[0], other) for other in in_order):
        return set()
    return set(pairwise(in_order))


def _require_one(conn: vault.Connection, patients: Sequence[str]) -> None:
    if len({link.person_key for link in stored.links(conn, patients).values()}) > 1:
        raise CitywellError(
            "Somebody has decided that members of these persons are apart",
            where=f"patients {', '.join(sorted(set(patients)))}",
            do="see `citywell people history` of each; undo that decision, then try again",
        )


def _require_known(conn: vault.Connection, patients: Sequence[str]) -> None:
    if missing := set(patients) - stored.links(conn, patients).keys():
        raise CitywellError(
            f"{len(missing)} of these patients are not known",
            where=", ".join(sorted(missing)),
            do="give the patient_key of patients that have been loaded, as in silver.person_link",
        )
