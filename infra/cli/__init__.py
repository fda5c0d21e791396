"""The ``citywell`` command. Each group of commands is a module; heavy imports happen inside the commands."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.errors import CitywellError


INTERRUPTED = 130
"""What Typer exits with after Ctrl-C."""


def main() -> None:
    """Run the command line; an expected failure is told in three lines and ends with exit code 1."""
    from infra.cli.app import app

    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # being ended is told and cleaned up like Ctrl-C
    try:
        app()
    except Exception as error:
        told = _told(error)
        if told is None or "--debug" in sys.argv:
            raise
        sys.stderr.write(f"{told}\n")
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            sys.stderr.write("stopped\n")
        raise


def _told(error: Exception) -> CitywellError | None:
    """What to tell a person; None for what nobody expected."""
    from jobs import disk
    from jobs.errors import CitywellError
    from jobs.settings import settings

    if isinstance(error, CitywellError):
        return error
    return disk.full(error, settings().home) if disk.is_full(error) else None
