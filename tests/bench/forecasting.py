"""Forecasts: of fine particles in Beijing a day ahead, on real readings, and of what a simulated city asks of its
hospitals and pharmacies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ml.forecast import beijing
from ml.forecast.backtest import Score, backtest
from ml.forecast.families import FAMILIES, SUPERSEDED, SURROUNDINGS
from ml.forecast.series import panel
from ml.lake import instant, opened
from tests.bench.rows import Row

MOST_OF_PEER = 0.92
LEAST_COVERAGE, MOST_COVERAGE = 0.87, 0.93
MOST_ERROR = 0.8


def measure(folder: Path) -> Iterator[Row]:
    """For either way of asking for a day ahead (see :mod:`ml.forecast.beijing`): mean absolute error by each peer's,
    and the share of readings that the 90 % intervals cover. The test year is 2014."""
    readings = beijing.read(folder)
    model = beijing.model_to_test(readings)
    for name, result in (
        ("beijing_day_ahead", beijing.day_ahead(model, readings)),
        ("beijing_24_hours_ahead", beijing.hour_in_24_hours(model, readings)),
    ):
        for peer, error in (("persistence", result.persistence), ("seasonal_naive", result.seasonal_naive)):
            ratio = result.model / error
            yield Row(
                f"{name}_against_{peer}",
                result.model,
                "ug/m3",
                f"{peer}={error:.2f}",
                ratio,
                f"<={MOST_OF_PEER}",
                ratio <= MOST_OF_PEER,
            )
        yield Row(
            f"{name}_coverage",
            result.coverage,
            "share",
            f"of_{result.targets}_at_90%",
            result.coverage / 0.9,
            f"{LEAST_COVERAGE}..{MOST_COVERAGE}",
            LEAST_COVERAGE <= result.coverage <= MOST_COVERAGE,
        )


def of_city(as_of: str) -> Iterator[Row]:
    """For each family of forecasts: MASE, error by that of seasonal naive, and coverage of the model chosen, in its
    test on the gold of a city that nothing was tuned on."""
    moment = instant(as_of)
    for family in FAMILIES.values():
        with opened("benchmark of forecasts", family.needs, (SUPERSEDED, *SURROUNDINGS)) as gold:
            known = panel(gold.spark, family, moment, gold.inputs)
        assert known is not None, family.name
        yield from _rows(family.name, backtest(known).test)


def _rows(family: str, test: Score) -> Iterator[Row]:
    for name, figure, of in (
        ("mase", test.mase, "naive_within_sample"),
        ("error", test.against_naive, "naive_of_same_targets"),
    ):
        value = figure.value
        words = f"{of}({figure.low:.3f}..{figure.high:.3f})"
        yield Row(f"{family}_{name}", value, "ratio", words, value, f"<={MOST_ERROR}", value <= MOST_ERROR)
    covered = test.coverage.value
    yield Row(
        f"{family}_coverage",
        covered,
        "share",
        f"strictly_inside={test.inside.value:.3f}_of_{test.targets}",
        covered / 0.9,
        f"{LEAST_COVERAGE}..{MOST_COVERAGE}",
        covered >= LEAST_COVERAGE and test.inside.value <= MOST_COVERAGE,
    )
