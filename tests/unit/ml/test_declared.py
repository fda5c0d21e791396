"""Digests of declared features tell of a change in what they mean."""

from __future__ import annotations

from ml.features import Derived, FeatureSet, Windowed
from ml.question import Feature


def test_a_digest_tells_of_a_change_in_what_a_formula_is_made_from() -> None:
    def digests(days: int) -> dict[str, str]:
        return FeatureSet(
            (
                Derived(Feature("age_years", "number", "age")),
                Windowed(Feature("visits", "count", "visits"), "visit", "count", days=days),
                Derived(Feature("is_known", "flag", "known"), "visits > 0"),
                Derived(
                    Feature("is_old_and_known", "flag", "old and known"), "is_known = 1 and age_years > 80"
                ),
            )
        ).digests()

    one, other = digests(90), digests(180)
    assert list(one) == ["age_years", "visits", "is_known", "is_old_and_known"]
    assert [name for name in one if one[name] != other[name]] == ["visits", "is_known", "is_old_and_known"]
    assert digests(90) == one
