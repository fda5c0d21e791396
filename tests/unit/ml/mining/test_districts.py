"""Districts whose residents differ are told apart, whatever their age; those whose residents do not are one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from ml.mining import clusters, districts, inputs

TYPES = dict(zip((f"C{n:02d}" for n in range(1, 13)), "aaaabbbbcccc", strict=True))
SHIFT = {"a": 1.0, "b": 0.0, "c": -1.0}


def city(seed: int = 0, people: int = 4800, *, planted: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """People and their values: in districts of type a they are heavier and smoke more, in those of type c less. The
    people of half of the districts are older, and older people are heavier."""
    rng = np.random.default_rng(seed)
    district = rng.choice(list(TYPES), people)
    is_old = rng.random(people) < np.where(
        np.isin(district, ["C01", "C03", "C05", "C07", "C09", "C11"]), 0.7, 0.3
    )
    shift = np.array([SHIFT[TYPES[code]] for code in district]) * planted
    who = pd.DataFrame(
        {
            "person_key": [f"p{n:04d}" for n in range(people)],
            "age_band": np.where(is_old, "old", "young"),
            "sex": rng.choice(["female", "male"], people),
            "postal_district": district,
        }
    )
    values = pd.DataFrame(
        {
            "body_mass_index": 26 + shift + 3 * is_old + rng.normal(0, 4, people),
            "smokes_daily": (rng.random(people) < 0.2 + 0.1 * shift).astype(float),
            "admissions": rng.poisson(np.exp(-1.5 + 0.3 * shift + is_old)).astype(float),
            "glucose": rng.normal(100, 15, people),
            "emergency_visits": rng.poisson(0.3, people).astype(float),
        },
        index=pd.Index(who["person_key"]),
    )
    values.loc[rng.random(people) < 0.4, "body_mass_index"] = np.nan
    return who, values


def test_types_of_districts_are_found_and_told() -> None:
    people, values = city()
    told, by = districts.profiles(values, people, pd.DataFrame())
    found = clusters.cluster(by, most=5, is_scaled=True)
    assert adjusted_rand_score([TYPES[code] for code in by.index], found.labels) > 0.7
    assert told.loc["C01", "body_mass_index"] - told.loc["C09", "body_mass_index"] == pytest.approx(
        2, abs=0.9
    )
    assert abs(told.loc["C05", "body_mass_index"] - told.loc["C06", "body_mass_index"]) < 0.9, (
        "age is no difference"
    )


@pytest.mark.parametrize("seed", range(5))
def test_districts_without_differences_are_one(seed: int) -> None:
    people, values = city(seed, planted=False)
    _, by = districts.profiles(values, people, pd.DataFrame())
    assert by.to_numpy().std() == pytest.approx(1, abs=0.35), "in standard errors"
    assert clusters.cluster(by, most=5, is_scaled=True).k == 1


def test_exposures_join_and_small_districts_go() -> None:
    people, values = city()
    people.loc[:5, "postal_district"] = "C99"
    exposures = pd.DataFrame({"no2_ug_m3": np.linspace(10, 20, 12), "flat": 1.0}, index=list(TYPES))
    told, by = districts.profiles(values, people, exposures)
    assert list(by.index) == list(TYPES)
    assert by["no2_ug_m3"].std(ddof=0) == pytest.approx(1)
    assert told.loc["C12", "no2_ug_m3"] == 20
    assert "flat" not in by


def test_a_resident_is_a_row_of_what_is_known() -> None:
    people = pd.DataFrame({"person_key": ["a", "b"]})
    counts = {name: [1.0, 2.0] for name in districts.VISITS}
    variables = pd.DataFrame({**counts, "glucose": [90.0, np.nan], "age_years": [1.0, 2.0]}, index=["a", "b"])
    had = pd.DataFrame({"person_key": ["a", "a", "z"], "item": ["icd10|E11", "atc|A10BA02", "icd10|I10"]})
    table = districts.of_residents(people, variables, had, pd.Series({"b": 1.0}))
    assert list(table.columns) == [*districts.VISITS, "glucose", "icd10|E11", "smokes_daily"]
    assert table["icd10|E11"].tolist() == [1.0, 0.0]
    assert np.isnan(table.loc["a", "smokes_daily"])


def test_districts_are_described_in_plain_words_with_units() -> None:
    told = pd.DataFrame(
        {
            "emergency_visits": [0.25, 0.5],
            "care_need": [1.0, 2.0],
            "systolic_pressure": [120.0, 131.0],
            "icd10|I10": [0.1, 0.3],
            "smokes_daily": [0.2, 0.31],
        },
        index=["C01", "C02"],
    )
    exposures = pd.DataFrame({name: [10.0, 12.0] for name in inputs.EXPOSURES}, index=told.index)
    units = {"emergency_visits": "1/a", "care_need": "{score}", "systolic_pressure": "mm[Hg]"}
    labels = np.array([0, 1])

    def marks(columns: pd.DataFrame) -> str:
        values, called, printed = districts.as_read(columns, {"icd10|I10": "Hypertension"}, units)
        return clusters.marks(values, labels, called, printed)[1]

    assert marks(told) == (
        "emergency visits 0.5 a year (of all 0.375), need of help in daily life 2 points (of all 1.5), "
        "systolic pressure 131 mmHg (of all 126), share with Hypertension 30 % (of all 20), "
        "share who smoke daily 31 % (of all 25.5)"
    )
    assert marks(exposures) == (
        "fine particles in the air 12 µg/m³ (of all 11), nitrogen dioxide in the air 12 µg/m³ (of all 11), "
        "ozone in the air (highest eight hours of a day) 12 µg/m³ (of all 11), air temperature 12 °C (of all 11)"
    )
