"""How the steps of a load run: entities side by side, with points where time is read and faults are tried."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TypeVar

from jobs.crash import crash_here

T = TypeVar("T")

AT_ONCE = 2
"""One per core of the smallest machine we mean to run on."""


def side_by_side(step: Callable[[str], T], entities: Sequence[str]) -> dict[str, T]:
    """``step`` of each entity, in this order, AT_ONCE at a time: while one waits for Python, one computes.

    Raises the first error when the steps under way have ended; the others are not begun. So does an interrupt.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        begun = {entity: pool.submit(copy_context().run, step, entity) for entity in entities}
        try:
            wait(begun.values(), return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    for future in begun.values():
        if not future.cancelled() and (error := future.exception()):
            raise error
    return {entity: future.result() for entity, future in begun.items()}


class Stages:
    """Seconds spent in each stage of a load."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._last = time.monotonic()

    def passed(self, point: str) -> None:
        """Book the time since the last point to the stage that ends at ``point``."""
        now = time.monotonic()
        self.seconds[point] += now - self._last  # type: ignore[assignment]
        self._last = now

    def summary(self) -> str:
        return ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self.seconds.items())


_watch: ContextVar[Stages | None] = ContextVar("stages of a load", default=None)


@contextmanager
def timed() -> Iterator[Stages]:
    """The seconds by stage of the loads inside the block."""
    stages = Stages()
    token = _watch.set(stages)
    try:
        yield stages
    finally:
        _watch.reset(token)


def crash_point(name: str) -> None:
    """A point a load has reached: where its time is read, and where the fault tests kill it.

    ``stage:entity`` is one of several that run side by side; no time is read there.
    """
    if (stages := _watch.get()) and ":" not in name:
        stages.passed(name)
    crash_here(name)
