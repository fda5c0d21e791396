"""A day of a whole city through Airflow: every endpoint to scores written back, and what ten times the history costs.

Each city is an installation of its own, with all its servers. Its first days are taken in, a model is trained where
the history is long enough for one, and then further days are timed: from the start of ``ingest_city`` to the end of the
last run it sets off. Before each comes the night's maintenance, as the schedule has it; its time is told beside.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator

import httpx

from infra.airflow_client import AirflowClient, DagRun
from jobs.settings import Settings
from tests.bench.rows import Row
from tests.support.installation import Installation, installed

PEOPLE = 20_000
LONG_YEARS, SHORT_YEARS = 2.0, 0.2
DAYS = 3
MOST_SECONDS = 240.0
MOST_GROWTH = 2.0
COMMON = ("ingest_city", "transform")
"""The runs that a city has even without a model."""


def measure() -> Iterator[object]:
    """A Row for a day of the city with LONG_YEARS, and one for what it costs beside a city with SHORT_YEARS.

    The second compares the runs in COMMON, as a short history makes no model. Lines that begin with # are for reading.
    """
    days = {}
    for years in (SHORT_YEARS, LONG_YEARS):
        days[years] = _days_of(years)
        for day in days[years]:
            yield f"# {PEOPLE} people, {years} years: " + ", ".join(f"{n} {s:.0f} s" for n, s in day.items())
    whole = statistics.median([sum(day.values()) for day in days[LONG_YEARS]])
    yield Row(
        f"city_day_of_{PEOPLE}",
        whole,
        "s",
        f"budget={MOST_SECONDS:.0f}",
        whole / MOST_SECONDS,
        "<=1",
        whole <= MOST_SECONDS,
    )
    long, short = (
        statistics.median([sum(day[dag] for dag in COMMON) for day in days[years]])
        for years in (LONG_YEARS, SHORT_YEARS)
    )
    yield Row(
        "city_day_with_ten_times_the_history",
        long,
        "s",
        f"of_{SHORT_YEARS}_years={short:.1f}",
        long / short,
        f"<={MOST_GROWTH:.0f}",
        long <= MOST_GROWTH * short,
    )


def _days_of(years: float) -> list[dict[str, float]]:
    """Seconds by DAG of each of DAYS days of a city with ``years`` of history."""
    with installed(CITYWELL_CITY_POPULATION=str(PEOPLE), CITYWELL_CITY_YEARS=str(years)) as city:
        began = time.monotonic()
        up = city.citywell("up")
        if up.returncode:
            sys.exit(f"the stack of the benchmark did not start: {up.stderr}")
        _say(f"{years} years: up after {time.monotonic() - began:.0f} s")
        config = _settings(city)
        with AirflowClient.of_stack(config) as airflow:
            _said(years, "first day", _day(airflow, config))
            if years == LONG_YEARS:
                _run(airflow, "train", config)
            days = []
            for n in range(DAYS):
                _run(airflow, "maintain", config)
                httpx.post(f"{config.city_url}/city/advance", json={"days": 1}, timeout=600, trust_env=False)
                days.append(_said(years, f"day {n + 1}", _day(airflow, config)))
    return days


def _day(airflow: AirflowClient, config: Settings) -> dict[str, float]:
    """Seconds by DAG, from what the city's clock says now to the last run set off."""
    seconds: dict[str, float] = {}
    for ended in _follow(airflow, "ingest_city", config):
        seconds[ended.dag_id] = seconds.get(ended.dag_id, 0.0) + (ended.seconds or 0.0)
    return seconds


def _run(airflow: AirflowClient, dag: str, config: Settings) -> None:
    for ended in _follow(airflow, dag, config):
        _say(f"{ended.dag_id}: {ended.seconds} s")


def _follow(airflow: AirflowClient, dag: str, config: Settings) -> Iterator[DagRun]:
    now = httpx.get(f"{config.city_url}/city/clock", timeout=60, trust_env=False).json()["now"]
    airflow.wait_for_dag(dag)
    yield from airflow.follow(airflow.trigger(dag, {"as_of": now}), lambda run, tasks: None, 7200)


def _settings(city: Installation) -> Settings:
    ports = {f"{name.lower()}_port": port for name, port in city.ports.items()}
    return Settings(home=city.home, **ports)


def _said(years: float, what: str, seconds: dict[str, float]) -> dict[str, float]:
    _say(f"{years} years, {what}: " + ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items()))
    return seconds


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
