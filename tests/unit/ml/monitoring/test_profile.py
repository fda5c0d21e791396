"""Counts by bin: nothing is lost, order says nothing, and nothing tells of a person."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.writeback.disclosure import SMALLEST_SHOWN
from ml.monitoring.profile import OTHER, WITHHELD, counted, from_json, profile, to_json
from ml.question import Feature
from tests.unit.ml.monitoring import made

NUMBER = Feature("sodium", "number", "sodium", "mmol/L")
VALUES = st.lists(
    st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, 140.0])), max_size=200
)


@given(VALUES, st.randoms())
@settings(max_examples=200, deadline=None)
def test_every_case_is_in_one_bin_whatever_their_order(values: list[float | None], random: object) -> None:
    rows = pd.DataFrame({"sodium": pd.Series(values, dtype=float)})
    found = profile(rows, [NUMBER], len(rows), made.WHEN)
    column = found.columns["sodium"]
    assert column.cases == len(values)
    assert len(column.labels) == len(column.counts)
    assert all(count == 0 or count >= SMALLEST_SHOWN for count in column.counts) or not column.cuts
    shuffled = rows.sample(frac=1, random_state=1)
    assert profile(shuffled, [NUMBER], len(rows), made.WHEN) == found
    assert counted(shuffled, found, len(rows), made.WHEN) == found


def test_a_value_that_many_share_is_a_bin_and_so_is_what_lies_beside_it() -> None:
    rows = pd.DataFrame({"sodium": [140.0] * 70 + [128.0] * 30})
    found = profile(rows, [NUMBER], 100, made.WHEN)
    assert found.columns["sodium"].counts == (0, 30, 0, 70, 0)
    other = counted(pd.DataFrame({"sodium": [146.0] * 60 + [152.0] * 40}), found, 100, made.WHEN)
    assert other.columns["sodium"].counts == (0, 0, 0, 0, 100)


def test_codes_that_few_have_and_that_nobody_had_are_others() -> None:
    way = Feature("way", "category", "discharged to")
    found = profile(pd.DataFrame({"way": ["home"] * 20 + ["aadvice"] * 2 + [None]}), [way], 23, made.WHEN)
    column = found.columns["way"]
    assert (column.codes, column.counts, column.missing) == (("home", OTHER), (20, 2), 1)
    later = counted(pd.DataFrame({"way": ["home", "mars"]}), found, 2, made.WHEN).columns["way"]
    assert later.counts == (1, 1)


def test_what_is_kept_holds_no_small_count_and_no_case() -> None:
    rows = made.frame(500, 1)
    text = to_json(profile(rows, made.FEATURES, 500, made.WHEN))
    kept = from_json(text)
    for column in kept.columns.values():
        assert all(count % 5 == 0 or count == WITHHELD for count in (*column.counts, column.missing))
    cuts = json.loads(text)["columns"]["level_0"]["cuts"]
    assert len(cuts) == 9
    assert not set(rows["level_0"]) & set(cuts)


@pytest.mark.parametrize("name", ["level_3", "visits_2", "has_2", "way_home"])
def test_it_comes_back_as_it_was_kept(name: str) -> None:
    kept = made.reference(made.frame(400, 2))
    assert from_json(to_json(kept)).columns[name] == kept.columns[name]
