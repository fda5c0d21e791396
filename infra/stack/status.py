"""What runs, how it is and where its log is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.stack.lifecycle import supervisor_of
from infra.stack.model import Program, Service
from infra.stack.services import services
from infra.stack.supervision import RUNNING
from jobs.settings import Settings


@dataclass(frozen=True)
class ProgramStatus:
    """One program now. ``is_healthy`` is None when it does not run; ``memory_mb`` counts its children too."""

    service: str
    name: str
    state: str
    is_healthy: bool | None
    address: str
    pid: int | None
    memory_mb: float | None
    log: Path


def status(config: Settings, wanted: Sequence[Service] | None = None) -> list[ProgramStatus]:
    """Every program of the stack; health is asked of those that run, all at once."""
    supervisor = supervisor_of(config)
    states = supervisor.states()

    def look(service: str, program: Program) -> ProgramStatus:
        state, pid = states.get(program.name, ("STOPPED", 0))
        return ProgramStatus(
            service=service,
            name=program.name,
            state=state.lower(),
            is_healthy=program.is_healthy() if state == RUNNING else None,
            address=program.address,
            pid=pid or None,
            memory_mb=memory_mb(pid) if pid else None,
            log=supervisor.log(program.name),
        )

    pairs = [
        (service.name, program) for service in wanted or services(config) for program in service.programs
    ]
    with ThreadPoolExecutor(len(pairs)) as pool:
        return list(pool.map(lambda pair: look(*pair), pairs))


def memory_mb(pid: int) -> float | None:
    """Megabytes of ``pid`` and its descendants, shared pages shared out; None when it is gone."""
    try:
        parent = psutil.Process(pid)
        return sum(_bytes([parent, *parent.children(recursive=True)])) / 2**20
    except psutil.NoSuchProcess:
        return None


def _bytes(processes: Iterable[psutil.Process]) -> Iterable[int]:
    for process in processes:
        try:
            full = process.memory_full_info()
            yield getattr(full, "pss", full.uss)
        except psutil.AccessDenied:
            yield process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
