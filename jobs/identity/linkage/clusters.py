"""From scored pairs and decisions to persons: pure functions of what is handed in.

Pairs are joined strongest first (what somebody decided, what is told, then rules, then scores; ties by key), each only
if nothing in the two groups speaks against it; against a decision nothing speaks but another. So persons are the
connected components of the pairs, cut where a component would hold two valid national ids, two patients that somebody
put apart, or two records of one house without evidence of their own. Whom somebody decided to be one person brings
along all who are joined to them, records of one house too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Key = str
Verdict = Literal["link", "apart"]


class Pair(NamedTuple):
    """Two patients that may be one person, ``a`` < ``b``. weight: bits. rule: what joins them without a score, or
    empty. against: what contradicts (see scoring)."""

    a: Key
    b: Key
    weight: float
    rule: str
    against: frozenset[str]


class Patient(NamedTuple):
    """What clustering must know of a patient. house: records of one house need stronger evidence to be one person.
    national_id: a valid one, or empty."""

    house: str
    national_id: str


@dataclass(frozen=True)
class Thresholds:
    """Match weights, in bits. link: from here two records are one person. duplicate: so two records of one house.
    review: from here somebody should look."""

    link: float
    duplicate: float
    review: float


@dataclass(frozen=True)
class Persons:
    """cluster: of every patient that is joined to another, its group's smallest key. joined_by: the pair that joined
    it. review: pairs for somebody to decide, with why."""

    cluster: Mapping[Key, Key]
    joined_by: Mapping[Key, Pair]
    review: Mapping[tuple[Key, Key], tuple[float, str]]

    def are_one(self, one: Key, other: Key) -> bool:
        """Whether two patients are one person."""
        return self.cluster.get(one, one) == self.cluster.get(other, other)


def pair_key(one: Key, other: Key) -> tuple[Key, Key]:
    """Both in order."""
    return (one, other) if one < other else (other, one)


def persons(
    pairs: Iterable[Pair],
    decisions: Mapping[tuple[Key, Key], Verdict],
    told: Mapping[tuple[Key, Key], Verdict],
    patients: Mapping[Key, Patient],
    thresholds: Thresholds,
) -> Persons:
    """Who is one person. Patients that no pair, no decision and nobody told of are persons of their own, and not named.

    pairs: in any order. decisions: what people decided; told: what hospitals tell of other pairs. Those that link are
    heeded in their order, so that of two that cannot both be the first stands; decisions come before what is told.
    """
    scored = {(pair.a, pair.b): pair for pair in pairs}
    groups = _Groups(patients, scored, thresholds)
    refused: dict[tuple[Key, Key], tuple[float, str]] = {}
    for verdicts in (decisions, told):
        groups.put_apart(pair for pair, verdict in verdicts.items() if verdict == "apart")
        for (a, b), verdict in verdicts.items():
            if verdict == "link":
                groups.force(Pair(a, b, 0.0, "decision", frozenset()))
    ruled = decisions.keys() | told.keys()
    for pair in sorted(scored.values(), key=_strongest_first):
        if (pair.a, pair.b) in ruled or "national_id" in pair.against:
            continue
        why = _doubt(pair, patients, thresholds) or groups.join(pair)
        if why and _is_worth_a_look(pair, patients):
            refused[pair.a, pair.b] = (pair.weight, why)
    return Persons(
        cluster=groups.clusters(),
        joined_by=groups.joined_by,
        review={key: value for key, value in refused.items() if not groups.are_one(*key)},
    )


def _strongest_first(pair: Pair) -> tuple[bool, float, Key, Key]:
    return (not pair.rule, -pair.weight, pair.a, pair.b)


def _doubt(pair: Pair, patients: Mapping[Key, Patient], thresholds: Thresholds) -> str:
    """Why a pair is not joined by itself; empty when it is."""
    if pair.rule:
        return ""
    if _is_contradicted(pair, patients):
        return "contradiction"
    needed = thresholds.duplicate if _is_one_house(pair.a, pair.b, patients) else thresholds.link
    return "" if pair.weight >= needed else "score"


def _is_contradicted(pair: Pair, patients: Mapping[Key, Patient]) -> bool:
    """Whether what the two say of themselves forbids to join them, or neither says a name. One national id makes up for
    another birth date alone: a newborn may be registered under its mother's id, twins under one."""
    if pair.against & {"given", "generation", "names"}:
        return True
    return "birth" in pair.against and not _have_one_id(pair, patients)


