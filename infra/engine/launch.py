"""A server as data (what to run, with which environment), and running one for as long as a block lasts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jobs.errors import CitywellError
from jobs.settings import PROJECT_DIR

STOP_GRACE_S = 5.0
IDLE_SESSION_S = 6 * 3600
"""How long a session may ask nothing of an engine before the engine ends it. Sail would wait 15 minutes and Apache
Spark an hour, which a job that fits models between two questions can exceed.
"""


@dataclass(frozen=True)
class Command:
    """argv to run, and what to add to the environment of the caller."""

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Engine:
    """A running engine: its Spark Connect address, its process, its log, and its JDBC address where it has one."""

    remote: str
    process: subprocess.Popen[bytes]
    log: Path
    jdbc: str | None = None


def worker_env() -> dict[str, str]:
    """Lets the engine's Python workers import this project's packages, whatever directory they start in."""
    inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    paths = [str(PROJECT_DIR), *[entry for entry in inherited if entry != str(PROJECT_DIR)]]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def free_port() -> int:
    """A TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Command, port: int, log: Path, timeout_s: float = 120) -> Iterator[Engine]:
    """Run ``command`` in a process group of its own until the block ends; enter when it answers a query.

    log: file that receives its output; the server runs in its directory. Raises CitywellError when it exits early or
    does not answer in time.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command.argv,
            cwd=log.parent,
            env={**os.environ, **command.env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    engine = Engine(f"sc://127.0.0.1:{port}", process, log)
    try:
        _wait_until_it_answers(engine, timeout_s)
        yield engine
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End ``process`` and its children: politely, then by force."""
    for sign, patience in ((signal.SIGTERM, STOP_GRACE_S), (signal.SIGKILL, STOP_GRACE_S)):
        try:
            os.killpg(process.pid, sign)
            process.wait(patience)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue


def _wait_until_it_answers(engine: Engine, timeout_s: float) -> None:
    from jobs.lake.engine import session  # PySpark; not needed for a mere command

    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with session(engine.remote) as spark:
                spark.sql("select 1").collect()
            return
        except CitywellError as error:
            ended = engine.process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise CitywellError(
                    "the engine ended while starting" if ended else f"no answer after {timeout_s:.0f} s",
                    where=f"{engine.remote}, log {engine.log}",
                    do="read the log's last lines; a port in use and too little memory are the usual causes",
                ) from error
            time.sleep(0.1)
