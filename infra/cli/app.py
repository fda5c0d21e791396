"""The commands and their order in ``citywell --help``."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli import demo, lake, models, people, quarantine, runs, serve, source, stack, tune

app = typer.Typer(
    name="citywell",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    help="""
Citywell takes a city's hospital records to checked tables and to risk scores people can use.

[bold]A first look[/bold]

  citywell demo                   everything, end to end, on a simulated city
  citywell demo --hospital-data DIR    the same with your own FHIR NDJSON too
  citywell status                 what runs, is it well, where is its log

[bold]Day by day[/bold]

  citywell up                     start the stack, or what of it is down
  citywell run ingest_hospital --date 2026-01-31 --follow
  citywell sql "select * from quality.receipts"
  citywell sql --serving --role care "select * from serving.risk limit 5"
  citywell quarantine list        what was rejected, and by which rule
  citywell people review list     records that may be one person
  citywell source check hospital_north    can it be reached, signed in, read?
  citywell tune readmission_30d   a search for a better model, within a budget
  citywell models list readmission_30d    its versions, and what the gate said
  citywell down                   stop what was started, and nothing else

Settings are CITYWELL_* variables, or lines in a file .env. Each command has its own --help.
""",
)


@app.callback()
def common(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show Python's traceback when something fails.")
    ] = False,
) -> None:
    """Options before the command; ``main`` reads --debug itself, because failures pass through it.

    A variable that looks like a setting and is none would be ignored in silence, so it is told on stderr.
    """
    from jobs.settings import unknown_variables

    for name, nearest in unknown_variables().items():
        advice = f"did you mean {nearest}?" if nearest else "jobs/settings.py lists every setting"
        typer.echo(f"{name} is not a setting and is ignored; {advice}", err=True)


app.command(rich_help_panel="The stack")(stack.up)
app.command(rich_help_panel="The stack")(stack.down)
app.command(rich_help_panel="The stack")(stack.status)
app.command(rich_help_panel="Work")(demo.demo)
app.command(rich_help_panel="Work")(runs.run)
app.command(rich_help_panel="Work")(lake.ingest)
app.command(rich_help_panel="Work")(tune.tune)
app.command(rich_help_panel="Work")(serve.serve)
app.command(rich_help_panel="Look")(lake.sql)
app.command(rich_help_panel="Look")(demo.report)
app.command(rich_help_panel="Look")(demo.evaluate)
app.command(rich_help_panel="Care")(lake.watch)
app.command(rich_help_panel="Care")(lake.maintain)
app.add_typer(quarantine.app, name="quarantine", rich_help_panel="Care")
app.add_typer(people.app, name="people", rich_help_panel="Care")
app.add_typer(source.app, name="source", rich_help_panel="Care")
app.add_typer(models.app, name="models", rich_help_panel="Care")
