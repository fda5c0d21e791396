"""A made city's records, over the real protocols to silver, gold and features."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import pytest

from jobs import ingest, transform
from jobs.identity.linkage import task as linkage
from jobs.settings import settings
from jobs.sources import load as load_source
from ml import risk
from tests.support.city import clock, running_city
from tests.support.lake import TestLake


def to_gold(lake: TestLake, city: Sequence[str], sources: Sequence[str] = ("hospital",)) -> str:
    """Make the city of those options, take the records of those sources to gold, and say as of which instant."""
    home = str(lake.home)
    subprocess.run(
        [sys.executable, "-m", "infra.city", "make", "--home", home, *city], stdout=sys.stderr, check=True
    )
    with pytest.MonkeyPatch.context() as monkeypatch, running_city(lake.home, *city) as url:
        monkeypatch.setenv("CITYWELL_CITY_PORT", url.rpartition(":")[2])
        settings.cache_clear()
        as_of = clock(url)
        for source in sources:
            for name, endpoint in load_source(source).endpoints.items():
                if not endpoint.on_demand:
                    timed(name, lambda name=name: ingest.ingest(name, as_of))
    for name, step in (("people", linkage.run), ("gold", transform.run)):
        timed(name, lambda step=step: step(as_of))
    settings.cache_clear()
    return as_of


def to_features(lake: TestLake, city: Sequence[str], sources: Sequence[str] = ("hospital",)) -> str:
    """Make the city of those options, take the records of those sources to features, and say for which instant."""
    as_of = to_gold(lake, city, sources)
    timed("features", lambda: risk.build_features(as_of))
    return as_of


def say(words: str) -> None:
    """Progress, beside the figures."""
    print(words, file=sys.stderr, flush=True)


def timed(name: str, step: Callable[[], object]) -> None:
    """Take a step, and say how long it took."""
    started = time.monotonic()
    step()
    say(f"{name}: {time.monotonic() - started:.0f} s")