def _is_worth_a_look(pair: Pair, patients: Mapping[Key, Patient]) -> bool:
    """Namesakes of two generations, and people with neither given name nor birth date in common, are not one person.
    Where they have one national id all the same, one of them has it wrongly, and somebody should look."""
    is_other_person = {"birth", "generation"} <= pair.against or {"given", "birth"} <= pair.against
    return _have_one_id(pair, patients) or not is_other_person


def _have_one_id(pair: Pair, patients: Mapping[Key, Patient]) -> bool:
    one, other = patients.get(pair.a), patients.get(pair.b)
    return bool(one and other and one.national_id and one.national_id == other.national_id)


def _is_one_house(a: Key, b: Key, patients: Mapping[Key, Patient]) -> bool:
    one, other = patients.get(a), patients.get(b)
    return one is not None and other is not None and one.house == other.house


class _Groups:
    """Disjoint sets of patients that know what keeps them apart."""

    def __init__(
        self,
        patients: Mapping[Key, Patient],
        scored: Mapping[tuple[Key, Key], Pair],
        thresholds: Thresholds,
    ) -> None:
        self._patients, self._scored, self._thresholds = patients, scored, thresholds
        self._group: dict[Key, list[Key]] = {}
        self._side: dict[Key, list[Key]] = {}
        self.joined_by: dict[Key, Pair] = {}
        self._apart: dict[Key, set[Key]] = {}

    def are_one(self, a: Key, b: Key) -> bool:
        return b in self._members(a)

    def clusters(self) -> dict[Key, Key]:
        return {key: min(group) for key, group in self._group.items() if len(group) > 1}

    def put_apart(self, pairs: Iterable[tuple[Key, Key]]) -> None:
        """Join no two groups from now on that hold both of a pair."""
        for a, b in pairs:
            self._apart.setdefault(a, set()).add(b)
            self._apart.setdefault(b, set()).add(a)

    def force(self, pair: Pair) -> None:
        """Join what somebody decided or told is one, unless members of the two have been put apart."""
        if not self.are_one(pair.a, pair.b) and not self._is_put_apart(pair):
            self._union(pair)

    def join(self, pair: Pair) -> str:
        """Join the two groups of a pair, or say why not."""
        if self.are_one(pair.a, pair.b):
            return ""
        if self._is_put_apart(pair):
            return "apart"
        if self._is_of_two_ids(pair):
            return "two national ids"
        if not self._is_each_house_sure(pair):
            return "one house"
        self._union(pair)
        side = [*self._side.get(pair.a, [pair.a]), *self._side.get(pair.b, [pair.b])]
        self._side |= dict.fromkeys(side, side)
        return ""

    def _members(self, key: Key) -> list[Key]:
        return self._group.get(key) or [key]

    def _is_put_apart(self, pair: Pair) -> bool:
        if not self._apart:
            return False
        theirs = self._members(pair.b)
        return any(
            not self._apart[key].isdisjoint(theirs) for key in self._members(pair.a) if key in self._apart
        )

    def _ids(self, key: Key) -> dict[str, set[str]]:
        """Valid national ids of a patient's group by scheme."""
        found: dict[str, set[str]] = {}
        for member in self._members(key):
            patient = self._patients.get(member)
            if patient and patient.national_id:
                found.setdefault(patient.national_id.partition(":")[0], set()).add(patient.national_id)
        return found

    def _is_of_two_ids(self, pair: Pair) -> bool:
        ours, theirs = self._ids(pair.a), self._ids(pair.b)
        return any(not ours[scheme] & theirs[scheme] for scheme in ours.keys() & theirs.keys())

    def _is_each_house_sure(self, pair: Pair) -> bool:
        """Whether records of one house that the pair would make one person have a strong pair of their own; those that
        are one by somebody's decision need none."""
        for x in self._side.get(pair.a, [pair.a]):
            for y in self._side.get(pair.b, [pair.b]):
                if _is_one_house(x, y, self._patients) and not self._is_strong(pair_key(x, y)):
                    return False
        return True

    def _is_strong(self, key: tuple[Key, Key]) -> bool:
        pair = self._scored.get(key)
        return pair is not None and not _doubt(pair, self._patients, self._thresholds)

    def _union(self, pair: Pair) -> None:
        ours, theirs = self._members(pair.a), self._members(pair.b)
        for key in (pair.a, pair.b):
            self.joined_by.setdefault(key, pair)
        group = [*ours, *theirs]
        for key in group:
            self._group[key] = group
            self.joined_by.setdefault(key, pair)
