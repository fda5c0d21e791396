"""Who is one person: rules, scores and constraints, over a real vault."""

from __future__ import annotations

import itertools
import json
import random
import string
import traceback
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from jobs.errors import CitywellError
from jobs.identity import linkage, vault
from jobs.identity.linkage import models, records
from tests.unit.identity.described import (
    ANNA,
    HARBOUR,
    MOVED,
    NORTH,
    UNIVERSITY,
    A,
    B,
    C,
    D,
    demographics,
    key,
    national_id,
    others,
    patient,
    persons,
    register,
    state,
)


def without(said: dict[str, str], *names: str) -> dict[str, str]:
    return {name: text for name, text in said.items() if name not in names}


PAIRS: list[tuple[str, dict[str, str], dict[str, str], bool]] = [
    ("the same", {}, {}, True),
    (
        "one national id, other name and address",
        {"national_id": "="},
        {**MOVED, "family": "Holm", "national_id": "="},
        True,
    ),
    ("a slip", {}, {"given": "Ana", "phone": ""}, True),
    ("the wrong way round", {"family": "Lindqvist"}, {"given": "Lindqvist", "family": "Anna"}, True),
    ("day and month swapped", {"birth_date": "1961-04-09"}, {"birth_date": "1961-09-04"}, True),
    ("a year only", {"birth_date": "1962-04-09"}, {"birth_date": "1962"}, True),
    ("in ASCII", {"given": "Björn"}, {"given": "Bjoern", **MOVED}, True),
    ("married", {}, {"family": "Holm"}, True),
    ("twins", {}, {"given": "Dora"}, False),
    ("mother and daughter of one name", {"birth_date": "1963-04-09"}, {"birth_date": "1988-04-19"}, False),
    ("two national ids", {"national_id": "="}, {"national_id": "other"}, False),
    ("a wrong digit", {"national_id": "="}, {"national_id": "wrong"}, True),
    (
        "a newborn under its mother's national id",
        {"national_id": "=", "birth_date": "1963-04-09"},
        {"national_id": "=", "birth_date": "1993-08-21", "given": "Dora"},
        False,
    ),
    (
        "a daughter of her mother's name and national id",
        {"national_id": "=", "birth_date": "1963-04-09"},
        {"national_id": "=", "birth_date": "1993-08-21"},
        False,
    ),
    ("twins under one national id", {"national_id": "="}, {"national_id": "=", "given": "Dora"}, False),
    (
        "one national id, another birth date",
        {"national_id": "=", "birth_date": "1963-04-09"},
        {"national_id": "=", "birth_date": "1966-08-21"},
        True,
    ),
    ("twins of one first name", {"given": "Anna-Maria"}, {"given": "Anna-Luise"}, False),
    ("a second name's initial", {"given": "Anna-Maria"}, {"given": "Anna M."}, True),
    ("a second name used first", {"given": "Anna Maria"}, {"given": "Maria Anna"}, True),
    ("twins without a name yet", {"given": "Baby Girl A"}, {"given": "Baby Girl B"}, False),
    ("named since", {"given": "Lindqvist Girl"}, {"given": "Dora"}, False),
    ("brother and sister of near names", {"given": "Juana"}, {"given": "Juan", "sex": "male"}, False),
    ("in Cyrillic", {"given": "Анна", "family": "Петрова"}, {"given": "АННА", "family": "Петрова"}, True),
    (
        "twins in Cyrillic",
        {"given": "Анна", "family": "Петрова"},
        {"given": "Яна", "family": "Петрова"},
        False,
    ),
    (
        "twins of near bytes",
        {"given": "Галина", "family": "Ким"},
        {"given": "Полина", "family": "Ким"},
        False,
    ),
    ("in two scripts", {"given": "Анна", "family": "Петрова"}, {"given": "Anna", "family": "Petrova"}, False),
    ("without names", {"given": "", "family": ""}, {"given": "", "family": ""}, False),
    ("a phone only", {"only": "phone"}, {"only": "phone"}, False),
    ("nothing known", {"only": "sex"}, {"only": "sex"}, False),
]


WAITING = {
    "twins",
    "a newborn under its mother's national id",
    "a daughter of her mother's name and national id",
    "twins under one national id",
    "twins of one first name",
    "twins without a name yet",
    "named since",
    "brother and sister of near names",
    "twins in Cyrillic",
    "twins of near bytes",
    "in two scripts",
    "without names",
}
"""Pairs that somebody is to look at."""


