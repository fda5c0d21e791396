"""A made city's records, over the hospitals' real protocol to silver, gold and features."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import pytest

from jobs import ingest, transform
from jobs.identity.linkage import task
from jobs.settings import settings
from jobs.sources import load as load_source
from ml import risk
from tests.support.city import clock, running_city
from tests.support.lake import TestLake


def to_features(lake: TestLake, city: Sequence[str]) -> str:
    """Make the city of those options, take its hospitals' records to features, and say for which instant."""
    home = str(lake.home)
    subprocess.run(
        [sys.executable, "-m", "infra.city", "make", "--home", home, *city], stdout=sys.stderr, check=True
    )
    with pytest.MonkeyPatch.context() as monkeypatch, running_city(lake.home, *city) as url:
        monkeypatch.setenv("CITYWELL_CITY_PORT", url.rpartition(":")[2])
        settings.cache_clear()
        as_of = clock(url)
        for source, endpoint in load_source("hospital").endpoints.items():
            if not endpoint.on_demand:
                _timed(source, lambda source=source: ingest.ingest(source, as_of))
    for name, step in (("people", task.run), ("gold", transform.run), ("features", risk.build_features)):
        _timed(name, lambda step=step: step(as_of))
    settings.cache_clear()
    return as_of


def say(words: str) -> None:
    """Progress, beside the figures."""
    print(words, file=sys.stderr, flush=True)


def _timed(name: str, step: Callable[[], object]) -> None:
    started = time.monotonic()
    step()
    say(f"{name}: {time.monotonic() - started:.0f} s")
