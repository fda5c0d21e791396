"""Sail, the embedded default engine: one native process from a wheel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.engine.launch import IDLE_SESSION_S, Command, Engine, free_port, running, worker_env

MEMORY_GIB = 2


def sail_command(host: str, port: int, directory: Path, memory_gib: int = MEMORY_GIB) -> Command:
    """Starts Sail's Spark Connect server on ``host:port``.

    directory: where it keeps checkpointed rows, each session's until it ends. memory_gib: what sorts and joins
    may hold before they spill to disk. Without a limit, writing ten million rows into 24 partitions took 4.8 GB;
    with two GiB 2.9 GB, and no longer.
    """
    argv = [sys.executable, "-m", "pysail", "spark", "server", "--ip", host, "--port", str(port)]
    memory = {
        "SAIL_RUNTIME__MEMORY_POOL__TYPE": "greedy",
        "SAIL_RUNTIME__MEMORY_POOL__GREEDY__MAX_SIZE": str(memory_gib * 2**30),
    }
    sessions = {
        "SAIL_EXECUTION__CHECKPOINT__PATH": checkpoints(directory).as_uri(),
        "SAIL_SPARK__SESSION_TIMEOUT_SECS": str(IDLE_SESSION_S),
    }
    return Command(argv, {**worker_env(), **memory, **sessions})


def checkpoints(directory: Path) -> Path:
    """Where Sail keeps its sessions' checkpoints; a killed one leaves them behind."""
    return directory.absolute() / "checkpoints"


@contextmanager
def running_sail(directory: Path, memory_gib: int = MEMORY_GIB) -> Iterator[Engine]:
    """A Sail on a free loopback port, its log in ``directory``, for as long as the block lasts."""
    port = free_port()
    command = sail_command("127.0.0.1", port, directory, memory_gib)
    with running(command, port, directory / "sail.log") as engine:
        yield engine