def of_pair(number: int, said: dict[str, str]) -> dict[str, str]:
    """What is said of one of a pair: a person of its own each, but for what ``said`` has."""
    base = {
        **ANNA,
        "family": f"Lind{string.ascii_lowercase[number % 26] * (2 + number // 26)}strom",
        "birth_date": f"{1930 + 3 * number}-04-{1 + number:02d}",
        "phone": f"+1-205-555-{1000 + number}",
        "street": f"{100 + number} Mill Lane",
        "national_id": "",
    }
    ids = {"=": national_id(7000 + number), "other": national_id(8000 + number), "": ""}
    ids["wrong"] = f"{ids['=']}"[:-1] + str((int(ids["="][-1]) + 1) % 10)
    if only := said.get("only"):
        return {only: base[only]}
    merged = {**base, **said}
    return {**merged, "national_id": ids[merged["national_id"]]}


def test_pairs(people: vault.Connection, vault_linker: vault.Connection) -> None:
    both = [
        patient(1 + 2 * n + place, (NORTH, HARBOUR)[place], **of_pair(n, said))
        for n, (_, *pair, _) in enumerate(PAIRS)
        for place, said in enumerate(pair)
    ]
    register(people, both)
    linkage.run(vault_linker)
    found = persons(vault_linker)
    joined = {
        words for n, (words, *_) in enumerate(PAIRS) if frozenset({key(1 + 2 * n), key(2 + 2 * n)}) in found
    }
    assert joined == {words for words, *_, are_one in PAIRS if are_one}
    assert len(found) == len(joined), "and nobody else"
    queue = {(pair.key_a, pair.key_b) for pair in linkage.review(vault_linker)}
    waiting = {words for n, (words, *_) in enumerate(PAIRS) if (key(1 + 2 * n), key(2 + 2 * n)) in queue}
    assert waiting == WAITING


