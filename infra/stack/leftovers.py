"""Processes that outlived their supervisor, told apart from everything else by a mark in their environment.

Every process of the stack inherits ``CITYWELL_STACK=<its home>``. So what a killed supervisor leaves behind
can be ended exactly, without a list of process ids that may be stale.
"""

from __future__ import annotations

import signal
from pathlib import Path

import psutil

MARK = "CITYWELL_STACK"
PATIENCE_S = 10.0


def find(home: Path) -> list[psutil.Process]:
    """Running processes of the stack of ``home``, of this user or, for root, of any."""
    return [process for process in psutil.process_iter() if _mark(process) == str(home)]


def end(home: Path) -> int:
    """End them, politely first; how many there were.

    The polite way is SIGINT: PostgreSQL takes SIGTERM as a request to wait for its clients.
    """
    processes = find(home)
    for sign in (signal.SIGINT, signal.SIGKILL):
        for process in processes:
            if process.is_running():
                process.send_signal(sign)
        _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
        if not alive:
            break
    return len(processes)


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None
