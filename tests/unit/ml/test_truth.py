"""Cases and their true risks: who is who, what the key does not know, and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from jobs.errors import CitywellError
from ml import answer_key, models
from ml.question import Cases
from ml.recalibration import LogisticMap, StepMap, recalibrated
from ml.risk import evaluate, truth
from tests.support.lake import TestLake
from tests.unit.ml import gold, toy
from tests.unit.ml.small_city import publish

NORTH, HARBOUR = "hospital_north", "hospital_harbour"
QUARTER, NEXT, NO_QUARTER = (
    pd.Timestamp(day, tz="UTC") for day in ("2025-01-01", "2025-04-01", "2025-02-01")
)
PEOPLE = pd.DataFrame(
    {
        "person_id": [1, 2, 3, 3, 4, 5, 6],
        "person_key": ["one", "two", "part", "other", "mixed", "mixed", "six"],
    }
)
RISKS = pd.DataFrame(
    {
        "person_id": [1, 1, 2, 3, 4, 5],
        "at": pd.Series([QUARTER, NEXT, QUARTER, QUARTER, QUARTER, QUARTER]).dt.as_unit("ms"),
        "pneumonia_90d": [0.1, 0.2, np.nan, 0.3, 0.4, 0.5],
    }
)

# What the key says of a case of each person, asked about at an instant.
TOLD = """
person  | at         | risk | is_known | why
one     | 2025-01-01 | 0.1  | yes      | -
one     | 2025-04-01 | 0.2  | yes      | each instant has its own
two     | 2025-01-01 | -    | yes      | in hospital: not at risk
six     | 2025-01-01 | -    | yes      | dead by then, which the lake does not know yet
part    | 2025-01-01 | -    | no       | a person who is two in the lake: each has half of the past
mixed   | 2025-01-01 | -    | no       | two people who are one in the lake
nobody  | 2025-01-01 | -    | no       | not of this city
one     | 2025-02-01 | -    | no       | the key tells of quarters alone
"""


# Of a case, asked about on a Monday, 2025-01-13: the person's declines' admissions; whether one is in its week.
DECLINED = """
person  | is_before | hazard | why
one     | 1         | 0.2    | the last instant of the week; a second one is later
two     | 0         | 0.1    | the decline has begun, and the admission is on the next Monday
three   | 1         | -      | the first instant of the week; of the hazard nothing is told
four    | 0         | -      | admitted the moment before; a hazard that is told later is not known yet
five    | 0         | 0.3    | never declined
part    | -         | -      | a person who is two in the lake
nobody  | -         | -      | not of this city
"""
DECLINES = pd.DataFrame(
    [
        (1, "2025-01-19T23:59:59.999Z"),
        (1, "2025-01-25T10:00:00Z"),
        (2, "2025-01-20T00:00:00Z"),
        (3, "2025-01-13T00:00:00Z"),
        (4, "2025-01-12T23:59:59.999Z"),
        (6, "2025-01-15T10:00:00Z"),
    ],
    columns=["person_id", "admitted_at"],
)
DECLINES["admitted_at"] = pd.to_datetime(DECLINES["admitted_at"], format="ISO8601").dt.as_unit("ms")
HAZARDS = pd.DataFrame(
    {
        "person_id": [1, 1, 1, 2, 4, 5],
        "at": pd.Series([QUARTER, NEXT, QUARTER - pd.Timedelta(days=92), QUARTER, NEXT, QUARTER]).dt.as_unit(
            "ms"
        ),
        "emergency_90d": [0.2, 0.9, 0.8, 0.1, 0.7, 0.3],
    }
)
MONDAY = pd.Timestamp("2025-01-13", tz="UTC")


def rows_of(
    people: Sequence[str], at: Sequence[pd.Timestamp], source: str = NORTH, days: int = 7
) -> pa.Table:
    starts_at, ends_at = (
        pa.array([moment + pd.Timedelta(days=later) for moment in at], pa.timestamp("us", tz="UTC"))
        for later in (0, days)
    )
    return pa.table(
        {"person_key": people, "starts_at": starts_at, "ends_at": ends_at, "source": [source] * len(people)}
    )


def test_a_case_has_the_risk_of_its_person_at_its_instant() -> None:
    rows = gold.text_table(TOLD)
    people = [str(row["person"]) for row in rows]
    at = [pd.Timestamp(row["at"], tz="UTC") for row in rows]
    risk, is_known = truth.of_people(rows_of(people, at), RISKS, PEOPLE)
    assert [None if np.isnan(value) else value for value in risk] == [
        None if row["risk"] is None else float(row["risk"]) for row in rows
    ]
    assert ["yes" if one else "no" for one in is_known] == [row["is_known"] for row in rows]


def test_a_case_comes_before_the_admission_of_a_decline_only_if_that_is_within_its_time() -> None:
    rows = gold.text_table(DECLINED)
    asked = [str(row["person"]) for row in rows]
    people = pd.DataFrame(
        {
            "person_id": [1, 2, 3, 4, 5, 6, 6],
            "person_key": ["one", "two", "three", "four", "five", "part", "other"],
        }
    )
    found = truth.of_declines(rows_of(asked, [MONDAY] * len(asked)), DECLINES, HAZARDS, people)
    for column, values in zip(("is_before", "hazard"), found, strict=True):
        expected = [np.nan if row[column] is None else float(row[column]) for row in rows]
        np.testing.assert_array_equal(values, expected)


@pytest.fixture
def key(lake: TestLake, tmp_path: Path) -> Path:
    """A city of three, of whom two hospitals know the first; its lake, and its key."""
    maker = answer_key.pseudonymisers([NORTH, HARBOUR])
    patients = {"a": maker[NORTH].key("Patient", "a"), "b": maker[NORTH].key("Patient", "b")}
    patients["a2"] = maker[HARBOUR].key("Patient", "a")
    visits = [
        {
            **gold.encounter(key=name, person=person, **{"from": "2024-06-01", "to": "2024-06-01"}),
            "patient_key": key,
        }
        for name, person, key in (
            ("v1", "one", patients["a"]),
            ("v2", "one", patients["a2"]),
            ("v3", "two", patients["b"]),
        )
    ]
    publish({"persons": [gold.person("one"), gold.person("two")], "encounters": visits})
    folder = tmp_path / "answer_key"
    folder.mkdir()
    persons = {"person_id": [1, 1, 2], "source": [NORTH, HARBOUR, NORTH], "patient_id": ["a", "a", "b"]}
    pd.DataFrame(persons).to_parquet(folder / "persons.parquet")
    hazards = HAZARDS[HAZARDS["person_id"] < 3]
    RISKS.merge(hazards, "left", ["person_id", "at"]).to_parquet(folder / "true_risks.parquet")
    DECLINES.to_parquet(folder / "declines.parquet")
    stays = {"source": [NORTH, NORTH], "encounter_id": ["s1", "s2"], "true_risk": [0.15, 0.25]}
    pd.DataFrame(stays).to_parquet(folder / "discharges.parquet")
    return folder


def test_people_are_found_by_their_patients_pseudonyms(key: Path) -> None:
    rows = rows_of(["two", "one"], [QUARTER, NEXT])
    found = truth.true_risks("pneumonia_90d", rows, key)
    np.testing.assert_array_equal(found, [np.nan, 0.2])


def test_planted_declines_are_found_by_the_patients_pseudonyms(key: Path) -> None:
    rows = pa.concat_tables(
        [rows_of(["two", "one"], [MONDAY] * 2), rows_of(["given"], [MONDAY], source="hospital_given")]
    )
    is_before, hazard = truth.planted_declines("deterioration_7d", rows, key)
    np.testing.assert_array_equal(is_before, [0, 1, np.nan])
    np.testing.assert_array_equal(hazard, [0.1, 0.2, np.nan])
    with pytest.raises(CitywellError, match="does not know 1 of 2 cases of deterioration_7d"):
        truth.planted_declines("deterioration_7d", rows_of(["one", "x"], [MONDAY] * 2), key)


def test_what_the_city_does_not_play_has_no_true_risk_and_is_no_fault_of_the_key(key: Path) -> None:
    rows = pa.concat_tables(
        [rows_of(["one"], [QUARTER]), rows_of(["given"] * 9, [QUARTER] * 9, source="hospital_given")]
    )
    found = truth.true_risks("pneumonia_90d", rows, key)
    assert found[0] == 0.1
    assert np.isnan(found[1:]).all()


def test_stays_are_found_by_their_own_pseudonyms(key: Path) -> None:
    maker = answer_key.pseudonymisers([NORTH])[NORTH]
    rows = pa.table(
        {"encounter_key": [maker.key("Encounter", s) for s in ("s2", "s1")], "source": [NORTH] * 2}
    )
    assert truth.true_risks("readmission_30d", rows, key).tolist() == [0.25, 0.15]


def test_the_key_of_another_city_is_refused(key: Path) -> None:
    with pytest.raises(CitywellError, match="does not know 2 of 3 cases of pneumonia_90d"):
        truth.true_risks("pneumonia_90d", rows_of(["one", "x", "y"], [QUARTER] * 3), key)
    with pytest.raises(CitywellError, match="does not know 1 of 1 cases of readmission_30d"):
        truth.true_risks("readmission_30d", pa.table({"encounter_key": ["x"], "source": [NORTH]}), key)
    with pytest.raises(CitywellError, match="does not know 0 of 0 cases"):
        truth.true_risks("pneumonia_90d", rows_of(["one"], [QUARTER], source="hospital_given"), key)


def test_a_risk_that_the_key_does_not_tell_is_named(key: Path, tmp_path: Path) -> None:
    assert truth.told(key) == ["emergency_90d", "pneumonia_90d", "readmission_30d"]
    with pytest.raises(CitywellError, match="tells no true risk of diabetes_2y"):
        truth.true_risks("diabetes_2y", rows_of(["one"], [QUARTER]), key)
    with pytest.raises(CitywellError, match="There is no answer key"):
        truth.true_risks("pneumonia_90d", rows_of(["one"], [QUARTER]), tmp_path / "elsewhere")


def cases_of(count: int, seed: int = 0) -> tuple[Cases, np.ndarray]:
    """Cases with outcomes drawn from true risks, and these."""
    rng = np.random.default_rng(seed)
    risk = rng.beta(1, 9, count)
    y = (rng.random(count) < risk).astype(np.int64)
    return Cases(x=pd.DataFrame({"f": risk}), y=y, person=np.arange(count) // 2, groups={}), risk


def test_who_knows_the_truth_has_no_gap_and_chance_has_all_of_it() -> None:
    cases, risk = cases_of(8000)
    knowing = evaluate.compare(cases, risk, risk, tested=600)
    assert knowing.gap.value == knowing.gap.low == knowing.gap.high == 0.0
    assert (knowing.is_claimed, knowing.is_near, knowing.is_calibrated) == (True, True, True)
    guessing = evaluate.compare(cases, np.random.default_rng(1).permutation(risk), risk, tested=600)
    assert guessing.gap.low > 0.15
    assert not guessing.is_near


def test_a_recalibration_that_has_seen_everybody_is_judged_on_nobody() -> None:
    cases = toy.cases(600)
    plain = models.build("logistic", toy.QUESTION, {})
    raw = evaluate.unseen(plain, cases)
    by_steps, by_other_steps = (
        evaluate.unseen(recalibrated(plain, StepMap((0.0, 1.0), values)), cases)
        for values in ((0.0, 1.0), (0.9, 0.1))
    )
    assert (by_steps == by_other_steps).all(), "steps are learnt anew without the person"
    assert not np.allclose(by_steps, raw)
    by_line = evaluate.unseen(recalibrated(plain, LogisticMap(5.0, 3.0)), cases)
    assert np.corrcoef(by_line, raw)[0, 1] > 0.99
    assert by_line.mean() == pytest.approx(cases.y.mean(), abs=0.02)


def test_cases_without_a_true_risk_count_for_calibration_alone() -> None:
    cases, risk = cases_of(8000)
    half = np.where(np.arange(8000) < 4000, risk, np.nan)
    probability = np.where(np.isnan(half), 0.9, risk)
    found = evaluate.compare(cases, probability, half, tested=600)
    assert (found.cases, found.without, found.events) == (4000, 4000, int(cases.y[:4000].sum()))
    assert found.gap.value == 0.0
    assert found.calibration_error > 0.3
    assert not found.is_calibrated


def test_with_few_events_only_the_interval_is_judged() -> None:
    cases, risk = cases_of(600)
    rough = risk + np.random.default_rng(2).normal(0, 0.06, len(risk))
    few, many = (evaluate.compare(cases, rough, risk, tested=tested) for tested in (599, 600))
    assert few.gap == many.gap
    assert few.gap.low < evaluate.MOST_GAP < few.gap.value
    assert (few.is_claimed, few.is_near) == (False, True)
    assert (many.is_claimed, many.is_near) == (True, False)


def test_nothing_can_be_compared_without_events() -> None:
    cases, risk = cases_of(50)
    with pytest.raises(CitywellError, match="nothing can be compared"):
        evaluate.compare(cases, risk, np.where(cases.y == 1, np.nan, risk), tested=0)


def weeks(people: int, declines: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four weeks of each person: who; 1 in the last week of the first so many, 0 otherwise; and the person's hazard."""
    person = np.repeat(np.arange(people), 4)
    is_before = ((np.arange(4 * people) % 4 == 3) & (person < declines)).astype(float)
    return person, is_before, np.random.default_rng(0).random(people)[person]


