"""The words of the stack: a *service* becomes ready as a whole; a *program* is one supervised process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Tell(Protocol):
    """Takes a short sentence for the person who watches; a ``lasting`` one stays on the screen."""

    def __call__(self, text: str, *, lasting: bool = False) -> None: ...


@dataclass(frozen=True)
class Port:
    """A TCP port a program listens on, and the environment variable that moves it."""

    number: int
    setting: str


@dataclass(frozen=True)
class Program:
    """One process: what to run, as whom, where it listens, how its health is told and how it is stopped."""

    name: str
    command: list[str]
    directory: Path
    is_healthy: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    ports: tuple[Port, ...] = ()
    address: str = ""
    stop_signal: str = "TERM"
    is_signalled_with_children: bool = True
    stop_seconds: int = 15


@dataclass(frozen=True)
class Service:
    """Programs that start together, once the services named in ``after`` are ready.

    ``prepare`` runs before they start, ``provision`` when they are healthy; then the service is ready.
    """

    name: str
    programs: tuple[Program, ...]
    after: tuple[str, ...] = ()
    prepare: Callable[[Tell], None] | None = None
    provision: Callable[[], None] | None = None
    start_seconds: int = 600
