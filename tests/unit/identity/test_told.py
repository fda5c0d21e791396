"""Merges that hospitals tell: what stands of them, whatever order they came in, and what persons follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from infra.cli.people import app
from infra.stack.postgres import Cluster
from jobs import settings as jobs_settings
from jobs.identity import linkage, vault
from jobs.identity.linkage import clusters
from jobs.identity.linkage.clusters import Pair, Thresholds, Verdict
from jobs.identity.linkage.told import Heard, Saying, verdicts
from tests.unit.identity.described import (
    ANNA,
    MONDAY,
    key,
    national_id,
    others,
    patient,
    persons,
    register,
    state,
)

NORTH, HARBOUR, UNIVERSITY = "hospital_north", "hospital_harbour", "hospital_university"
A, B, C, D = (key(n) for n in (1, 2, 3, 4))
WHO = {"actor": "a reviewer"}
PATIENTS: Mapping[str, Sequence[str]] = {"a": [A], "b": [B], "c": [C], "d": [D], A: [A], B: [B]}


def said(kind: str, one: str, other: str, hour: int, key: str = "") -> Saying:
    """A message of North Hospital of an hour that names two numbers."""
    at, name = MONDAY + timedelta(hours=hour), key or f"{kind} {one} {other} {hour}"
    return Saying(one, other, kind != "A37", at, (at, name, name), "events_north", kind, name)


def words(
    sayings: Iterable[Saying], patients: Mapping[str, Sequence[str]] = PATIENTS
) -> dict[tuple[str, str], tuple[str, str]]:
    """Verdict and message by pair."""
    found = verdicts(Heard(list(sayings), patients)).told
    return {pair: (word.verdict, word.key) for pair, word in found.items()}


A40, A37 = said("A40", "a", "b", 1), said("A37", "a", "b", 2)
AGAIN, OTHER_WAY = said("A40", "a", "b", 3), said("A37", "b", "a", 4)


@pytest.mark.parametrize(
    ("sayings", "word"),
    [
        ([A40], ("link", A40.key)),
        ([A40, A37], ("none", A37.key)),
        ([A40, A37, AGAIN], ("link", AGAIN.key)),
        ([A40, AGAIN], ("link", A40.key)),
        ([A40, AGAIN, OTHER_WAY], ("none", OTHER_WAY.key)),
        ([A40, A37, OTHER_WAY], ("none", A37.key)),
        ([A37], ("apart", A37.key)),
        ([A37, AGAIN], ("link", AGAIN.key)),
        ([A37, AGAIN, OTHER_WAY], ("apart", OTHER_WAY.key)),
    ],
)
def test_the_newest_word_stands_and_an_unlink_takes_a_merge_back(
    sayings: list[Saying], word: tuple[str, str]
) -> None:
    assert words(sayings) == {(A, B): word}


def test_a_number_that_nobody_has_waits_and_joins_those_that_were_merged_by_way_of_it() -> None:
    merged = [said("A40", "b", "gone", 1), said("A40", "c", "b2", 2), said("A40", "gone", "b2", 3)]
    found = verdicts(Heard(merged, PATIENTS))
    assert (set(found.told), found.waiting) == ({(B, C)}, 2)
    assert words([*merged, said("A37", "b", "c", 4)])[B, C] == ("apart", "A37 b c 4"), (
        "said of the two themselves"
    )
    described = {**PATIENTS, "gone": [D]}
    assert set(words(merged, described)) == {(B, D), (C, D)}
    assert words([said("A40", "a", "nobody", 1)]) == {}


def test_a_number_of_several_records_is_all_of_theirs_and_one_of_its_own_is_nothing() -> None:
    assert set(words([said("A40", "a", "b", 1)], {"a": [A, B], "b": [B, C]})) == {(A, B), (A, C), (B, C)}
    assert words([said("Patient.link", A, A, 1)]) == {}


SAYINGS = st.builds(
    said,
    st.sampled_from(["A40", "A37", "A34", "Patient.link"]),
    st.sampled_from("abcdxyz"),
    st.sampled_from("abcdxyz"),
    st.integers(0, 5),
)


@given(st.lists(SAYINGS, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_sayings_in_any_order_and_repeated_end_alike(sayings: list[Saying], chance: object) -> None:
    again = [*sayings, *sayings[::2]]
    chance.shuffle(again)  # type: ignore[attr-defined]
    assert verdicts(Heard(again, PATIENTS)) == verdicts(Heard(sayings, PATIENTS))


@pytest.fixture
def people(vault_client: vault.Connection, vault_linker: vault.Connection) -> vault.Connection:
    """A and B are known at North, C (Harbour) is A and D (Harbour) is B; and others who are nobody else. All linked."""
    anna, holm = {**ANNA, "national_id": national_id(77)}, {**ANNA, "national_id": national_id(78)}
    holm |= {"given": "Berta", "family": "Holm", "birth_date": "1944-01-02", "phone": "+1-909-555-0909"}
    register(vault_client, others(60))
    register(
        vault_client,
        [
            patient(1, day=1, **anna),
            patient(2, day=2, **holm),
            patient(3, HARBOUR, day=3, **anna),
            patient(4, HARBOUR, day=0, **holm),
        ],
        "b2",
    )
    linkage.run(vault_linker)
    assert persons(vault_linker) == {frozenset({A, C}), frozenset({B, D})}
    return vault_client


def tell(conn: vault.Connection, *sayings: Saying, **more: str) -> linkage.Result:
    return linkage.run(conn, told=verdicts(Heard(sayings, PATIENTS)).told, **more)  # type: ignore[arg-type]


def links(conn: vault.Connection) -> list[tuple[object, ...]]:
    return conn.execute("select * from vault.person_link order by patient_key").fetchall()


def test_a40_then_a37_gives_everybody_back_row_for_row(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    before = state(vault_linker)
    merged = tell(vault_linker, A40, run_id="r1")
    assert (merged.merged, merged.changed) == (1, 2)
    assert persons(vault_linker) == {frozenset({A, B, C, D})}, "with whoever they are at Harbour"
    told, *_ = linkage.history(vault_linker, B)
    assert (told.kind, told.actor, told.reason, told.run_id) == ("merge", "events_north", "A40", "r1")
    assert told.told_after == [[A, B, "link", A40.at.isoformat(), "events_north", "A40", A40.key]]
    assert told.told_before == [[A, B]]
    assert tell(vault_linker, A40).changed == 0
    assert linkage.history(vault_linker)[0].audit_id == told.audit_id, "nothing new, no row"

    assert tell(vault_linker, A40, A37).changed == 2
    assert state(vault_linker) == before
    taken_back, *_ = linkage.history(vault_linker, B)
    assert taken_back.told_before == told.told_after
    assert taken_back.told_after[0][2:] == ["none", A37.at.isoformat(), "events_north", "A37", A37.key]
    assert tell(vault_linker, A37, A40).changed == 0


def test_a_message_that_is_withdrawn_takes_its_word_with_it(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    before = state(vault_linker)
    tell(vault_linker, A40)
    assert links(vault_linker) != before["links"]
    linkage.run(vault_linker)
    assert links(vault_linker) != before["links"], "a run that reads no messages heeds what was told"
    tell(vault_linker)
    assert state(vault_linker) == before
    assert linkage.history(vault_linker)[0].reason == "A40 withdrawn"


def test_an_unlink_that_takes_nothing_back_parts_what_scores_have_joined(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    before = links(vault_linker)
    parted = said("A37", "a", "c", 1)
    tell(vault_linker, parted)
    assert persons(vault_linker) == {frozenset({B, D})}
    linkage.run(vault_linker, full=True)
    assert persons(vault_linker) == {frozenset({B, D})}
    tell(vault_linker, parted, said("A40", "a", "c", 2))
    assert persons(vault_linker) == {frozenset({A, C}), frozenset({B, D})}
    tell(vault_linker)
    assert links(vault_linker) == before


def test_who_is_one_person_by_score_after_an_unlink_waits_for_somebody_to_look(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    before = links(vault_linker)
    told = said("A40", "a", "c", 1), said("A37", "a", "c", 2)
    tell(vault_linker, told[0])
    assert linkage.history(vault_linker, C)[0].kind == "decision", "told, and so already"
    tell(vault_linker, *told)
    assert links(vault_linker) == before
    assert [(p.key_a, p.key_b, p.why) for p in linkage.review(vault_linker) if p.why == "unlinked"] == [
        (A, C, "unlinked")
    ]
    linkage.reject(vault_linker, A, C, "two people", **WHO)
    assert persons(vault_linker) == {frozenset({B, D})}
    assert "unlinked" not in {pair.why for pair in linkage.review(vault_linker)}


def test_what_somebody_decides_stands_above_what_is_told(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    before = links(vault_linker)
    tell(vault_linker, A40)
    change = linkage.history(vault_linker, B)[0].audit_id
    undone = linkage.unmerge(vault_linker, change, "two people", **WHO)
    assert undone.is_exact
    assert links(vault_linker) == before
    assert tell(vault_linker, A40, AGAIN).changed == 0
    assert links(vault_linker) == before
    linkage.unmerge(vault_linker, undone.audit_id, "one after all", **WHO)
    linkage.merge(vault_linker, A, B, "looked at both", **WHO)
    tell(vault_linker, A40, A37)
    assert persons(vault_linker) == {frozenset({A, B, C, D})}


def test_of_merges_that_cannot_all_be_the_newest_stands(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    """B was given up for A, A for C; then C is parted from B, which it has by way of A."""
    parted = [said("A40", "a", "b", 1), said("A40", "c", "a", 2), said("A37", "c", "b", 3)]
    tell(vault_linker, *parted)
    assert persons(vault_linker) == {frozenset({A, C}), frozenset({B, D})}


def queue(conn: vault.Connection) -> set[tuple[str, str, str]]:
    return {(pair.key_a, pair.key_b, pair.why) for pair in linkage.review(conn)}


def test_an_unlink_parts_nobody_whom_somebody_has_merged_and_is_shown(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    linkage.merge(vault_linker, A, B, "looked at both", **WHO)
    linkage.merge(vault_linker, A, C, "looked at both", **WHO)
    merged = links(vault_linker)
    tell(vault_linker, said("A37", "b", "c", 1))
    assert links(vault_linker) == merged
    assert queue(vault_linker) == {(B, C, "told apart")}
    linkage.reject(vault_linker, B, C, "two people", **WHO)
    assert "told apart" not in {why for *_, why in queue(vault_linker)}


def test_a_merge_that_is_refused_is_shown(people: vault.Connection, vault_linker: vault.Connection) -> None:
    """Somebody put B and C apart; two messages want both of them to be A."""
    linkage.reject(vault_linker, B, C, "two people", **WHO)
    told = said("A40", "a", "b", 1), said("A40", "a", "c", 2)
    tell(vault_linker, *told)
    assert persons(vault_linker) == {frozenset({A, C}), frozenset({B, D})}
    assert queue(vault_linker) == {(A, B, "merge refused")}
    tell(vault_linker, told[1])
    assert queue(vault_linker) == set()


def test_a_merge_that_a_later_decision_breaks_is_shown(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    linkage.merge(vault_linker, A, B, "looked at both", **WHO)
    linkage.merge(vault_linker, A, key(1_000_001), "looked at both", **WHO)
    linkage.reject(vault_linker, B, key(1_000_001), "two people", **WHO)
    assert queue(vault_linker) == {(A, key(1_000_001), "merge refused")}


PEOPLE = "abcde"
RULED = st.dictionaries(
    st.sampled_from(list(combinations(PEOPLE, 2))), st.sampled_from(["link", "apart"]), max_size=6
)


@given(RULED, RULED, st.lists(st.sampled_from(list(combinations(PEOPLE, 2))), max_size=6))
@settings(max_examples=200, deadline=None)
def test_nothing_told_or_scored_parts_or_joins_against_a_decision(
    decisions: dict[tuple[str, str], Verdict],
    told: dict[tuple[str, str], Verdict],
    pairs: list[tuple[str, str]],
) -> None:
    least = Thresholds(link=1, duplicate=1, review=0)
    scored = [Pair(*pair, 10.0, "", frozenset()) for pair in pairs]
    told = {pair: verdict for pair, verdict in told.items() if pair not in decisions}
    decided = clusters.persons([], decisions, {}, {}, least)
    found = clusters.persons(scored, decisions, told, {}, least)
    for pair in combinations(PEOPLE, 2):
        assert found.are_one(*pair) or not decided.are_one(*pair)
        assert not found.are_one(*pair) or decisions.get(pair) != "apart"


@given(
    st.lists(
        st.builds(
            said,
            st.sampled_from(["A40", "A40", "A37"]),
            st.sampled_from("abcd"),
            st.sampled_from("abcdx"),
            st.integers(0, 3),
        ),
        min_size=2,
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_messages_that_come_bit_by_bit_in_any_order_end_alike_and_leave_no_trace(
    people: vault.Connection, vault_linker: vault.Connection, sayings: list[Saying], chance: object
) -> None:
    before = state(vault_linker)
    ends = []
    for _ in range(2):
        chance.shuffle(sayings)  # type: ignore[attr-defined]
        for count in range(1, len(sayings) + 1):
            tell(vault_linker, *sayings[:count], *sayings[: count // 2])
        who = vault_linker.execute(
            "select patient_key, person_key from vault.person_link order by 1"
        ).fetchall()
        ends.append((who, vault_linker.execute("select * from vault.link_told order by 1, 2").fetchall()))
    assert ends[0] == ends[1]
    tell(vault_linker)
    assert state(vault_linker) == before


def test_the_history_names_who_told_it_in_which_message(
    people: vault.Connection,
    vault_linker: vault.Connection,
    postgres: Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in postgres.environment().items():
        monkeypatch.setenv(name, value)
    jobs_settings.settings.cache_clear()
    message = key(99)
    tell(vault_linker, said("A40", "a", "b", 1, message))
    shown = CliRunner().invoke(app, ["history", B, "--limit", "1"]).output
    jobs_settings.settings.cache_clear()
    _, line = shown.splitlines()
    assert f"merge,events_north,A40,4,{A} {D},{D}," in line
    assert line.endswith(f"A40 {message}")
