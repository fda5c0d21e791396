"""``citywell models``: the versions of a question's model, and the way back to an earlier one."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, help="A question's models: which there are, and back to an earlier one."
)

FORECASTS = "forecast_"
"""How names of forecasting models begin (``ml.forecast.store.model_name``)."""
Name = Annotated[
    str,
    typer.Argument(
        metavar="QUESTION",
        help="A question, such as readmission_30d, or a forecast, such as forecast_arrivals_daily.",
    ),
]


@app.command("list")
def list_versions(question: Name) -> None:
    """Every version, the newest first: what points at it, how good it was on its test people, what the gate said."""
    from rich.console import Console

    from infra.cli.listing import print_list
    from ml import registry

    rows = [
        (
            int(item.version.number),
            ", ".join(item.aliases) or ("former champion" if item.is_former else ""),
            item.version.tags.get("as_of", "")[:10],
            item.version.tags.get("family", ""),
            item.version.tags.get("test_auroc", ""),
            item.version.tags.get("gate", "not judged"),
            item.version.tags.get("rolled_back") or item.version.tags.get("gate_reasons", ""),
        )
        for item in registry.versions(question)
    ]
    print_list(
        Console(), ("version", "is", "as of", "family", "AUROC (95 % interval)", "gate", "reason"), rows
    )


@app.command("freezes")
def list_freezes(question: Name) -> None:
    """The training sets of the models that became champion, the latest first: name, where from, how many cases.

    Read one in Python: ml.risk.pipeline.training_rows(question, freeze=name).
    """
    from rich.console import Console

    from infra.cli.listing import print_list
    from ml.risk import freezes
    from ml.risk.reading import open_lake

    with open_lake("list freezes") as lake:
        rows = [
            (one.freeze, one.view, one.features_version, one.build_id, one.cases, one.digest)
            for one in freezes.listed(lake, question)
        ]
    print_list(Console(), ("freeze", "table", "version", "build", "cases", "content"), rows)


@app.command()
def rollback(
    question: Name,
    reason: Annotated[str, typer.Option(help="Why; kept with the version that is left.")],
) -> None:
    """Make the champion before this one champion again.

    The next scoring or forecast uses it. Rolling back again goes further back. For a week the forecast DAG
    trains no new model in its place.

    Example: citywell models rollback readmission_30d --reason "wards report odd alerts"
    """
    from jobs.lake import control
    from ml import registry

    with control.connect() as conn, control.lock(conn, f"train {question}"):
        left, back = registry.rollback(question, reason)
    typer.echo(
        f"Version {back.number} is the champion of {question} again, instead of version {left.number}."
    )
    used_by = "forecast" if question.startswith(FORECASTS) else "score"
    typer.echo(f"The next run that uses it: citywell run {used_by}")