def test_who_sees_declines_finds_more_than_who_knows_hazards_alone() -> None:
    person, is_before, hazard = weeks(100, 20)
    seeing = np.where(is_before == 1, 0.9, hazard / 2)
    found = evaluate.compare_declines(seeing, person, 0.49, is_before)
    assert (found.cases, found.declines, found.alerted) == (400, 20, 1.0)
    assert found.auroc is not None
    assert found.auroc.low == 1.0
    assert 20 / 400 <= found.alerts < 0.1
    higher, none = (evaluate.over_hazard(p, person, is_before, hazard) for p in (seeing, hazard))
    assert higher is not None
    assert higher.low > 0.2
    assert none is not None
    assert none.low == none.high == 0.0


def test_of_few_declines_nothing_is_estimated() -> None:
    person, is_before, hazard = weeks(100, 9)
    few = evaluate.compare_declines(hazard, person, 2.0, is_before)
    assert (few.declines, few.auroc, few.alerted, few.alerts) == (9, None, 0.0, 0.0)
    assert evaluate.over_hazard(hazard, person, is_before, hazard) is None
    none = evaluate.compare_declines(hazard, person, 0.0, np.zeros(400))
    assert (none.declines, none.auroc, none.alerted, none.alerts) == (0, None, 0.0, 1.0)


def test_people_whom_the_key_does_not_know_are_no_cases_without_a_decline() -> None:
    person, is_before, hazard = weeks(100, 20)
    is_known = person < 50
    p = np.where(is_known, is_before, 1.0)
    known = np.where(is_known, is_before, np.nan)
    found = evaluate.compare_declines(p, person, 0.5, known)
    assert (found.cases, found.declines, found.alerts) == (200, 20, 0.1)
    assert found.auroc is not None
    assert found.auroc.value == 1.0
    higher = evaluate.over_hazard(p, person, known, np.where(person == 30, np.nan, 0.1))
    assert higher is not None
    assert higher.value == 0.5
    assert evaluate.over_hazard(p, person, known, np.where(person < 11, np.nan, hazard)) is None
