"""Figures against an answer key written as tables: what was found, when, and what should not have been."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.mining import evaluate, shapes
from ml.mining.evaluate import Figure, Found, item, judge
from tests.unit.ml.gold import ICD10, text_table

FIRST = dt.date(2025, 1, 1)


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


def outbreak_rows(alarms: dict[str, list[int]], days: int = 100) -> pd.DataFrame:
    """Two districts, one syndrome; days with an alarm by district."""
    return pd.DataFrame(
        [
            {
                "area_code": area,
                "syndrome": "respiratory",
                "date": day(n),
                "is_alarm": n in alarms.get(area, []),
            }
            for area in ("C01", "C02")
            for n in range(days)
        ]
    )


def found(
    *, had: pd.DataFrame | None = None, arrivals: pd.DataFrame | None = None, **tables: pd.DataFrame
) -> Found:
    rows = {
        shape: pd.DataFrame(columns=[column.split()[0] for column in shape.columns.split(", ")])
        for shape in shapes.SHAPES
    }
    rows |= {getattr(shapes, name.upper()): table for name, table in tables.items()}
    people = pd.DataFrame({"person_id": [1, 2, 3, 3], "person_key": ["k1", "k2", "k3", "k3b"]})
    return Found(
        rows,
        people,
        {"f1": "hospital_north", "f2": "hospital_harbour"},
        pd.DataFrame({"person_key": [], "item": []}) if had is None else had,
        pd.Series("65 to 79, female", index=[f"k{n}" for n in range(2000)]),
        pd.DataFrame(columns=["facility_key", "date", "arrivals", "injuries"])
        if arrivals is None
        else arrivals,
    )


def days_of(facility: str, arrivals: int) -> pd.DataFrame:
    """A year in which so many come every day, one in ten with an injury."""
    return pd.DataFrame(
        {
            "facility_key": facility,
            "date": [day(n) for n in range(365)],
            "arrivals": arrivals,
            "injuries": arrivals // 10,
        }
    )


def with_items(**people: int) -> pd.DataFrame:
    """So many people with each item, the first ones of the city."""
    rows = [(f"k{n}", f"icd10|{name}") for name, count in people.items() for n in range(count)]
    return pd.DataFrame(rows, columns=["person_key", "item"])


def figures(of: Found, tmp_path: Path, **key: pd.DataFrame) -> dict[str, Figure]:
    for name, table in key.items():
        table.to_parquet(tmp_path / f"{name}.parquet")
    return {figure.name: figure for figure in judge(of, tmp_path).figures}


def test_tables_of_the_key_that_are_not_there_are_skipped(tmp_path: Path) -> None:
    result = judge(found(), tmp_path)
    assert result.figures == ()
    assert result.skipped == (
        "outbreaks",
        "facility_days",
        "dispensing_anomalies",
        "rules",
        "phenotypes",
        "district_types",
    )


def test_outbreaks_by_days_to_the_first_alarm(tmp_path: Path) -> None:
    """Four that could be found: two at once, one two days later, one never. One began before anything was judged."""
    planted = pd.DataFrame(
        text_table(
            """
            outbreak_id | syndrome    | area_code | began_on   | ended_on
            a           | respiratory | C01       | 2025-01-11 | 2025-01-20
            b           | respiratory | C02       | 2025-01-11 | 2025-01-20
            c           | respiratory | C02       | 2025-03-02 | 2025-03-06
            d           | respiratory | C01       | 2024-12-01 | 2024-12-09
            e           | respiratory | C01       | 2025-04-09 | -
            """
        )
    )
    told = outbreak_rows({"C01": [10, 21, 50, 98], "C02": [12, 67]})
    got = figures(found(outbreaks=told), tmp_path, outbreaks=planted)
    assert got["outbreaks_found"] == Figure("outbreaks_found", pytest.approx(3 / 4), "share", 4)
    assert got["outbreak_delay_median"].value == 1
    assert got["outbreak_false_alarms"].value == pytest.approx(2 / (200 / 365.25)), (
        "day 50 and day 67; day 21 still counts the outbreak's last days"
    )
    assert got["outbreak_false_alarms"].cases == 200


def test_an_alarm_of_the_other_syndrome_finds_nothing(tmp_path: Path) -> None:
    planted = pd.DataFrame(
        {"syndrome": ["gastro"], "area_code": ["C01"], "began_on": [day(10)], "ended_on": [day(15)]}
    )
    told = outbreak_rows({"C01": [10]})
    both = pd.concat([told, told.assign(syndrome="gastro", is_alarm=False)])
    got = figures(found(outbreaks=both), tmp_path, outbreaks=planted)
    assert got["outbreak_delay_median"].value == np.inf
    assert got["outbreak_false_alarms"].value == pytest.approx(1 / (200 / 365.25))


def test_where_no_outbreak_was_planted_alarms_are_judged_all_the_same(tmp_path: Path) -> None:
    none = pd.DataFrame(
        {name: pd.Series(dtype=str) for name in ("syndrome", "area_code", "began_on", "ended_on")}
    )
    got = figures(found(outbreaks=outbreak_rows({"C01": [10]})), tmp_path, outbreaks=none)
    assert got["outbreak_delay_median"].cases == got["outbreaks_found"].cases == 0
    assert got["outbreak_false_alarms"].value == pytest.approx(1 / (200 / 365.25))


def test_anomalies_by_subject_and_day(tmp_path: Path) -> None:
    told = pd.DataFrame(
        [
            ("facility_day", "f1", day(5), day(5)),
            ("facility_day", "f2", day(9), day(9)),
            ("dispensing", "k3b", day(0), day(89)),
            ("dispensing", "k2", day(0), day(89)),
        ],
        columns=["kind", "subject", "from_date", "to_date"],
    )
    got = figures(
        found(anomalies=told, arrivals=pd.concat([days_of("f1", 40), days_of("f2", 40)])),
        tmp_path,
        facility_days=pd.DataFrame(
            {
                "source": ["hospital_north", "hospital_north"],
                "date": pd.to_datetime([day(5), day(6)]).tz_localize("UTC"),
                "kind": ["surge", "closed"],
                "factor": [4.0, 0.0],
            }
        ),
        dispensing_anomalies=pd.DataFrame(
            {
                "person_id": [3, 2, 9],
                "began_on": [day(60), day(100), day(0)],
                "ended_on": [day(120), day(140), day(9)],
                "atc_code": "N02AX02",
            }
        ),
    )
    assert (got["facility_days_found_surge"].value, got["facility_days_found_closed"].value) == (1, 0)
    assert got["facility_days_findable_closed"].value == 1
    assert got["facility_days_right"].value == 0.5
    assert got["dispensing_anomalies_found"] == Figure("dispensing_anomalies_found", 0.5, "share", 2), (
        "of the two whom the lake knows"
    )
    assert got["dispensing_anomalies_right"].value == 0.5


def test_rules_by_what_their_codes_mean(tmp_path: Path) -> None:
    told = pd.DataFrame({"antecedent": ["icd10|E11"], "consequent": ["atc|A10BA02"], "p": 1e-6})
    had = with_items(E11=200)
    had = pd.concat([had, had.assign(item="atc|A10BA02")])
    icd10, atc = "http://hl7.org/fhir/sid/icd-10-cm", "http://www.whocc.no/atc"
    planted = pd.DataFrame(
        {
            "antecedent": [f"{icd10}|E11.9", f"{atc}|A10BA02", f"{icd10}|E11.9", f"{icd10}|E11.9"],
            "consequent": [f"{atc}|A10BA02", f"{icd10}|E11.9", f"{icd10}|E11.65", f"{icd10}|Z79.4"],
            "kind": "treatment",
            "times": None,
        }
    )
    got = figures(found(rules=told, had=had), tmp_path, rules=planted)
    assert got["rules_found_treatment"].value == 0.5, "a rule has a direction"
    assert got["rules_found_treatment"].cases == 2
    assert item(f"{icd10}|I50.9 & {atc}|C03CA01") == "atc|C03CA01 & icd10|I50"


def test_clusters_by_agreement(tmp_path: Path) -> None:
    told = pd.DataFrame(
        [
            *(("patients", key, None, number) for key, number in (("k1", 0), ("k2", 1), ("k3", 1))),
            *(("districts", None, area, number) for area, number in (("C01", 0), ("C02", 1), ("C03", 0))),
        ],
        columns=["kind", "person_key", "area_code", "cluster"],
    )
    got = figures(
        found(
            members=told,
            had=pd.DataFrame(
                {"person_key": ["k1", "k2", "k3"] * 2}
                | {"item": [f"icd10|{code}" for code in ("I50", "J44", "J44", "I48", "J45", "J45")]}
            ),
        ),
        tmp_path,
        phenotypes=pd.DataFrame(
            {
                "person_id": [1, 2, 3],
                "phenotype": ["heart", "lung", "lung"],
                "marks": [f"{ICD10}|I50.9 & {ICD10}|I48.91", *[f"{ICD10}|J44.9 & {ICD10}|J45.909"] * 2],
            }
        ),
        district_types=pd.DataFrame({"area_code": ["C01", "C02", "C03"], "type": ["a", "b", "b"]}),
    )
    assert got["phenotypes_agree"].value == 1.0
    assert got["district_types_agree"].value < 0.5
    assert (got["patient_clusters"].value, got["patient_clusters"].cases) == (2, 2)


def test_agreement_is_of_who_has_two_marks_of_one_phenotype(tmp_path: Path) -> None:
    """Of one who has a mark of each of two nothing tells which it is."""
    told = pd.DataFrame(
        {"kind": "patients", "person_key": ["k1", "k2", "k3"], "area_code": None, "cluster": [0, 0, 1]}
    )
    marks = {"lung": f"{ICD10}|J44.9 & {ICD10}|J45.909", "mind": f"{ICD10}|F32.A & {ICD10}|E03.9", "none": ""}
    planted = pd.DataFrame({"person_id": [1, 2, 3], "phenotype": ["mind", "lung", "none"]})
    planted["marks"] = planted["phenotype"].map(marks)
    had = pd.DataFrame(
        [("k1", "F32"), ("k1", "J44"), *((who, code) for who in ("k2", "k3") for code in ("J44", "J45"))],
        columns=["person_key", "item"],
    )
    had["item"] = "icd10|" + had["item"]
    got = figures(found(members=told, had=had), tmp_path, phenotypes=planted)
    assert (got["phenotypes_agree"].value, got["phenotypes_agree"].cases) == (1.0, 2)


def test_what_a_small_city_cannot_tell_is_not_judged(tmp_path: Path) -> None:
    """A rule too weak for so few people, a department that may well have nobody on a usual day."""
    planted_rules = pd.DataFrame(
        {
            "antecedent": [f"{ICD10}|E11.9", f"{ICD10}|E11.9", f"{ICD10}|A15.0"],
            "consequent": [f"{ICD10}|I25.10", f"{ICD10}|L03.90", f"{ICD10}|R05.9"],
            "kind": ["companion", "companion", "symptom"],
            "times": [8.0, 1.5, None],
        }
    )
    days = pd.DataFrame(
        {"source": "hospital_north", "date": [day(5), day(6)], "kind": ["surge", "closed"]}
    ).assign(factor=[4.0, 0.0])
    of = found(had=with_items(E11=280, I25=200, L03=50, R05=400, A15=3), arrivals=days_of("f1", 1))
    got = figures(of, tmp_path, rules=planted_rules, facility_days=days)
    assert got["rules_found_companion"] == Figure("rules_found_companion", 0.0, "share", 1)
    assert got["rules_findable_companion"] == Figure("rules_findable_companion", 0.5, "share", 2)
    assert got["rules_found_symptom"].cases == 0
    assert got["facility_days_found_closed"].cases == got["facility_days_found_surge"].cases == 0
    assert got["facility_days_findable_closed"].cases == 1


@pytest.mark.parametrize("told", [[], [1e-300]])
def test_the_fewer_rules_are_told_the_fewer_are_excused(told: list[float], tmp_path: Path) -> None:
    """What was to be found says what is findable, not what was found: nothing, or the most obvious rule alone."""
    rules = pd.DataFrame({"antecedent": "icd10|B18", "consequent": "icd10|K74", "p": told})
    planted = pd.DataFrame(
        {
            "antecedent": [f"{ICD10}|E11.9"],
            "consequent": [f"{ICD10}|I25.10"],
            "kind": "companion",
            "times": 4.0,
        }
    )
    of = found(had=with_items(E11=280, I25=200), rules=rules)
    assert figures(of, tmp_path, rules=planted)["rules_found_companion"].cases == 1


def test_a_rule_that_age_hides_is_not_findable(tmp_path: Path) -> None:
    """Both items are of the old alone, of whom nearly all have them: no stratum has room for a lift of 4."""
    planted = pd.DataFrame(
        {
            "antecedent": [f"{ICD10}|E11.9"],
            "consequent": [f"{ICD10}|I25.10"],
            "kind": "companion",
            "times": 4.0,
        }
    )
    of = found(had=with_items(E11=280, I25=200))
    old = of.strata.where(np.arange(2000) >= 290, "80 and over, female")
    got = figures(replace(of, strata=old), tmp_path, rules=planted)
    assert got["rules_findable_companion"] == Figure("rules_findable_companion", 0.0, "share", 1)


def test_a_city_without_a_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(evaluate.CitywellError, match="no answer key"):
        evaluate.evaluate(tmp_path)
