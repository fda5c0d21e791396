"""``citywell demo``: the main job from an empty machine to risk scores, and what came of it.

The stack comes up; the day's records are ingested, modelled, scored and written back by the DAGs in Airflow; a
table and one HTML page tell the rest. Every further demo advances the city by a day.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from infra.airflow_client import AirflowClient
from infra.cli.board import RunBoard, StackBoard
from infra.stack import lifecycle
from jobs.errors import CitywellError
from jobs.lake import control
from jobs.settings import Settings
from jobs.sources import load

SOURCE = "hospital"
GIVEN = "hospital_given"
RUN_SECONDS = 3600.0


def run(config: Settings, console: Console) -> None:
    """The whole demo. Raises CitywellError; the stack is then left running, so that one can look."""
    seconds: dict[str, float] = {}
    with _stage("stack", seconds), StackBoard(console) as board:
        lifecycle.up(config, board.report)
    as_of = _next_instant(config)
    console.print(f"\nThe city's clock: {as_of:%Y-%m-%d %H:%M} UTC\n")
    conf = {"as_of": as_of.isoformat()}
    with AirflowClient.of_stack(config) as airflow:
        with _stage("ingest and transform", seconds):
            _run(airflow, f"ingest_{SOURCE}", {**conf, "endpoints": _endpoints(config)}, console)
        with _stage("train, score, write back", seconds):
            _run(airflow, "train", conf, console)
    page = write_report(config, seconds, None)
    _summary(config, seconds, page, console)


def write_report(config: Settings, seconds: Mapping[str, float], out: Path | None) -> Path:
    """The City report, one HTML page; by default ``reports/city.html`` in the data directory."""
    from infra.report import build

    path = out or config.home / "reports" / "city.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    return build(path, as_of=_clock(config), stages=seconds)


@contextmanager
def _stage(name: str, seconds: dict[str, float]) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[name] = time.monotonic() - began


def _run(airflow: AirflowClient, dag_id: str, conf: Mapping[str, object], console: Console) -> None:
    airflow.wait_for_dag(dag_id)
    with RunBoard(console) as board:
        for ended in airflow.follow(airflow.trigger(dag_id, conf), board.changed, RUN_SECONDS):
            board.succeeded(ended, airflow.address(ended))


def _endpoints(config: Settings) -> list[str]:
    """The city's hospitals, and the given directory when there is one."""
    endpoints = load(SOURCE).endpoints.values()
    return [e.name for e in endpoints if not e.on_demand or (e.name == GIVEN and config.hospital_data)]


def _next_instant(config: Settings) -> datetime:
    """The city's clock, moved on by a day when the lake has seen this moment already."""
    now = _clock(config)
    with control.connect() as connection:
        control.migrate(connection)
        marks = [control.watermark(connection, name) for name in _endpoints(config)]
    if any(mark is not None and mark.transaction_time >= now for mark in marks):
        answer = httpx.post(f"{config.city_url}/city/advance", json={"days": 1}, timeout=300, trust_env=False)
        if answer.is_error:
            raise CitywellError(
                f"the city did not advance ({answer.status_code})", where=config.city_url, do="see city.log"
            )
        now = _clock(config)
    return now


def _clock(config: Settings) -> datetime:
    answer = httpx.get(f"{config.city_url}/city/clock", timeout=10, trust_env=False)
    return datetime.fromisoformat(answer.raise_for_status().json()["now"]).astimezone(UTC)


def _summary(config: Settings, seconds: Mapping[str, float], page: Path, console: Console) -> None:
    from pyspark.sql import functions as F

    from jobs.ingest import OUTCOMES
    from jobs.lake.catalog import lake_session

    with lake_session() as spark:
        receipts = (
            spark.table("quality.receipts").groupBy("source").agg(*(F.sum(n).alias(n) for n in OUTCOMES))
        )
        rows = receipts.orderBy("source").collect()
    table = Table("source", *OUTCOMES, box=None, header_style="bold", title="Records", title_justify="left")
    for row in rows:
        table.add_row(row["source"], *(f"{row[name]:,}" for name in OUTCOMES))
    console.print("", table, "")
    for name, took in seconds.items():
        console.print(f"  {took:6.1f} s  {name}")
    console.print(
        f"\nAirflow      {config.airflow_url}  [dim]admin, password in {config.secrets_dir / 'airflow' / 'admin'}[/]"
        f"\nMLflow       {config.mlflow_url}"
        f"\nData Docs    {config.home / 'reports' / 'data_docs' / 'index.html'}"
        f"\nCity report  {page}\n"
    )
