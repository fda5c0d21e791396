"""``citywell demo``, ``report`` and ``evaluate``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.files import writable


def demo(
    hospital_data: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Directory of FHIR NDJSON (gzip too), served as one more hospital.",
        ),
    ] = None,
    air_data: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Directory of Beijing's real readings (UCI), served as one more air and weather service.",
        ),
    ] = None,
) -> None:
    """Start the stack, take the city's records to risk scores, and show what came of it.

    The first time it begins the city's history; every further time it lives one more day.
    """
    from rich.console import Console

    from infra import demo as driver
    from jobs.settings import settings

    for name, directory in (("HOSPITAL_DATA", hospital_data), ("AIR_DATA", air_data)):
        if directory is not None:
            os.environ[f"CITYWELL_{name}"] = str(directory.resolve())
            settings.cache_clear()
    driver.run(settings(), Console())


def report(
    out: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, callback=writable, help="HTML file to write. Default: reports/city.html."
        ),
    ] = None,
) -> None:
    """Write the City report, one HTML page, from what is published now."""
    from infra.demo import write_report
    from jobs.settings import settings

    typer.echo(write_report(settings(), out))


def evaluate() -> None:
    """Compare the lake with what the simulator planted; each line: name value unit target pass|short|told of cases.

    Exit code 1 when a figure falls short; a figure that is only told has no target.
    """
    from infra import evaluate as driver

    is_short = False
    for line in driver.evaluate():
        typer.echo(line)
        is_short |= not line.is_met
    if is_short:
        raise typer.Exit(1)
