"""Where the fault tests kill a job: between two steps, as ``kill -9`` would."""

from __future__ import annotations

import os

from jobs.settings import settings


def crash_here(name: str) -> None:
    """Ends the process at once, without clean-up, when ``CITYWELL_CRASH_AT`` names this point."""
    if settings().crash_at == name:
        os._exit(137)
