"""``citywell quarantine``: rejected records, by the rule that rejected them; never their values."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.files import writable

app = typer.Typer(
    no_args_is_help=True, help="Rejected records: which rule, which file and line; repair and replay."
)

Endpoint = Annotated[str, typer.Argument(metavar="SOURCE", help="An endpoint, such as hospital_north.")]


@app.command("list")
def list_rules(
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="An endpoint; default: all.")
    ] = None,
) -> None:
    """How many records of a type each rule rejected, most first, with one of the reasons. CSV in a pipe."""
    from rich.console import Console

    from infra.cli.listing import print_list
    from jobs.lake import quarantine

    counts = quarantine.by_rule(source)
    console = Console()
    if not counts and console.is_terminal:
        console.print("Nothing is in quarantine.")
        return
    rows = [(c.source, c.resource_type, c.rule, c.records, c.reason) for c in counts]
    print_list(console, ("source", "type", "rule", "records", "reason"), rows)


@app.command()
def show(
    source: Endpoint,
    batch: Annotated[str | None, typer.Option(help="Only this batch.")] = None,
) -> None:
    """Each rejected record of a source as CSV: batch, file, line, rule, reason."""
    from jobs.lake import quarantine

    records = quarantine.records(source, batch_id=batch)
    writer = csv.DictWriter(sys.stdout, quarantine.REPORT_COLUMNS)
    writer.writeheader()
    writer.writerows(records)


@app.command()
def report(
    source: Endpoint,
    out: Annotated[Path, typer.Option(dir_okay=False, callback=writable, help="CSV file to write.")] = Path(
        "defects.csv"
    ),
) -> None:
    """Write a defect report that can be sent to the sender; it holds no value of any record."""
    from jobs.lake import quarantine
    from jobs.sources import find_endpoint

    find_endpoint(source)  # a name that nothing has leaves no empty report
    with out.open("w", newline="") as file:
        records = quarantine.write_report(source, file)
    typer.echo(f"{records:,} records in {out}")


@app.command()
def replay(
    source: Endpoint,
    resource_type: Annotated[str, typer.Argument(metavar="TYPE", help="FHIR type, such as Observation.")],
    repaired: Annotated[
        Path, typer.Argument(metavar="FILE", help="NDJSON: the repaired resources, one a line.")
    ],
    batch: Annotated[
        str | None,
        typer.Option(
            help="The batch that rejected them. Default: the only one with rejected records of TYPE."
        ),
    ] = None,
) -> None:
    """Take repaired records in, as a batch of their own, without a full rerun.

    They stand where the rejected lines would have stood: what was received since stays newer.
    """
    from jobs.ingest import OUTCOMES
    from jobs.lake import quarantine

    loaded = quarantine.replay(source, resource_type, repaired, batch_id=batch)
    sums = {name: sum(getattr(receipt, name) for receipt in loaded.receipts) for name in OUTCOMES}
    typer.echo(f"{loaded.batch_id}: " + ", ".join(f"{name} {count:,}" for name, count in sums.items()))
