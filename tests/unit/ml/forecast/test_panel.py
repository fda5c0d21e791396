from __future__ import annotations

import numpy as np

from ml.forecast.panel import hierarchy, summed

NAN = np.nan


def test_a_gap_is_one_of_its_own_sums_alone() -> None:
    """Of two wards of h1 and one of h2, the first ward tells nothing of the last period."""
    _, levels, summing = hierarchy([("h1", "a"), ("h1", "b"), ("h2", "a")], ("hospital", "ward"))
    found = summed(np.array([[5.0, 6, NAN], [1, 2, 3], [4, 4, 4]]), summing)
    assert levels == ("ward", "ward", "ward", "hospital", "hospital", "city")
    wanted = [[5, 6, NAN], [1, 2, 3], [4, 4, 4], [6, 8, NAN], [4, 4, 4], [10, 12, NAN]]
    assert np.array_equal(found, np.array(wanted), equal_nan=True)


def test_what_has_not_begun_counts_nothing_and_is_not_known() -> None:
    _, _, summing = hierarchy([("h1",), ("h2",)], ("hospital",))
    found = summed(np.array([[NAN, 1.0, NAN, 3], [NAN, NAN, 5, 6]]), summing)
    wanted = [[NAN, 1, NAN, 3], [NAN, NAN, 5, 6], [NAN, 1, NAN, 9]]
    assert np.array_equal(found, np.array(wanted), equal_nan=True)


def test_hospitals_of_one_ward_each_are_hospitals() -> None:
    names, levels, summing = hierarchy([("h1", "heart"), ("h2", "lung")], ("hospital", "ward"))
    assert names == ("h1", "h2", "city")
    assert levels == ("hospital", "hospital", "city")
    assert summing.tolist() == [[1, 0], [0, 1], [1, 1]]


def test_a_hospital_of_one_ward_is_both_beside_one_of_more() -> None:
    names, levels, _ = hierarchy([("h1", "heart"), ("h1", "lung"), ("h2", "lung")], ("hospital", "ward"))
    assert names == ("h1|heart", "h1|lung", "h2|lung", "h1", "h2", "city")
    assert levels == ("ward", "ward", "ward", "hospital", "hospital", "city")
