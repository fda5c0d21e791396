"""Benchmarks: ``python -m tests.bench [NAME …]``. Lines: name value unit peer ratio target pass|short.

Exits with 1 where a line falls short.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.engine.sail import running_sail
from infra.stack.postgres import throwaway
from jobs.settings import PROJECT_DIR
from tests.bench import (
    daily,
    features,
    forecasting,
    linking,
    loading,
    merging,
    messages,
    readmission,
    risks,
    scoring,
    whole_city,
)
from tests.bench.rows import Row
from tests.support.lake import TestLake, use_home

TEST_DATA = Path(os.environ.get("CITYWELL_TEST_DATA", PROJECT_DIR.parent / "shared" / "data"))
MEMORY_GIB = 8
"""Of the engine: the first build of gold is of a large city's whole history at once."""


def load(lake: TestLake, scratch: Path) -> Iterator[Row]:
    yield from loading.measure(lake, TEST_DATA / "synthea-150", scratch)


def merge(lake: TestLake, scratch: Path) -> Iterator[Row]:
    yield from merging.measure(lake)


def link(lake: TestLake, scratch: Path) -> Iterator[Row]:
    yield from linking.measure(scratch)


def models(lake: TestLake, scratch: Path) -> Iterator[str]:
    from ml import bench

    for row in bench.rows(TEST_DATA / "diabetes-130"):
        yield str(row)


def point_in_time(lake: TestLake, scratch: Path) -> Iterator[object]:
    yield from features.measure(lake, scratch)


def readmissions(lake: TestLake, scratch: Path) -> Iterator[object]:
    yield from readmission.measure(lake)


def every_risk(lake: TestLake, scratch: Path) -> Iterator[object]:
    yield from risks.measure(lake)


def scores(lake: TestLake, scratch: Path) -> Iterator[object]:
    yield from scoring.measure(scratch)


def forecasts(lake: TestLake, scratch: Path) -> Iterator[Row]:
    yield from forecasting.measure(TEST_DATA / "beijing-pm25")


def city(lake: TestLake, scratch: Path) -> Iterator[object]:
    yield from whole_city.measure(lake)


def hl7(lake: TestLake, scratch: Path) -> Iterator[Row]:
    yield from messages.measure(lake, scratch)


def city_day(lake: TestLake, scratch: Path) -> Iterator[object]:
    yield from daily.measure()


BENCHMARKS: dict[str, Callable[[TestLake, Path], Iterator[object]]] = {
    "load": load,
    "merge": merge,
    "hl7": hl7,
    "linkage": link,
    "day": city_day,
    "features": point_in_time,
    "models": models,
    "readmission": readmissions,
    "risks": every_risk,
    "scores": scores,
    "forecasts": forecasts,
    "city": city,
}


def main(names: list[str]) -> None:
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}")
    with (
        tempfile.TemporaryDirectory() as directory,
        pytest.MonkeyPatch.context() as monkeypatch,
        throwaway() as postgres,
        running_sail(Path(directory), MEMORY_GIB) as engine,
    ):
        fell_short = False
        for name in names or BENCHMARKS:
            scratch = Path(directory) / name
            scratch.mkdir()
            lake = use_home(monkeypatch, scratch / "home", postgres, engine.remote)
            for row in BENCHMARKS[name](lake, scratch):
                print(row, flush=True)
                fell_short |= is_short(str(row))
    sys.exit(1 if fell_short else 0)


def is_short(line: str) -> bool:
    """Whether a benchmark's line says that it falls short; some say of how many cases behind it."""
    return re.search(r" short( of \d+)?$", line) is not None


if __name__ == "__main__":
    main(sys.argv[1:])