def test_a_house_and_its_record_number_name_one_patient(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    said = {"record_number": "N12-3", "family": "Lindqvist"}
    register(people, [patient(1, **said), patient(2, **said), patient(3, HARBOUR, **said)])
    linkage.run(vault_linker)
    assert persons(vault_linker) == {frozenset({A, B})}


def test_records_of_one_house_need_more_and_a_chain_never_joins_two_national_ids(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    alike = without(ANNA, "phone", "postal_code", "street")
    register(
        people,
        [
            patient(1, national_id=national_id(77), **ANNA),
            patient(2, HARBOUR, **ANNA),
            patient(3, UNIVERSITY, national_id=national_id(78), **{**ANNA, **MOVED, "family": "Lindquist"}),
            patient(4, **{**alike, "family": "Holm", "given": "A"}),
        ],
    )
    linkage.run(vault_linker)
    assert persons(vault_linker) == {frozenset({A, B})}
    assert {(p.key_a, p.key_b) for p in linkage.review(vault_linker)} <= {(B, C), (A, D), (B, D), (C, D)}


def test_a_new_member_changes_no_key_and_of_two_persons_the_older_stays(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    only_id = {"national_id": national_id(77), "birth_date": ANNA["birth_date"]}
    register(people, [patient(4, UNIVERSITY, day=1, **only_id), patient(2, HARBOUR, day=2, **ANNA)])
    assert linkage.run(vault_linker).is_full
    assert persons(vault_linker) == set()
    register(people, [patient(3, "pharmacy", day=3, **ANNA)], "b2")
    second = linkage.run(vault_linker)
    assert (second.is_full, second.scored, second.merged) == (False, 1, 1)
    key_of = "select person_key from vault.person_link where patient_key = %s"
    assert vault_linker.execute(key_of, (C,)).fetchone() == (B,)
    register(people, [patient(1, day=4, **only_id, **without(ANNA, "birth_date"))], "b3")
    linkage.run(vault_linker)
    assert persons(vault_linker) == {frozenset({A, B, C, D})}
    assert vault_linker.execute(key_of, (A,)).fetchone() == (D,), "the one registered first"
    newest, *_ = linkage.history(vault_linker)
    assert (newest.kind, newest.actor, set(newest.retired)) == ("merge", "linkage", {A, B})
    assert newest.before[C][0] == B
    assert newest.after[C][0] == D
    before = state(vault_linker)
    assert linkage.run(vault_linker).changed == 0
    assert state(vault_linker) == before
    assert linkage.run(vault_linker, full=True).changed == 0


def test_the_newest_version_stands_in_any_order(
    vault_client: vault.Connection, vault_linker: vault.Connection
) -> None:
    versions = [patient(1, version=day, family=name) for day, name in enumerate(("Ash", "Birch", "Cole"))]
    for order in itertools.permutations(versions):
        for said in order:
            register(vault_client, [said])
        assert demographics(vault_linker, 1).family == "cole"


def test_who_says_something_else_is_scored_again(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    register(people, [patient(1, **ANNA), patient(2, HARBOUR, **ANNA)])
    linkage.run(vault_linker)
    register(people, [patient(2, HARBOUR, version=1, **ANNA)], "b2")
    assert linkage.run(vault_linker).scored == 0, "the same again"
    register(people, [patient(2, HARBOUR, version=2, **{**ANNA, "given": "Dora"})], "b3")
    run = linkage.run(vault_linker)
    assert (run.scored, run.split) == (1, 1)
    links = vault_linker.execute("select * from vault.person_link where patient_key = %s", (B,)).fetchone()
    assert links is not None
    assert links[2:] == (B, links[5], "source_patient", links[5]), "as it was registered"


def test_batches_in_any_order_give_the_same_persons(
    vault_client: vault.Connection, vault_linker: vault.Connection, vault_owner: vault.Connection
) -> None:
    """With the model as it was fitted first: linkage runs after each batch."""
    register(vault_client, others())
    linkage.run(vault_linker)
    twin = {**ANNA, "given": "Dora", "national_id": national_id(90)}
    batches = [
        [patient(1, **ANNA), patient(2, HARBOUR, **twin)],
        [
            patient(3, HARBOUR, day=1, national_id=national_id(77), **ANNA),
            patient(4, **without(twin, "phone")),
        ],
        [patient(5, UNIVERSITY, day=2, national_id=national_id(77), **MOVED, birth_date=ANNA["birth_date"])],
        [patient(1, version=3, **{**ANNA, **MOVED}), patient(6, "pharmacy", day=3, **ANNA)],
    ]
    found = []
    for order in random.Random(4).sample(list(itertools.permutations(batches)), 3):
        vault_owner.execute("delete from vault.person_link where patient_key < %s", (key(100),))
        vault_owner.execute("delete from vault.source_identity where pseudonym < %s", (key(100),))
        vault_owner.execute("delete from vault.demographics where patient_key < %s", (key(100),))
        vault_owner.execute("delete from vault.link_pair")
        for number, batch in enumerate(order):
            register(vault_client, batch, f"b{number}")
            assert not linkage.run(vault_linker).is_full
        found.append(
            vault_linker.execute(
                "select patient_key, person_key from vault.person_link order by 1"
            ).fetchall()
        )
    assert all(one == found[0] for one in found)
    assert persons(vault_linker) == {frozenset({A, C, key(5), key(6)}), frozenset({B, D})}


@pytest.mark.parametrize("seed", range(2))
def test_crowded_values_make_the_same_pairs_in_any_order(
    vault_client: vault.Connection,
    vault_linker: vault.Connection,
    vault_owner: vault.Connection,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    """Phones and e-mails become crowded and cease to be, as versions come in any order; linkage runs after each few."""
    monkeypatch.setattr(records, "MOST_IN_BLOCK", 3)
    chance = random.Random(seed)
    register(vault_client, others())
    linkage.run(vault_linker)
    alike = without(ANNA, "postal_code", "street", "phone", "birth_date")
    versions = [
        patient(
            number,
            f"house_{number}",
            version=day,
            **alike,
            phone=f"+1-205-555-010{chance.randrange(3)}",
            email=f"{chance.choice('abc')}@mail.example",
            city=chance.choice(["", "Northport"]),
        )
        for number in range(1, 9)
        for day in range(2)
    ]
    found = []
    for size in (len(versions), 2, 5):
        vault_owner.execute("delete from vault.demographics where patient_key < %s", (key(100),))
        vault_owner.execute("delete from vault.link_pair")
        vault_owner.execute("delete from vault.link_crowded")
        vault_owner.execute("update vault.demographics set is_linked = false")
        linkage.run(vault_linker)
        chance.shuffle(versions)
        for start in range(0, len(versions), size):
            register(vault_client, versions[start : start + size])
            assert not linkage.run(vault_linker).is_full
        found.append(state(vault_linker)["pairs"])
    assert found[0]
    assert all(one == found[0] for one in found)


def test_a_value_that_becomes_crowded_joins_nobody_any_more(
    people: vault.Connection, vault_linker: vault.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST_IN_BLOCK", 20)
    linkage.run(vault_linker)
    only = {**without(ANNA, "birth_date", "postal_code", "street"), "email": "anna@mail.example"}
    register(people, [patient(1, **only), patient(2, HARBOUR, **only)])
    linkage.run(vault_linker)
    assert persons(vault_linker) == {frozenset({A, B})}
    contacts = {"phone": only["phone"], "email": only["email"]}
    crowd = [patient(number, f"house_{number}", **contacts) for number in range(10, 29)]
    register(people, crowd[:10], "b2")
    assert linkage.run(vault_linker).scored == 10
    register(people, crowd[10:], "b3")
    assert linkage.run(vault_linker).scored == 21, "all who have it"
    assert persons(vault_linker) == set()


def test_nobody_but_linkage_reads_who_people_are(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    for table in ("demographics", "link_pair", "link_term", "link_crowded", "link_audit"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            people.execute(f"select * from vault.{table}")
        people.rollback()
    for statement in (
        "select source_id from vault.source_identity",
        "select * from vault.access_audit",
        "update vault.demographics set family = 'x'",
        "update vault.link_audit set actor = 'x'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            vault_linker.execute(statement)


def test_reading_leaves_a_trace(
    people: vault.Connection, vault_linker: vault.Connection, vault_owner: vault.Connection
) -> None:
    register(people, [patient(1, **ANNA)])
    linkage.run(vault_linker, run_id="r1")
    runs = vault_owner.execute("select run_id, role, actor, purpose, records from vault.link_run").fetchall()
    assert runs == [("r1", "vault_linker", "linkage", "link records of one person", 301)]
    found = linkage.describe(vault_linker, [A], vault.Access("cli", "look at a pair", "r2"))
    assert (found[A]["given"], found[A]["family"]) == ("anna maria", "lindqvist")
    audit = vault_owner.execute("select role, actor, purpose, keys from vault.access_audit").fetchall()
    assert audit == [("vault_linker", "cli", "look at a pair", [A])]
    for table in ("link_audit", "link_run", "link_model"):
        with pytest.raises(psycopg.errors.RaiseException, match=f"{table} is append-only"):
            vault_owner.execute(f"truncate vault.{table}")


def test_a_line_break_in_a_value_stops_nobody(
    people: vault.Connection, vault_linker: vault.Connection
) -> None:
    """However large what is read becomes."""
    register(people, [patient(1, email="1\r\n@mail.example", **ANNA), patient(2, HARBOUR, **ANNA)])
    register(people, [patient(n, email=f"{n}" + "\n" * 180 + "@") for n in range(10, 5_000)])
    linkage.run(vault_linker)
    assert persons(vault_linker) == {frozenset({A, B})}


def test_errors_of_scoring_hold_no_value(people: vault.Connection, vault_linker: vault.Connection) -> None:
    register(people, [patient(1, **ANNA), patient(2, HARBOUR, **{**ANNA, "given": "Dora"})])
    trained = models.current(vault_linker)
    settings = json.loads(json.dumps(trained.settings))
    level = settings["comparisons"][0]["comparison_levels"][2]
    level["sql_condition"] = "cast(given1_l as integer) = cast(given1_r as integer)"
    models.store(vault_linker, settings, trained.thresholds, trained.evidence, actor="test", origin="test")
    with pytest.raises(CitywellError, match="cannot be scored \\(ConversionException\\)") as raised:
        linkage.run(vault_linker)
    told = "".join(traceback.format_exception(raised.value)).lower()
    assert "anna" not in told
    assert "could not convert" not in told


def test_with_little_memory_scoring_fails_and_spills_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit into memory is names and phones, in clear."""
    monkeypatch.chdir(tmp_path)
    named = {name: [f"canary{name}{n}" for n in range(200_000)] for name in ("patient_key", "given", "phone")}
    unknown = [""] * 200_000
    people = pa.table({name: named.get(name, unknown) for name in records.RECORD_SCHEMA.names})
    spilt: list[str] = []

    def derive() -> None:
        with records.database() as db:
            db.execute("set memory_limit = '20MB'")
            try:
                records.derive(db, people)
            finally:
                spilt.extend(file.name for file in tmp_path.rglob("*"))

    with pytest.raises(CitywellError, match="cannot be scored \\(OutOfMemoryException\\)") as raised:
        derive()
    assert spilt == []
    assert "little memory" in raised.value.do
    assert "canary" not in "".join(traceback.format_exception(raised.value))
