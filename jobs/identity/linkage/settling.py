"""Pairs, decisions and what is told, turned into ``vault.person_link``; each change with its row of ``link_audit``.

A person's key is the pseudonym of its member that was registered first (ties: the smaller), so it is a function of who
the members are: a new member changes no key, of two persons that become one the older key stays, and undoing gives back
the keys of before. Functions take a connection of the role ``vault_linker`` in autocommit; one change at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from jobs import postgres
from jobs.identity import vault
from jobs.identity.linkage import audit, models, stored
from jobs.identity.linkage.audit import Because
from jobs.identity.linkage.clusters import Pair, Patient, Persons, Thresholds, Verdict, persons
from jobs.identity.linkage.stored import OWN, Decision, Held, Link, PairKey, Told, ToldVerdict

_IN_VAIN: Mapping[tuple[ToldVerdict, bool], str] = {
    ("link", False): "merge refused",
    ("apart", True): "told apart",
    ("none", True): "unlinked",
}
"""Why somebody should look at a pair: by what is decided or told of the two, and whether they are one person."""


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


@contextmanager
def changing(conn: vault.Connection) -> Iterator[None]:
    """One transaction that changes who is one person, while no other does."""
    with postgres.discreet(vault.DATABASE), conn.transaction():
        conn.execute("select pg_advisory_xact_lock(hashtext('citywell linkage'))")
        yield


def tell(conn: vault.Connection, told: Mapping[PairKey, Told], run_id: str) -> Settled | None:
    """Make ``told`` all that is told of who is one person; None where that changes nothing. Inside ``changing``.

    Each change has its row of ``link_audit``. A patient that returns to a person it was of gets the row back that it
    had then, so that taking a word back leaves no trace elsewhere.
    """
    held = stored.told(conn)
    if held == dict(told):
        return None
    stored.write_told(conn, told)
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


def settle(conn: vault.Connection, because: Because) -> Settled:
    """Bring ``person_link`` to what pairs, decisions and what is told say, audit each change, renew the review queue.
    Inside a transaction that holds the linkage's lock. A change by somebody leaves one audit row, whatever it changes;
    of what is told, each word that changes nobody has a row too."""
    grounds = _grounds(conn)
    found = grounds.persons()
    told_of = {key for pair in because.told_after for key in pair}
    held = stored.held(conn, {*found.cluster, *because.restore, *told_of})
    now = datetime.now(UTC)
    wanted = _wanted(found, held, now, because.restore)
    changed = {key: wanted[key] for key in wanted if wanted[key].person_key != held[key].link.person_key}
    if because.told_after:
        changed |= audit.former(conn, changed)
        wanted |= changed
    changed |= {
        key: wanted[key]
        for key in because.restore
        if key in wanted and wanted[key] != held[key].link and wanted[key] == because.restore[key]
    }
    stored.write_links(conn, changed)
    audit_ids, kinds = [], []
    for group, reason in _reasons(_changes(held, wanted, changed, as_one=because.kind is not None), because):
        known = [key for key in group if key in wanted]
        kind, audit_id = audit.write(conn, reason, now, held, wanted, known, found)
        audit_ids.append(audit_id)
        kinds.append(kind)
    review = {**found.review, **_doubtful(grounds, found)}
    stored.write_review(conn, review, now)
    return Settled(
        merged=kinds.count("merge"),
        split=kinds.count("split"),
        changed=len(changed),
        review=len(review),
        audit_ids=tuple(audit_ids),
    )


def persons_with(conn: vault.Connection, decisions: Mapping[PairKey, Decision]) -> Persons:
    """Who would be one person if this were decided too. Changes nothing."""
    grounds = _grounds(conn)
    return replace(grounds, decisions={**grounds.decisions, **decisions}).persons()


@dataclass(frozen=True)
class _Grounds:
    """What persons rest on, as it is held."""

    decisions: Mapping[PairKey, Decision]
    told: Mapping[PairKey, Told]
    pairs: Sequence[Pair]
    patients: Mapping[str, Patient]
    thresholds: Thresholds

    def persons(self) -> Persons:
        """Who is one person by it."""
        decided, told = _decided(self.decisions), _told(self.told, self.decisions)
        return persons(self.pairs, decided, told, self.patients, self.thresholds)


def _grounds(conn: vault.Connection) -> _Grounds:
    thresholds = models.current(conn).thresholds
    pairs = [
        Pair(a, b, weight, rule or "", frozenset(against.split(",")) if against else frozenset())
        for a, b, weight, rule, against in conn.execute(
            "select key_a, key_b, weight, rule, against from vault.link_pair "
            "where rule is not null or weight >= %s",
            (thresholds.review,),
        )
    ]
    return _Grounds(stored.decisions(conn), stored.told(conn), pairs, stored.patients(conn), thresholds)


def _decided(decisions: Mapping[PairKey, Decision]) -> dict[PairKey, Verdict]:
    """What people decided, the oldest first, because what contradicts it is refused when it is decided."""
    in_order = sorted(decisions.items(), key=lambda item: (item[1].decided_at, item[0]))
    return {pair: decision.verdict for pair, decision in in_order}


def _told(told: Mapping[PairKey, Told], decisions: Mapping[PairKey, Decision]) -> dict[PairKey, Verdict]:
    """What is told of pairs that nobody decided on, the newest first."""
    in_order = sorted(told.items(), key=lambda item: item[0])
    in_order.sort(key=lambda item: item[1].told_at, reverse=True)
    return {pair: word.verdict for pair, word in in_order if word.verdict != "none" and pair not in decisions}


def _doubtful(grounds: _Grounds, found: Persons) -> dict[PairKey, tuple[float, str]]:
    """Pairs of which something is decided or told that does not hold: somebody should look."""
    weights = {(pair.a, pair.b): pair.weight for pair in grounds.pairs}
    verdicts: dict[PairKey, ToldVerdict] = {pair: word.verdict for pair, word in grounds.told.items()}
    verdicts |= {pair: decision.verdict for pair, decision in grounds.decisions.items()}
    return {
        pair: (weights.get(pair, 0.0), why)
        for pair, verdict in verdicts.items()
        if (why := _IN_VAIN.get((verdict, found.are_one(*pair))))
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
    found: Persons, held: Mapping[str, Held], now: datetime, restore: Mapping[str, Link]
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
    held: Mapping[str, Held], wanted: Mapping[str, Link], changed: Collection[str], *, as_one: bool
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


def _wording(word: Told | None) -> tuple[str, ...]:
    """What makes it another word: a record that says again what it said says nothing new."""
    return () if word is None else (word.verdict, word.source, word.kind, word.key)
