"""Figures of mining become lines: what is judged, where, and what is only told."""

from __future__ import annotations

from infra.evaluate.mining import lines
from ml.mining.evaluate import Figure, Result


def by_name(residents: float, *figures: Figure) -> dict[str, str]:
    return {line.name: str(line) for line in lines(Result(figures, residents, ()))}


FIGURES = (
    Figure("outbreak_delay_median", 3.0, "days", 14),
    Figure("outbreak_false_alarms", 1.5, "days per district and year", 8000),
    Figure("rules_found_companion", 0.75, "share", 8),
    Figure("rules_found_symptom", 0.0, "share", 0),
    Figure("rules_findable_companion", 0.5, "share", 16),
    Figure("phenotypes_agree", 0.63, "adjusted Rand", 830),
    Figure("district_types_agree", 0.4, "adjusted Rand", 12),
)


def test_what_a_small_city_cannot_show_is_told() -> None:
    found = by_name(167.0, *FIGURES)
    assert found["outbreak_delay_median"] == "outbreak_delay_median 3 days - told of 14"
    assert found["district_types_agree"].endswith("told of 12")
    assert found["rules_found_symptom"].endswith("told of 0")
    assert found["rules_findable_companion"].endswith("told of 16")
    assert found["phenotypes_agree"] == "phenotypes_agree 0.63 adjusted Rand >=0.5 pass of 830"
    assert found["rules_found_companion"] == "rules_found_companion 0.75 share >=0.8 short of 8"
    assert found["outbreak_false_alarms"].endswith("<=1 short of 8000")


def test_a_large_city_is_asked_for_more() -> None:
    found = by_name(1700.0, *FIGURES)
    assert found["outbreak_delay_median"] == "outbreak_delay_median 3 days <=1 short of 14"
    assert found["district_types_agree"].endswith(">=0.5 short of 12")


def test_outbreaks_of_which_there_was_none_are_not_late() -> None:
    found = by_name(1700.0, Figure("outbreak_delay_median", float("inf"), "days", 0))
    assert found["outbreak_delay_median"] == "outbreak_delay_median inf days - told of 0"


def test_outbreaks_that_were_never_found_are_late() -> None:
    found = by_name(1700.0, Figure("outbreak_delay_median", float("inf"), "days", 3))
    assert found["outbreak_delay_median"] == "outbreak_delay_median inf days <=1 short of 3"
