"""What records say of who somebody is comes out in one shape, whatever they look like."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.identity.demographics import Demographics, fold, is_valid_national_id, normalised, of_patient

PATIENT: dict[str, Any] = {
    "identifier": [
        {"type": {"coding": [{"code": "MR"}]}, "system": "https://north.example/mrn", "value": "N-12/3"},
        {"system": "https://id.city.example/national", "value": "0000000123-26"},
    ],
    "name": [
        {"use": "old", "family": "Before", "given": ["Old"]},
        {"use": "nickname", "given": ["Jo"]},
        {"use": "official", "family": "O'Neil-Ibáñez", "given": ["Jörg", "Søren"]},
    ],
    "telecom": [
        {"system": "phone", "use": "old", "value": "1"},
        {"system": "phone", "value": "+1 (205) 555-0101"},
        {"system": "email", "value": " J.Oneil@Mail.Example "},
    ],
    "gender": "male",
    "birthDate": "1961-04-09",
    "address": [
        {"use": "work"},
        {"use": "home", "line": ["12 Mill Lane", "Flat 3"], "postalCode": "c05 41a"},
    ],
}


def test_a_patient() -> None:
    assert of_patient(PATIENT, "hospital_north") == Demographics(
        house="hospital_north",
        record_number="n123",
        given="joerg soeren",
        family="oneil ibanez",
        birth_date="1961-04-09",
        birth_precision="day",
        sex="male",
        national_id="city:000000012326",
        phone="12055550101",
        email="j.oneil@mail.example",
        postal_code="c0541a",
        street="12 mill lane flat 3",
    )


@pytest.mark.parametrize(
    ("text", "birth", "precision"),
    [
        ("1961-04-09", "1961-04-09", "day"),
        ("19610409", "1961-04-09", "day"),
        ("1961-04", "1961-04", "month"),
        ("1961", "1961", "year"),
        ("9.4.1961", "", ""),
    ],
)
def test_birth_dates(text: str, birth: str, precision: str) -> None:
    assert normalised(birth_date=text)[4:6] == (birth, precision)


def test_a_spelling_has_one_form() -> None:
    assert fold("Björn") == fold("BJOERN") == fold("Bjo\u0308rn") == "bjoern"
    assert fold("Zoë") == fold("Zoe") == "zoe"
    assert fold("O’Neil") == fold("O'Neil") == "oneil"
    assert fold("Đặng Ħaż-Żabbar") == "dang haz zabbar"


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ПЁТР  Ильич", "петр ильич"),
        ("Γιώργος", "γιωργοσ"),
        ("أَحمد", "احمد"),
        ("李 小龙", "李 小龙"),
        ("किरण", "किरण"),
    ],
)
def test_letters_of_other_scripts_stay(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_what_tells_two_people_apart_stays_in_any_script() -> None:
    one = normalised(email="анна@пример.рф", record_number="12-А", postal_code="12 А")
    other = normalised(email="мария@пример.рф", record_number="12-Б", postal_code="12 Б")
    assert (one.email, one.record_number, one.postal_code) == ("анна@пример.рф", "12а", "12а")
    assert not {*one} & {*other} - {""}


@given(st.text())
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_national_ids_know_a_wrong_digit() -> None:
    assert is_valid_national_id("city:000000012326")
    assert not is_valid_national_id("city:000000013326")
    assert not is_valid_national_id("")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*PATIENT, "given", "line", "use", "type", "coding", "system", "value"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*PATIENT]), _json))
def test_a_record_of_any_shape_says_what_it_can(patient: dict[str, Any]) -> None:
    said = of_patient(patient, "hospital_north")
    assert all(len(text) <= 230 for text in said)
