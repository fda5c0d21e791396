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


def rows_of(people: Sequence[str], at: Sequence[pd.Timestamp], source: str = NORTH) -> pa.Table:
    starts_at = pa.array(at, pa.timestamp("us", tz="UTC"))
    return pa.table({"person_key": people, "starts_at": starts_at, "source": [source] * len(people)})


def test_a_case_has_the_risk_of_its_person_at_its_instant() -> None:
    rows = gold.text_table(TOLD)
    people = [str(row["person"]) for row in rows]
    at = [pd.Timestamp(row["at"], tz="UTC") for row in rows]
    risk, is_known = truth.of_people(rows_of(people, at), RISKS, PEOPLE)
    assert [None if np.isnan(value) else value for value in risk] == [
        None if row["risk"] is None else float(row["risk"]) for row in rows
    ]
    assert ["yes" if one else "no" for one in is_known] == [row["is_known"] for row in rows]


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
    RISKS.to_parquet(folder / "true_risks.parquet")
    stays = {"source": [NORTH, NORTH], "encounter_id": ["s1", "s2"], "true_risk": [0.15, 0.25]}
    pd.DataFrame(stays).to_parquet(folder / "discharges.parquet")
    return folder


def test_people_are_found_by_their_patients_pseudonyms(key: Path) -> None:
    rows = rows_of(["two", "one"], [QUARTER, NEXT])
    found = truth.true_risks("pneumonia_90d", rows, key)
    np.testing.assert_array_equal(found, [np.nan, 0.2])


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
    assert truth.told(key) == ["pneumonia_90d", "readmission_30d"]
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
