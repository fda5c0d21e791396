"""Correlations that are there are found, those of age alone are seen through, those of chance are not told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ml.mining.correlate import COLUMNS, correlate


def people(n: int = 800, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pressure and creatinine both grow with age and have nothing else in common; glucose drives HbA1c."""
    rng = np.random.default_rng(seed)
    age, glucose = rng.uniform(18, 95, n), rng.normal(100, 20, n)
    values = pd.DataFrame(
        {
            "age_years": age,
            "pressure": age + rng.normal(0, 20, n),
            "creatinine": age + rng.normal(0, 20, n),
            "glucose": glucose,
            "hba1c": np.exp((glucose + rng.normal(0, 10, n)) / 30),
        }
    )
    return values, pd.DataFrame({"age_years": age, "is_male": rng.integers(0, 2, n).astype(float)})


def pair(found: pd.DataFrame, one: str, other: str) -> pd.Series:
    [row] = found[(found["variable"] == one) & (found["other_variable"] == other)].to_dict("records")
    return pd.Series(row)


def test_what_belongs_together_and_what_only_grows_old_together() -> None:
    values, given = people()
    found = correlate(values, given)
    assert list(found.columns) == COLUMNS
    assert len(found) == 10
    sugar, old = pair(found, "glucose", "hba1c"), pair(found, "creatinine", "pressure")
    assert sugar["rho"] == pytest.approx(stats.spearmanr(values["glucose"], values["hba1c"]).statistic)
    assert sugar["partial_rho"] > 0.8
    assert sugar["partial_q"] < 1e-6
    assert old["rho_low"] > 0.3
    assert old["partial_rho_low"] < 0 < old["partial_rho_high"]
    assert np.isnan(pair(found, "age_years", "pressure")["partial_rho"]), "age given age is nothing"


def test_pairs_of_chance_are_not_told() -> None:
    rng, told = np.random.default_rng(2), 0
    for _ in range(40):
        noise = pd.DataFrame(rng.normal(size=(60, 8)), columns=list("abcdefgh"))
        given = pd.DataFrame({"age_years": rng.normal(size=60), "is_male": rng.integers(0, 2, 60)})
        found = correlate(noise, given)
        told += int((found["q"] <= 0.05).any() or (found["partial_q"] <= 0.05).any())
    assert told <= 4, "two families of pairs, each false at most once in 20 tables"


def test_the_interval_holds_the_truth() -> None:
    rng, rho, hits = np.random.default_rng(3), 0.6, 0
    true_rank = 6 / np.pi * np.arcsin(rho / 2)
    for _ in range(300):
        x = rng.normal(size=80)
        values = pd.DataFrame({"a": x, "b": rho * x + np.sqrt(1 - rho**2) * rng.normal(size=80)})
        given = pd.DataFrame({"age_years": rng.normal(size=80)})
        row = correlate(values, given).iloc[0]
        hits += row["rho_low"] <= true_rank <= row["rho_high"]
    assert 0.92 <= hits / 300 <= 0.99


def test_few_people_and_what_does_not_vary_are_left_out() -> None:
    values, given = people(40)
    values["constant"] = 1.0
    values.loc[values.index[:20], "glucose"] = np.nan
    found = correlate(values, given)
    assert not {"constant", "glucose"} & {*found["variable"], *found["other_variable"]}
