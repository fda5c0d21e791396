"""Sail, the embedded default engine: one native process from a wheel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.engine.launch import Command, Engine, free_port, running, worker_env


def sail_command(host: str, port: int) -> Command:
    """Starts Sail's Spark Connect server on ``host:port``."""
    argv = [sys.executable, "-m", "pysail", "spark", "server", "--ip", host, "--port", str(port)]
    return Command(argv, worker_env())


@contextmanager
def running_sail(directory: Path) -> Iterator[Engine]:
    """A Sail on a free loopback port, its log in ``directory``, for as long as the block lasts."""
    port = free_port()
    with running(sail_command("127.0.0.1", port), port, directory / "sail.log") as engine:
        yield engine
