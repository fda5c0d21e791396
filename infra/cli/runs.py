"""``citywell run``."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli.dates import DEFAULT, instant_or_now


def run(
    dag: Annotated[
        str,
        typer.Argument(
            help="ingest_city, ingest_<source>, transform, train, score, writeback, forecast, mine, surveil, monitor, "
            "watch or maintain."
        ),
    ],
    date: Annotated[
        str | None,
        typer.Option(
            help=f"What the run is for: 2026-01-31 or 2026-01-31T04:30:00Z. {DEFAULT} Maintenance is of now alone."
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option(help="Also watch the runs its results set off, one after another.")
    ] = False,
    minutes: Annotated[float, typer.Option(help="Longest wait for each run.")] = 120,
) -> None:
    """Start a DAG in Airflow, watch its tasks, and say in words what failed.

    Example: citywell run ingest_hospital --date 2026-01-31 --follow
    """
    from rich.console import Console

    from infra.airflow_client import AirflowClient
    from infra.cli.board import RunBoard

    if date and dag == "maintain":
        raise typer.BadParameter("maintenance goes by the wall clock: leave --date out")
    conf = {} if dag == "maintain" else {"as_of": instant_or_now(date)}
    console = Console()
    with AirflowClient.of_stack() as airflow:
        airflow.wait_for_dag(dag)
        started = airflow.trigger(dag, conf)
        try:
            with RunBoard(console) as board:
                for ended in airflow.follow(started, board.changed, minutes * 60):
                    board.succeeded(ended, airflow.address(ended))
                    if not follow:
                        break
        except KeyboardInterrupt:
            console.print(f"\nThe run goes on in Airflow: {airflow.address(started)}", soft_wrap=True)
            raise
