"""``citywell quarantine``: rejected records, by the rule that rejected them; never their values."""

from __future__ import annotations

import csv
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.files import writable

if TYPE_CHECKING:
    from jobs.lake.load import Loaded

app = typer.Typer(
    no_args_is_help=True, help="Rejected records: which rule, which file and line; repair and replay."
)


class Form(Enum):
    """Forms of a defect report."""

    csv = "csv"
    json = "json"


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
    rows = [(c.source, c.resource_type, c.rule, c.records, c.repaired, c.reason) for c in counts]
    print_list(console, ("source", "type", "rule", "records", "repaired", "reason"), rows)


@app.command()
def show(
    source: Endpoint,
    batch: Annotated[str | None, typer.Option(help="Only this batch.")] = None,
) -> None:
    """Each rejected record of a source as CSV: batch, file, line, rule, reason."""
    from jobs.lake import quarantine

    records = quarantine.records(source, batch_id=batch, held=True)
    writer = csv.DictWriter(sys.stdout, quarantine.COLUMNS)
    writer.writeheader()
    writer.writerows(records)


@app.command()
def report(
    source: Endpoint,
    out: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, callback=writable, help="File to write. Default: defects.csv or defects.json."
        ),
    ] = None,
    form: Annotated[
        Form, typer.Option("--format", help="A table, or one document with a summary by rule.")
    ] = Form.csv,
) -> None:
    """Write a defect report that can be sent to the sender: where, which rule, what was expected.

    It holds no value of any record.
    """
    from jobs.lake import quarantine
    from jobs.sources import find_endpoint

    find_endpoint(source)  # a name that nothing has leaves no empty report
    path = out or Path(f"defects.{form.value}")
    with path.open("w", newline="") as file:
        records = quarantine.write_report(source, file, form.value)
    typer.echo(f"{records:,} records in {path}")


@app.command()
def worklist(
    source: Endpoint,
    rule: Annotated[str | None, typer.Option(help="Only what this rule rejected.")] = None,
) -> None:
    """Write the open rejected records as they were received, to be mended and given to `quarantine repair`.

    The file holds names and numbers of people: it is written below the landing, for your eyes alone, goes after a week,
    and that you asked for it is kept in the vault's audit. Messages of HL7 v2 are for their sender to correct.
    """
    from getpass import getuser

    from jobs.lake import quarantine

    found = quarantine.write_worklist(source, actor=getuser(), rule=rule)
    typer.echo(f"{found.records:,} records in {found.path}", err=True)
    if found.expired:
        typer.echo(f"{found.expired:,} more were landed too long ago: only their sender has them", err=True)
    typer.echo(f"Mend what `sent` says, then: citywell quarantine repair {found.path}", err=True)


@app.command()
def repair(
    worklist: Annotated[
        Path, typer.Argument(metavar="FILE", help="A worklist in which records were mended.")
    ],
) -> None:
    """Take the mended records of a worklist in again; what is unchanged stays in quarantine.

    They stand where the rejected ones would have stood: what was received since stays newer. The receipt of the file
    they first came in counts them as repaired; it is closed when all of them are.

    Example: citywell quarantine worklist hospital_north --rule value_set:sex
    """
    from jobs.lake import quarantine

    for loaded in quarantine.repair(worklist):
        _tell(loaded)


@app.command()
def replay(
    source: Endpoint,
    resource_type: Annotated[
        str, typer.Argument(metavar="TYPE", help="What the records are, such as Observation.")
    ],
    repaired: Annotated[
        Path, typer.Argument(metavar="FILE", help="The repaired records, as the source sends them.")
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
    from jobs.lake import quarantine

    _tell(quarantine.replay(source, resource_type, repaired, batch_id=batch))


def _tell(loaded: Loaded) -> None:
    from jobs.ingest import OUTCOMES

    sums = {name: sum(getattr(receipt, name) for receipt in loaded.receipts) for name in OUTCOMES}
    typer.echo(f"{loaded.batch_id}: " + ", ".join(f"{name} {count:,}" for name, count in sums.items()))
