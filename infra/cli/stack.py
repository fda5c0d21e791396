"""``citywell up | down | status``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from infra.cli.listing import Cell
    from infra.stack.status import ProgramStatus

COLOURS = {"running": "green", "stopped": "dim", "starting": "yellow", "stopping": "yellow"}


def up() -> None:
    """Start the stack, or whatever of it does not run, and wait until all of it is well.

    Programs whose settings changed are restarted. When one service fails, what this call started is stopped again.
    """
    from infra.cli.board import StackBoard
    from infra.stack import lifecycle
    from infra.stack.keys import ensure_sign_in_keys
    from jobs.settings import settings

    with StackBoard() as board:
        started = lifecycle.up(settings(), board.report)
    ensure_sign_in_keys(settings())  # for a hospital declared since the last start
    board.console.print("The stack is up." if started else "The stack was up already.")


def down() -> None:
    """Stop what was started from this data directory, and nothing else."""
    from infra.cli.board import StackBoard
    from infra.stack import lifecycle
    from jobs.settings import settings

    with StackBoard() as board:
        stopped = lifecycle.down(settings(), board.report)
    board.console.print("The stack is down." if stopped else "Nothing was running.")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, for scripts.")] = False,
) -> None:
    """What runs, whether it is well, where it listens and where its log is; and how old the scores are.

    Exit code 1 when something is not well.
    """
    from rich.console import Console

    from infra.cli.listing import print_list
    from infra.stack.status import status as look
    from jobs.settings import settings

    programs = look(settings())
    if as_json:
        typer.echo(json.dumps([asdict(program) for program in programs], default=str))
    else:
        headings = ("program", "state", "well", "address", "pid", "MB", "log")
        print_list(Console(), headings, [_row(program) for program in programs])
        for line in _ages():
            typer.echo(line)
    if not all(program.is_healthy for program in programs):
        raise typer.Exit(1)


def _ages() -> list[str]:
    """How old each question's scores are; nothing where the serving database does not answer or has none yet."""
    from psycopg.errors import UndefinedTable

    from jobs.errors import CitywellError
    from jobs.writeback import ages, serving

    try:
        with serving.connect() as conn:
            return [f"scores of {age.words()}" for age in ages.ages(conn)]
    except (CitywellError, UndefinedTable):
        return []


def _row(program: ProgramStatus) -> tuple[Cell, ...]:
    from rich.text import Text

    well: dict[bool | None, Text | None] = {True: Text("yes", "green"), False: Text("no", "red"), None: None}
    return (
        program.name,
        Text(program.state, COLOURS.get(program.state, "red")),
        well[program.is_healthy],
        program.address,
        str(program.pid or ""),
        None if program.memory_mb is None else round(program.memory_mb),
        str(program.log),
    )
