"""``citywell demo``: the main job from an empty machine to risk scores, and what came of it.

The stack comes up; the day's records are ingested, modelled, scored and written back by the DAGs in Airflow; a
table and one HTML page tell the rest. Every further demo advances the city by a day.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from infra import city_clock
from infra.airflow_client import AirflowClient
from infra.cli.board import RunBoard, StackBoard
from infra.stack import lifecycle
from jobs.lake import control
from jobs.settings import Settings
from jobs.sources import load_all

if TYPE_CHECKING:
    from infra.report import ReportData

INGEST = "ingest_city"
GIVEN = "hospital_given"
GIVEN_AIR = ("air_beijing", "weather_beijing")
RUN_SECONDS = 3600.0


def run(config: Settings, console: Console) -> None:
    """The whole demo. Raises CitywellError; the stack is then left running, so that one can look."""
    seconds: dict[str, float] = {}
    began = time.monotonic()
    with StackBoard(console) as board:
        lifecycle.up(config, board.report)
    seconds["stack"] = time.monotonic() - began
    as_of = _next_instant(config)
    console.print(f"\nThe city's clock: {as_of:%Y-%m-%d %H:%M} UTC\n")
    conf = {"as_of": as_of.isoformat()}
    with AirflowClient.of_stack(config) as airflow, _told_what_goes_on(config, console):
        _run(airflow, INGEST, {**conf, "endpoints": _endpoints(config)}, console, seconds)
        _run(airflow, "train", conf, console, seconds)
    from infra.report import gather, render  # imports an engine's client

    report = gather(as_of=city_clock.read(config), stages=seconds)
    _tell(config, report, render(report, report_path(config)), console)


@contextmanager
def _told_what_goes_on(config: Settings, console: Console) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        console.print(
            f"\nThe stack stays up, and the run goes on in Airflow: {config.airflow_url}\n"
            "`citywell demo` takes it from there; `citywell down` stops everything.",
            soft_wrap=True,
        )
        raise


def write_report(config: Settings, out: Path | None) -> Path:
    """The City report, one HTML page, of what is published now; by default at ``report_path``."""
    from infra.report import gather, render

    return render(gather(as_of=city_clock.read(config), stages={}), out or report_path(config))


def report_path(config: Settings) -> Path:
    return config.home / "reports" / "city.html"


def _run(
    airflow: AirflowClient,
    dag_id: str,
    conf: Mapping[str, object],
    console: Console,
    seconds: dict[str, float],
) -> None:
    """Run a DAG and whatever it sets off; adds each run's duration to ``seconds``."""
    airflow.wait_for_dag(dag_id)
    with RunBoard(console) as board:
        for ended in airflow.follow(airflow.trigger(dag_id, conf), board.changed, RUN_SECONDS):
            board.succeeded(ended, airflow.address(ended))
            seconds[ended.dag_id] = seconds.get(ended.dag_id, 0.0) + (ended.seconds or 0.0)


def _endpoints(config: Settings) -> list[str]:
    """The city's systems, and the given directories when there are such."""
    given = {GIVEN: config.hospital_data, **dict.fromkeys(GIVEN_AIR, config.air_data)}
    endpoints = [e for source in load_all().values() for e in source.endpoints.values()]
    return [e.name for e in endpoints if not e.on_demand or given.get(e.name)]


def _next_instant(config: Settings) -> datetime:
    """The city's clock, moved on by a day when the lake has seen this moment already."""
    now = city_clock.read(config)
    with control.connect() as connection:
        control.migrate(connection)
        marks = [control.watermark(connection, name) for name in _endpoints(config)]
    if any(mark is not None and mark.transaction_time >= now for mark in marks):
        return city_clock.advance(config, days=1)
    return now


def _tell(config: Settings, report: ReportData, page: Path, console: Console) -> None:
    """The figures and the addresses."""
    from infra.report import summary

    for part in summary(report):
        console.print("", part)
    console.print(
        f"\nAirflow      {config.airflow_url}"
        f"\n             [dim]user admin, password in {config.secrets_dir / 'airflow' / 'admin'}[/]"
        f"\nMLflow       {config.mlflow_url}"
        f"\nData Docs    {config.home / 'reports' / 'data_docs' / 'index.html'}"
        f"\nCity report  {page}\n",
        soft_wrap=True,
    )
