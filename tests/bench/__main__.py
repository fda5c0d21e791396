"""Benchmarks: ``python -m tests.bench [NAME …]``. Lines: name value unit peer ratio target pass|short.

Exits with 1 where a line falls short.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.engine.launch import Engine
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
from tests.support.lake import TestLake, use_home

TEST_DATA = Path(os.environ.get("CITYWELL_TEST_DATA", PROJECT_DIR.parent / "shared" / "data"))
MEMORY_GIB = 8
"""Of the engine: the first build of gold is of a large city's whole history at once."""


@dataclass(frozen=True)
class Stand:
    """What a benchmark is run on: a lake of its own that is empty, a directory, and the engine."""

    lake: TestLake
    scratch: Path
    engine: Engine


def of_models(on: Stand) -> Iterator[object]:
    from ml import bench

    return bench.rows(TEST_DATA / "diabetes-130")


BENCHMARKS: dict[str, Callable[[Stand], Iterator[object]]] = {
    "load": lambda on: loading.measure(on.lake, TEST_DATA / "synthea-150", on.scratch),
    "merge": lambda on: merging.measure(on.lake),
    "hl7": lambda on: messages.measure(on.lake, on.scratch),
    "linkage": lambda on: linking.measure(on.scratch),
    "day": lambda on: daily.measure(),
    "features": lambda on: features.measure(on.lake, on.scratch),
    "models": of_models,
    "readmission": lambda on: readmission.measure(on.lake),
    "risks": lambda on: risks.measure(on.lake),
    "scores": lambda on: scoring.measure(on.scratch, on.engine),
    "forecasts": lambda on: forecasting.measure(TEST_DATA / "beijing-pm25"),
    "city": lambda on: whole_city.measure(on.lake),
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
            for row in BENCHMARKS[name](Stand(lake, scratch, engine)):
                print(row, flush=True)
                fell_short |= is_short(str(row))
    sys.exit(1 if fell_short else 0)


def is_short(line: str) -> bool:
    """Whether a benchmark's line says that it falls short; some say of how many cases behind it."""
    return re.search(r" short( of \d+)?$", line) is not None


if __name__ == "__main__":
    main(sys.argv[1:])
