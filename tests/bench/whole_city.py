"""Forecasts and mining of a city of 20,000 people and seven years, from what its systems tell over their protocols."""

from __future__ import annotations

from collections.abc import Iterator

from infra.evaluate.mining import lines
from ml import mining
from ml.mining.evaluate import evaluate
from tests.bench import forecasting, made_city
from tests.support.lake import TestLake

SOURCES = ("hospital", "pharmacy", "housing", "air_quality", "weather", "transport")
"""What tells what is forecast and mined, and its surroundings."""
CITY = ("--population", "20000", "--years", "7", "--seed", "11")
"""The seasonal naive forecast of weeks is that of the year before, which wants some years."""


def measure(lake: TestLake) -> Iterator[object]:
    """Lines of each family of forecasts, then of what mining found of what was planted."""
    as_of = made_city.to_gold(lake, CITY, SOURCES)
    yield from forecasting.of_city(as_of)
    made_city.timed("mining", lambda: mining.mine(as_of))
    made_city.timed("surveillance", lambda: mining.surveil(as_of))
    yield from lines(evaluate())
