"""The ``citywell`` command. Each group of commands is a module; heavy imports happen inside the commands."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line; an expected failure is told in three lines and ends with exit code 1."""
    from infra.cli.app import app
    from jobs.errors import CitywellError

    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # being ended is told and cleaned up like Ctrl-C
    try:
        app()
    except CitywellError as error:
        if "--debug" in sys.argv:
            raise
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)
