"""What somebody decides about persons, and undoing it, over a real vault."""

from __future__ import annotations

import contextlib
import random

import pytest

from jobs.errors import CitywellError
from jobs.identity import linkage, vault
from jobs.identity.linkage import models
from jobs.identity.linkage.clusters import Thresholds
from tests.unit.identity.described import (
    ANNA,
    HARBOUR,
    MOVED,
    UNIVERSITY,
    A,
    B,
    C,
    D,
    key,
    national_id,
    patient,
    persons,
    register,
    state,
)

WHO = {"actor": "a reviewer"}


def test_what_somebody_decides_stands_above_scores_and_survives_another_model(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    register(people, [patient(1, **ANNA), patient(2, HARBOUR, **ANNA), patient(3, UNIVERSITY, family="Holm")])
    linkage.run(vault_linker)
    linkage.split(vault_linker, [B], "her sister", **WHO)
    linkage.merge(vault_linker, A, C, "told at the desk", **WHO)
    assert persons(vault_linker) == {frozenset({A, C})}
    trained = models.current(vault_linker)
    models.store(
        vault_linker,
        trained.settings,
        Thresholds(link=1, duplicate=3, review=0),
        trained.evidence,
        actor="test",
        origin="test",
    )
    assert linkage.run(vault_linker).is_full, "another model"
    assert persons(vault_linker) == {frozenset({A, C})}
    with pytest.raises(CitywellError, match="are apart"):
        linkage.merge(vault_linker, B, C, "a mistake", **WHO)
    assert persons(vault_linker) == {frozenset({A, C})}


def test_a_group_that_is_split_off_stays_one_person_and_so_do_the_others(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    """B and D are one by way of A only."""
    register(
        people,
        [
            patient(1, national_id=national_id(77), **ANNA),
            patient(2, HARBOUR, **ANNA),
            patient(4, UNIVERSITY, national_id=national_id(77), **MOVED, birth_date=ANNA["birth_date"]),
        ],
    )
    linkage.run(vault_linker)
    assert persons(vault_linker) == {frozenset({A, B, D})}
    before = state(vault_linker)
    change = linkage.split(vault_linker, [B, D], "mother and daughter", **WHO)
    assert persons(vault_linker) == {frozenset({B, D})}
    assert linkage.unmerge(vault_linker, change, "undo", **WHO).is_exact
    assert state(vault_linker) == before
    linkage.split(vault_linker, [A], "mother and daughter", **WHO)
    assert persons(vault_linker) == {frozenset({B, D})}


def test_a_decision_changes_what_follows_from_it_alone(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    """What a load has brought and no linkage has seen yet is in linkage's own name."""
    register(people, [patient(1, **ANNA), patient(2, HARBOUR, national_id=national_id(77), **ANNA)])
    register(people, [patient(3, family="Holm"), patient(4, HARBOUR, family="Ekman")])
    linkage.run(vault_linker)
    register(people, [patient(1, version=2, national_id=national_id(78), **ANNA)], "b2")
    change = linkage.merge(vault_linker, C, D, "looked at both", **WHO)
    assert persons(vault_linker) == {frozenset({C, D})}
    decided, pending, *_ = linkage.history(vault_linker)
    assert (decided.kind, decided.actor, decided.before.keys()) == ("merge", "a reviewer", {C, D})
    assert (pending.kind, pending.actor, pending.before.keys()) == ("split", "linkage", {A, B})
    assert linkage.unmerge(vault_linker, change, "undo", **WHO).is_exact


def test_a_reviewer_accepts_and_rejects(people: vault.Connection, vault_linker: vault.Connection) -> None:
    twin = {**ANNA, "given": "Dora"}
    register(people, [patient(1, **ANNA), patient(2, HARBOUR, **twin), patient(3, UNIVERSITY, **twin)])
    linkage.run(vault_linker)
    queue = linkage.review(vault_linker)
    assert {(p.key_a, p.key_b, p.why) for p in queue} == {(A, B, "contradiction"), (A, C, "contradiction")}
    rejected = linkage.reject(vault_linker, A, B, "twins", **WHO)
    assert [(p.key_a, p.key_b) for p in linkage.review(vault_linker)] == [(A, C)]
    assert linkage.history(vault_linker, A)[0].kind == "decision"
    linkage.unmerge(vault_linker, rejected, "by mistake", **WHO)
    assert len(linkage.review(vault_linker)) == 2


@pytest.mark.parametrize("seed", range(3))
def test_undoing_backwards_gives_back_every_state(
    people: vault.Connection, vault_linker: vault.Connection, seed: int
) -> None:
    """Any changes by scores and people, each undone from the last to the first."""
    chance = random.Random(seed)
    register(people, [patient(n, f"house_{n % 4}", **ANNA) for n in range(1, 5)])
    register(people, [patient(n, f"house_{n % 4}", family=f"Holm{n}") for n in range(5, 9)])
    linkage.run(vault_linker)
    states, changes = [state(vault_linker)], []
    while len(changes) < 8:
        one, other = (key(n) for n in chance.sample(range(1, 9), 2))
        change = chance.choice([linkage.merge, linkage.reject, linkage.split])
        try:
            changes.append(
                change(vault_linker, [one], "x", **WHO)  # type: ignore[call-arg, arg-type]
                if change is linkage.split
                else change(vault_linker, one, other, "x", **WHO)  # type: ignore[arg-type]
            )
        except CitywellError:
            assert state(vault_linker) == states[-1], "refused, and nothing changed"
            continue
        states.append(state(vault_linker))
    for audit_id in reversed(changes):
        states.pop()
        assert linkage.unmerge(vault_linker, audit_id, "undo", **WHO).is_exact
        assert state(vault_linker) == states[-1]
        with pytest.raises(CitywellError, match="has been undone"):
            linkage.unmerge(vault_linker, audit_id, "undo", **WHO)


def test_a_merge_by_score_is_undone_for_good(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    linkage.run(vault_linker)
    before = vault_linker.execute("select * from vault.person_link order by 1").fetchall()
    register(people, [patient(1, **ANNA), patient(2, HARBOUR, **ANNA)])
    linkage.run(vault_linker)
    merged, *_ = linkage.history(vault_linker)
    assert linkage.unmerge(vault_linker, merged.audit_id, "two people", **WHO).is_exact
    after = vault_linker.execute(
        "select * from vault.person_link where patient_key <> all(%s) order by 1", ([A, B],)
    )
    assert after.fetchall() == before
    assert linkage.run(vault_linker, full=True).changed == 0
    assert persons(vault_linker) == set()


def test_undoing_a_change_leaves_a_newer_decision_of_somebody_else_alone(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    register(people, [patient(1, **ANNA), patient(2, HARBOUR, **ANNA), patient(3, family="Holm")])
    linkage.run(vault_linker)
    by_score, *_ = linkage.history(vault_linker)
    merged = linkage.merge(vault_linker, A, B, "alike", **WHO)
    parted = linkage.split(vault_linker, [B], "sister, seen both", actor="another")
    decided = state(vault_linker)
    for older in (merged, by_score.audit_id):
        with pytest.raises(CitywellError, match="decided anew") as refused:
            linkage.unmerge(vault_linker, older, "undo", **WHO)
        assert f"change {parted} after it" in str(refused.value)
        assert state(vault_linker) == decided
    assert linkage.unmerge(vault_linker, parted, "undo", **WHO).is_exact
    assert linkage.unmerge(vault_linker, merged, "undo", **WHO).is_exact
    assert state(vault_linker)["decisions"] == []

    rejected = linkage.reject(vault_linker, A, C, "no evidence", **WHO)
    linkage.merge(vault_linker, A, C, "evidence", actor="another")
    with pytest.raises(CitywellError, match="decided anew"):
        linkage.unmerge(vault_linker, rejected, "undo", **WHO)
    assert persons(vault_linker) == {frozenset({A, B, C})}


@pytest.mark.parametrize("seed", range(3))
def test_undoing_in_any_order_takes_no_other_decision_back(
    people: vault.Connection, vault_linker: vault.Connection, seed: int
) -> None:
    chance = random.Random(seed)
    register(people, [patient(n, f"house_{n}", **ANNA) for n in range(1, 4)])
    register(people, [patient(n, f"house_{n}", family=f"Holm{n}") for n in range(4, 6)])
    linkage.run(vault_linker)
    for number in range(8):
        decide = chance.choice([linkage.merge, linkage.reject])
        one, other = (key(n) for n in chance.sample(range(1, 6), 2))
        with contextlib.suppress(CitywellError):
            decide(vault_linker, one, other, "x", actor=f"reviewer {number}")
    changes = linkage.history(vault_linker)
    for change in chance.sample(changes, len(changes)):
        before = set(state(vault_linker)["decisions"])
        with contextlib.suppress(CitywellError):
            linkage.unmerge(vault_linker, change.audit_id, "undo", actor="undoing")
        gone = before - set(state(vault_linker)["decisions"])
        own = {(a, b, actor) for a, b, _, _, actor, _ in change.decisions_after}
        assert {(a, b, actor) for a, b, _, _, actor, _ in gone} <= own


def test_a_patient_nobody_knows_is_told(people: vault.Connection, vault_linker: vault.Connection) -> None:
    with pytest.raises(CitywellError, match="not known"):
        linkage.merge(vault_linker, A, B, "x", **WHO)
    with pytest.raises(CitywellError, match="Only some"):
        linkage.split(vault_linker, [key(1_000_001)], "x", **WHO)
