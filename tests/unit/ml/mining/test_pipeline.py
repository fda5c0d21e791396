"""Mining of a small lake: what was planted is published, a run again changes nothing, and old runs go."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jobs.errors import CitywellError
from jobs.lake import catalog
from ml import mining
from ml.mining import clusters, inputs, pipeline, shapes, store
from ml.mining.evaluate import Figure, evaluate
from tests.support.lake import TestLake
from tests.unit.ml.gold import ATC, ICD10
from tests.unit.ml.mining import gold


@pytest.fixture(scope="module", autouse=True)
def quick() -> Any:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(clusters, "MOST_ROWS", 300)
        monkeypatch.setattr(clusters, "PAIRS", 3)
        monkeypatch.setattr(clusters, "NULLS", 2)
        yield


@pytest.fixture(scope="module")
def mined(lake: TestLake) -> dict[str, Any]:
    """What a run says, after what happens before there is gold."""
    with pytest.raises(CitywellError, match=r"Not published yet: gold\.dim_person"):
        mining.mine(gold.AS_OF)
    gold.publish(gold.city())
    return mining.mine(gold.AS_OF.isoformat())


@pytest.fixture(scope="module")
def watched(lake: TestLake, mined: dict[str, Any]) -> dict[str, Any]:
    return mining.surveil(gold.AS_OF.isoformat())


def everything(lake: TestLake) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for shape in shapes.SHAPES:
        rows = lake.rows(f"select * from {shape.table}")
        found[shape.table] = sorted(rows, key=lambda row: str(list(row.values())))
    return found


def test_every_table_is_published_with_its_run(
    mined: dict[str, Any], watched: dict[str, Any], lake: TestLake
) -> None:
    for name, rows in everything(lake).items():
        assert rows, name
        assert {row["run_id"] for row in rows} == {"20250204T000000.000000Z"}
    keys = {
        "gold.mining_statistics": ("variable", "division", "group_name"),
        "gold.mining_correlations": ("variable", "other_variable"),
        "gold.mining_rules": ("antecedent", "consequent"),
        "gold.mining_clusters": ("kind", "cluster"),
        "gold.mining_cluster_members": ("kind", "person_key", "area_code"),
        "gold.mining_anomalies": ("kind", "subject", "what", "from_date"),
        "gold.mining_outbreaks": ("area_code", "syndrome", "date"),
    }
    for name, key in keys.items():
        rows = everything(lake)[name]
        assert len({tuple(row[column] for column in key) for row in rows}) == len(rows), f"grain of {name}"


def test_what_was_planted_is_found(mined: dict[str, Any], lake: TestLake) -> None:
    rules = lake.rows(
        "select antecedent, consequent, antecedent_words, consequent_words from gold.mining_rules"
    )
    assert [tuple(rule.values()) for rule in rules if rule["antecedent"] == "icd10|E11"] == [
        ("icd10|E11", "atc|A10BA02", "Type 2 diabetes", "Metformin")
    ]
    [dispensed] = lake.rows("select subject from gold.mining_anomalies where kind = 'dispensing'")
    assert dispensed["subject"] == gold.BUYER
    told = lake.rows("select kind, subject, from_date, unit from gold.mining_anomalies")
    assert {
        "kind": "facility_day",
        "subject": "f",
        "from_date": gold.FIRST.date() + timedelta(days=gold.CLOSED_DAY),
        "unit": "unplanned arrivals",
    } in told
    assert [row["subject"] for row in told if row["kind"] == "reading"][:1] == [gold.SICK]
    assert mined["rules"] == len(rules)


def test_the_living_are_counted_once(mined: dict[str, Any], lake: TestLake) -> None:
    [row] = lake.rows(
        "select people, missing, unit from gold.mining_statistics where variable = 'age_years' and division = 'all'"
    )
    assert row == {"people": 899, "missing": 0, "unit": "a"}
    members = lake.rows("select person_key from gold.mining_cluster_members where kind = 'patients'")
    assert gold.DEAD not in {row["person_key"] for row in members}
    assert len(members) == 899


def test_a_second_run_says_the_same(mined: dict[str, Any], watched: dict[str, Any], lake: TestLake) -> None:
    before = everything(lake)
    assert mining.mine(gold.AS_OF) == mined
    assert mining.surveil(gold.AS_OF) == watched
    assert everything(lake) == before


def test_the_future_says_nothing_of_an_earlier_run(
    mined: dict[str, Any], watched: dict[str, Any], lake: TestLake
) -> None:
    """What becomes usable later changes nothing; of a day that is not over nothing is counted."""
    before = everything(lake)
    rows = gold.city()
    later = gold.AS_OF + timedelta(hours=1)
    for table in ("gold.fct_encounter", "gold.fct_condition", "gold.fct_measurement", "gold.fct_dispense"):
        rows[table] += [{**row, "usable_at": later} for row in rows[table][:200]]
    gold.publish(rows)
    mining.mine(gold.AS_OF)
    mining.surveil(gold.AS_OF)
    gold.publish(gold.city())
    assert everything(lake) == before


def test_a_newest_run_without_rules_is_judged_by_none_of_an_older_one(
    watched: dict[str, Any], lake: TestLake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nothing = {shape: pd.DataFrame(columns=columns(shape)) for shape in shapes.MINED}
    pd.DataFrame({"person_id": [1], "source": "hospital_north", "patient_id": "1"}).to_parquet(
        tmp_path / "persons.parquet"
    )
    planted = {"antecedent": f"{ICD10}|E11.9", "consequent": f"{ATC}|A10BA02", "kind": "treatment"}
    pd.DataFrame([{**planted, "times": None}]).to_parquet(tmp_path / "rules.parquet")

    def found() -> Figure:
        [figure] = [f for f in evaluate(tmp_path).figures if f.name == "rules_found_treatment"]
        return figure

    assert found() == Figure("rules_found_treatment", 1.0, "share", 1)
    statistics = {shapes.STATISTICS: one_row(shapes.STATISTICS)}
    monkeypatch.setattr(pipeline, "find", lambda _: nothing | statistics)
    mining.mine(gold.AS_OF + timedelta(days=1))
    assert found() == Figure("rules_found_treatment", 0.0, "share", 1)


@pytest.mark.parametrize(
    ("kind", "unlike"), [("patients", {"birth_year": 2020}), ("districts", {"postal_district": None})]
)
def test_where_there_is_nothing_to_cluster_the_rest_is_mined(
    kind: str, unlike: dict[str, Any], lake: TestLake, mined: dict[str, Any]
) -> None:
    rows = gold.city()
    rows["gold.dim_person"] = [{**person, **unlike} for person in rows["gold.dim_person"]]
    gold.publish(rows)
    told = mining.mine(gold.AS_OF + timedelta(days=1))
    gold.publish(gold.city())
    assert kind not in told["clusters"]
    assert len(told["clusters"]) == 1
    assert told["rules"] == mined["rules"]


def test_only_the_newest_runs_stay_and_a_run_may_find_nothing(
    mined: dict[str, Any], lake: TestLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(_: inputs.Gold) -> pipeline.Tables:
        return {shape: pd.DataFrame(columns=columns(shape)) for shape in shapes.MINED}

    monkeypatch.setattr(shapes, "KEPT_RUNS", 2)
    monkeypatch.setattr(pipeline, "find", nothing)
    assert mining.mine(gold.AS_OF + timedelta(days=1))["rules"] == 0
    assert everything(lake)["gold.mining_rules"], "the run before is still there"
    monkeypatch.setattr(pipeline, "find", lambda _: {shape: one_row(shape) for shape in shapes.MINED})
    for days in (2, 3, 1):
        mining.mine(gold.AS_OF + timedelta(days=days))
    for name in (shape.table for shape in shapes.MINED):
        rows = everything(lake)[name]
        held = sorted(row["run_id"][:8] for row in rows)
        assert held == ["20250205", "20250206", "20250207"], f"{name}: the two newest, and the one asked for"


def columns(shape: shapes.Shape) -> list[str]:
    return [column.split()[0] for column in shape.columns.split(", ")]


def one_row(shape: shapes.Shape) -> pd.DataFrame:
    return pd.DataFrame([dict.fromkeys(columns(shape))]).assign(**{"q": 1.0, "is_alarm": False, "kind": "x"})


@pytest.mark.parametrize(
    ("value", "stored"), [(1 / 3, 0.333333333), (123456.789012345, 123456.789), (2e-300, 2e-300), (0.0, 0.0)]
)
def test_what_is_stored_has_nine_digits(value: float, stored: float) -> None:
    assert store.rounded(np.array([value, -value])).tolist() == [stored, -stored]
    assert np.isnan(store.rounded(np.array([np.nan]))).all()


def test_patients_are_clustered_by_what_problem_lists_say(
    mined: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with catalog.lake_session() as spark:
        of = inputs.Gold.at(spark, gold.AS_OF)
        assert set(inputs.lasting_conditions(of)["item"]) == {"icd10|E11", "icd10|M54"}
        every = inputs.person_items(of)
        monkeypatch.setattr(inputs, "PROBLEM_LIST", "a list that nobody keeps")
        without = inputs.lasting_conditions(of)
    conditions = every[every["item"].str.startswith(inputs.ICD10_ITEM)].reset_index(drop=True)
    assert without.equals(conditions), "where nobody keeps one, every condition"


@pytest.mark.parametrize(("days", "stands"), [(1, True), (-1, False)])
def test_what_is_amended_later_is_mined_as_it_stood(
    days: int, stands: bool, lake: TestLake, mined: dict[str, Any]
) -> None:
    rows = gold.city()
    told = rows["gold.fct_condition"]
    rows["gold.fct_condition"] = [row for row in told if row["code"] != "E11.9"]
    rows["gold.fct_condition_superseded"] = [
        {**row, "superseded_at": gold.AS_OF + timedelta(days=days)} for row in told if row["code"] == "E11.9"
    ]
    gold.publish(rows)
    with catalog.lake_session() as spark:
        found = set(inputs.lasting_conditions(inputs.Gold.at(spark, gold.AS_OF))["item"])
    assert found == ({"icd10|E11", "icd10|M54"} if stands else {"icd10|M54"})
