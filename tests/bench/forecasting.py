"""Fine particles in Beijing a day ahead, on real readings: against persistence and seasonal naive, and coverage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ml.forecast import beijing
from tests.bench.rows import Row

MOST_OF_PEER = 0.92
LEAST_COVERAGE, MOST_COVERAGE = 0.87, 0.93


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
