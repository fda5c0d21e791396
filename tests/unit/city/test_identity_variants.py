"""Hospitals have identities in variants: at the documented rates, the same in every export, and in the answer key."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from infra.city import identity_variants as variants
from infra.city.habits import HARBOUR, HOSPITALS, NORTH
from infra.city.identity_variants import Persons, registered, slip
from infra.city.kin import kin
from infra.city.population import canary_numbers, identities, make_people
from infra.city.vocabulary import NATIONAL_ID

COUNT, SEED = 20_000, 7
NOBODY = np.zeros(0, dtype=np.int64)


@pytest.fixture(scope="module")
def away() -> dict[str, list[tuple[str, str]]]:
    """(true, as registered) of everyone at harbour, which none of them calls home, by kind."""
    numbers = np.arange(COUNT)
    people = make_people(COUNT, np.random.default_rng(1), 20_000, seed=SEED)
    people.home[:] = NORTH.code
    true = identities(SEED, numbers, people.sex, people.moves, NOBODY)
    persons = Persons.of(people, numbers, NOBODY, 20_000)
    found = registered(HARBOUR, SEED, persons, true)
    births = np.datetime_as_string(people.birth_day.astype("datetime64[D]")).tolist()
    kinds = {name: (texts, getattr(found.identity, name)) for name, texts in vars(true).items()}
    kinds["birth"] = (births, found.birth)
    return {name: list(zip(*both, strict=True)) for name, both in kinds.items()}


@pytest.mark.parametrize(
    ("kind", "share"),
    [
        ("street", variants.MOVED_SINCE),
        ("phone", variants.MOVED_SINCE + variants.OLD_PHONE * (1 - variants.MOVED_SINCE)),
        ("email", variants.NO_EMAIL),
        ("national_id", 0.40 + 0.6 * variants.WRONG_DIGIT),
        ("birth", 2 / 67 + variants.DATE_OFF + 0.4 * variants.DAY_FOR_MONTH),
        ("family", variants.SLIP + variants.SWAPPED + 0.013),
    ],
)
def test_what_differs_does_so_at_its_rate(
    away: dict[str, list[tuple[str, str]]], kind: str, share: float
) -> None:
    differ = sum(true != written for true, written in away[kind])
    assert differ / COUNT == pytest.approx(share, rel=0.15)


def test_a_wrong_digit_shows(away: dict[str, list[tuple[str, str]]]) -> None:
    wrong = [written for true, written in away["national_id"] if written not in ("", true)]
    by_mistake = [text for text in wrong if int(text[:10]) % 97 != int(text[11:])]
    assert 0.8 < len(by_mistake) / len(wrong) < 1, "a few are a relative's"


def test_harbour_writes_ascii(away: dict[str, list[tuple[str, str]]]) -> None:
    assert ("Björn", "Bjoern") in away["given"]
    assert ("Zoë", "Zoe") in away["given"]


def test_twins_namesakes_and_strangers_are_who_they_say() -> None:
    numbers = np.arange(COUNT)
    people = make_people(COUNT, np.random.default_rng(1), 20_000, seed=SEED)
    planted = canary_numbers(SEED, COUNT)
    who, of = identities(SEED, numbers, people.sex, people.moves, planted), kin(SEED, numbers, planted)
    for n in np.flatnonzero(of.is_twin).tolist():
        assert people.birth_day[n] == people.birth_day[n - 1]
        assert who.given[n] != who.given[n - 1] or people.sex[n] != people.sex[n - 1]
        assert (who.family[n], who.street[n]) == (who.family[n - 1], who.street[n - 1])
    for n in np.flatnonzero(of.is_namesake).tolist():
        assert (who.given[n], who.family[n], who.street[n]) == (
            who.given[n - 2],
            who.family[n - 2],
            who.street[n - 2],
        )
        assert people.birth_day[n] - people.birth_day[n - 2] > 26 * 365
    strangers = np.flatnonzero(of.is_stranger).tolist()
    for n in strangers:
        assert (who.given[n], who.family[n], people.birth_day[n]) == (
            who.given[n - 8],
            who.family[n - 8],
            people.birth_day[n - 8],
        )
        assert who.national_id[n] != who.national_id[n - 8]
    assert of.is_twin.sum() > 50
    assert of.is_namesake.sum() > 50
    assert 2 < len(strangers) < 15


def test_the_answer_key_has_every_patient_and_second_registrations(made_home: Path) -> None:
    rows = pq.read_table(made_home / "city/answer_key/persons.parquet").to_pylist()
    served: dict[str, dict[str, Any]] = defaultdict(dict)
    for habits in HOSPITALS:
        for path in sorted((made_home / "city/segments").glob(f"*/{habits.name}/Patient.ndjson")):
            for line in path.read_text().splitlines():
                patient = json.loads(line)
                served[habits.source][patient["id"]] = patient
    assert {(r["source"], r["patient_id"]) for r in rows} == {
        (source, id_) for source, found in served.items() for id_ in found
    }
    twice = [key for key, n in Counter((r["source"], r["person_id"]) for r in rows).items() if n > 1]
    assert twice
    source, person = twice[0]
    both = [
        served[source][r["patient_id"]] for r in rows if (r["source"], r["person_id"]) == (source, person)
    ]
    numbers = [i["value"] for p in both for i in p["identifier"] if i["system"] != NATIONAL_ID]
    assert len(set(numbers)) == 2


@pytest.mark.parametrize(("drawn", "slipped"), [(0, "Mrata"), (1, "Mrta"), (2, "Maarta"), (3, "Mabta")])
def test_a_slip_is_one_slip(drawn: int, slipped: str) -> None:
    assert slip("Marta", drawn + (1 << 16 if drawn == 3 else 0)) == slipped
