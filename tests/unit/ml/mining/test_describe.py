"""Statistics of people, and that their intervals hold what they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.mining import describe


def test_a_table_of_people_by_group() -> None:
    values = pd.DataFrame({"sodium": [*range(130, 150), np.nan], "rare": [1.0] * 5 + [np.nan] * 16})
    sex = np.array(["female"] * 12 + ["male"] * 9)
    found = describe.describe(values, {"sex": sex})
    assert list(found.columns) == describe.COLUMNS
    shown = found[["variable", "division", "group_name", "people", "missing", "mean", "median"]]
    assert shown.to_numpy().tolist() == [
        ["sodium", "all", "all", 20, 1, 139.5, 139.5],
        ["sodium", "sex", "female", 12, 0, 135.5, 135.5],
    ], "8 men are too few, and so are 5 values of the rare one"
    row = found.iloc[0]
    assert (row["quartile_1"], row["quartile_3"]) == (134.75, 144.25)
    assert row["sd"] == pytest.approx(np.std(range(20), ddof=1))
    assert (row["mean_low"], row["mean_high"]) == pytest.approx((136.731, 142.269), abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(15)))
def test_the_order_of_people_says_nothing(order: list[int]) -> None:
    values = np.array([3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, np.nan, 7])
    assert describe.of_values(values[order]) == pytest.approx(describe.of_values(values))


@pytest.mark.parametrize(
    ("shape", "least"), [("normal", 0.93), ("gamma", 0.90)], ids=["as a bell", "long to one side"]
)
def test_intervals_hold_the_truth_as_often_as_they_say(shape: str, least: float) -> None:
    rng, hits, rounds, n = np.random.default_rng(1), np.zeros(3), 300, 100
    draw = (lambda: rng.normal(0, 1, n)) if shape == "normal" else (lambda: rng.gamma(4, 1, n))
    truth = {"normal": (0, 1, 0), "gamma": (4, 2, 3.672)}[shape]
    for _ in range(rounds):
        told = describe.of_values(draw())
        names = ("mean", "sd", "median")
        hits += [told[f"{n}_low"] <= t <= told[f"{n}_high"] for n, t in zip(names, truth, strict=True)]
    assert (hits / rounds >= least).all(), hits / rounds


def test_what_does_not_vary_has_no_spread() -> None:
    assert describe.sd_interval(np.full(20, 3.0)) == (0.0, 0.0)
