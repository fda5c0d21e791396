"""What mining found of what was planted, and what it told that was not.

A small city shows less (``ml.mining.evaluate``): rules and facility days are judged that could be told from chance
among its people, with how many could told beside; the days until an outbreak is found, and the types of districts,
where a district has LEAST_RESIDENTS. With fewer, the first days of an outbreak are a visit or two.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from infra.evaluate.figures import Line, is_published, told
from ml.mining.evaluate import Figure, Result, evaluate

NEEDED = ("gold.mining_rules", "gold.mining_outbreaks")
LEAST_RESIDENTS = 1000
LEAST_AGREEMENT = 0.5
"""Adjusted Rand index of clusters and planted groups. A classifier that was taught the groups of other people of a city
of 20,000 reaches about 0.85, as conditions are there by chance too. From 0.65 on recovery is moderate (Steinley,
Psychological Methods 2004)."""
LEAST_FOUND = 0.8
MOST_DELAY_DAYS, MOST_FALSE_ALARMS = 1.0, 1.0
AT_LEAST = {
    "rules_found": LEAST_FOUND,
    "facility_days_found": LEAST_FOUND,
    "dispensing_anomalies_found": LEAST_FOUND,
    "phenotypes_agree": LEAST_AGREEMENT,
}
AT_MOST = {"outbreak_false_alarms": MOST_FALSE_ALARMS}
IN_LARGE_CITIES_AT_LEAST = {"district_types_agree": LEAST_AGREEMENT}
IN_LARGE_CITIES_AT_MOST = {"outbreak_delay_median": MOST_DELAY_DAYS}


def figures(key: Path) -> Iterator[Line]:
    """Nothing before anything has been mined and watched."""
    if all(is_published(table) for table in NEEDED):
        yield from lines(evaluate(key))


def lines(result: Result) -> Iterator[Line]:
    """Each figure as a line: judged by the first of the tables above that names it or what it begins with, told
    where none does or nothing was planted that could have been found."""
    is_large = result.residents >= LEAST_RESIDENTS
    at_least = AT_LEAST | (IN_LARGE_CITIES_AT_LEAST if is_large else {})
    at_most = AT_MOST | (IN_LARGE_CITIES_AT_MOST if is_large else {})
    for figure in result.figures:
        least, most = _bound(at_least, figure), _bound(at_most, figure)
        value = round(figure.value, 4)
        if least is not None and figure.cases:
            yield Line(figure.name, value, figure.unit, f">={least:g}", figure.value >= least, figure.cases)
        elif most is not None and figure.cases:
            yield Line(figure.name, value, figure.unit, f"<={most:g}", figure.value <= most, figure.cases)
        else:
            yield told(figure.name, value, figure.unit, figure.cases)


def _bound(bounds: dict[str, float], figure: Figure) -> float | None:
    return next((bound for name, bound in bounds.items() if figure.name.startswith(name)), None)
