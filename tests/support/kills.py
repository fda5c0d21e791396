"""Killing a job in the middle, or holding it there: it runs in a process of its own.

A process that has imported everything once forks a child for each run, because a fresh Python takes seconds to import.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NoReturn

from jobs.settings import PROJECT_DIR, settings

HEAVY = (
    "expectations.runner",
    "great_expectations",
    "jobs.ingest",
    "jobs.maintenance",
    "jobs.transform",
    "dbt.cli.main",
    "dbt.adapters.spark.impl",
)
PATIENCE_S = 120
KILLED = (137, -signal.SIGKILL)


@dataclass
class Killer:
    """Runs jobs in children that die where they are told to."""

    process: subprocess.Popen[str]

    def run(self, call: str, *arguments: Any, at: str, **options: Any) -> None:
        """Run ``call``, the full name of a function, until ``at``; an error when it ends in any other way.

        at: the name of a crash point (jobs/crash.py), or ``before <function>``, ``after <function>``: where the
        function of that full name is called or has returned for the first time; with a third word, for the first time
        with that word among its arguments.
        """
        code, said = self.outcome(call, *arguments, at=at, **options)
        assert code in KILLED, f"{at} was not reached ({code}): {said[-3000:]}"

    @contextmanager
    def held(
        self, call: str, *arguments: Any, at: str, gate: Path
    ) -> Iterator[Callable[[], tuple[int, str]]]:
        """``call`` at work, held at the crash point ``at`` until the block calls what it is given, which returns exit
        code and error output."""
        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(self.outcome, call, *arguments, at=at, gate=gate)

            def let_go() -> tuple[int, str]:
                gate.touch()
                return ended.result(PATIENCE_S)

            while not Path(f"{gate}.reached").exists():
                assert not ended.done(), f"{at} was not reached: {ended.result()}"
                time.sleep(0.02)
            try:
                yield let_go
            finally:
                gate.touch()

    def outcome(
        self, call: str, *arguments: Any, at: str = "", gate: Path | None = None, **options: Any
    ) -> tuple[int, str]:
        """Exit code and error output of ``call``."""
        order = {"call": call, "arguments": arguments, "options": options, "at": at, "env": dict(os.environ)}
        order["gate"] = str(gate or "")
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return int(answer["code"]), str(answer["said"])


@contextmanager
def running_killer(place: Path) -> Iterator[Killer]:
    """A killer for as long as the block lasts; ``place``: a directory for its children's output."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.kills", str(place)],
        cwd=PROJECT_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Killer(process)
        assert process.stdin is not None
        process.stdin.close()


def main(place: Path) -> None:
    """Serve orders, a line of JSON each, until the input ends."""
    orders, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    output = place / "output"
    for module in HEAVY:
        importlib.import_module(module)
    for line in orders:
        child = os.fork()
        if child == 0:
            _obey(json.loads(line), output)
        _, status = os.waitpid(child, 0)
        answer = {"code": os.waitstatus_to_exitcode(status), "said": output.read_text(errors="replace")}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _obey(order: dict[str, Any], output: Path) -> NoReturn:
    code = 1
    try:
        said = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(said, stream)
        os.environ.clear()
        os.environ.update(order["env"])
        if order["gate"]:
            _hold(order["at"], Path(order["gate"]))
        else:
            _arm(order["at"])
        settings.cache_clear()
        resolve_name(order["call"])(*order["arguments"], **order["options"])
        code = 0
    except BaseException:  # noqa: BLE001 (a child never goes on as its parent)
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def _arm(point: str) -> None:
    when, *target = point.split(" ")
    if when not in ("before", "after") or "." not in target[0]:
        os.environ["CITYWELL_CRASH_AT"] = point
        return
    owner, _, name = target[0].rpartition(".")
    place = resolve_name(owner)
    deadly = _deadly(getattr(place, name), is_before=when == "before", words=set(target[1:]))
    setattr(place, name, deadly)


def _hold(point: str, gate: Path) -> None:
    def wait(name: str) -> None:
        if name == point:
            Path(f"{gate}.reached").touch()
            deadline = time.monotonic() + PATIENCE_S
            while not gate.exists() and time.monotonic() < deadline:
                time.sleep(0.02)

    importlib.import_module("jobs.lake.load.steps").crash_here = wait  # type: ignore[attr-defined]


def _deadly(function: Callable[..., Any], *, is_before: bool, words: set[str]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        is_meant = words <= {argument for argument in arguments if isinstance(argument, str)}
        if is_meant and is_before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if is_meant:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


if __name__ == "__main__":
    main(Path(sys.argv[1]))
