"""``citywell source``: what is declared in jobs/sources/*.yml, and whether it works."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Declared sources, and whether they can be reached and read.")

MARKS = {"good": "[green]●[/] ", "warning": "[yellow]![/] ", "wrong": "[red]✗[/] "}


@app.command("list")
def list_sources() -> None:
    """Every endpoint with its address and schedule."""
    from rich.console import Console

    from infra.cli.listing import print_list
    from jobs.sources import load_all

    rows = [
        (e.name, e.protocol, "on demand" if e.on_demand else s.schedule, e.address, e.description)
        for s in load_all().values()
        for e in s.endpoints.values()
    ]
    print_list(Console(), ("endpoint", "protocol", "schedule", "address", "description"), rows)


@app.command()
def check(name: Annotated[str, typer.Argument(help="An endpoint, such as hospital_north.")]) -> None:
    """Try an endpoint, and say in words what is wrong.

    A FHIR server: connect, read its capabilities, compare clocks, sign in, export a little. Any other: look at every
    feed, and hold what it sends against what is declared.
    """
    from rich.console import Console
    from rich.markup import escape

    from jobs.extract import feed_check, source_check
    from jobs.sources import FhirEndpoint, find_endpoint

    console = Console()
    source, endpoint = find_endpoint(name)
    results = (
        source_check.check(endpoint)
        if isinstance(endpoint, FhirEndpoint)
        else feed_check.check(source, endpoint)
    )
    for result in results:
        console.print(f"{MARKS[result.verdict]}{result.step:<14}{escape(result.message)}", soft_wrap=True)
        if result.do:
            console.print(f"  {'':<14}[dim]do:[/] {escape(result.do)}", soft_wrap=True)
    if any(result.verdict == "wrong" for result in results):
        raise typer.Exit(1)
