"""``up`` and ``down``: services brought up side by side, and stopped in the reverse order of their needs."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import psycopg

from infra.stack import leftovers, osuser, ports
from infra.stack.model import Program, Service
from infra.stack.services import common_environment, services
from infra.stack.supervision import ALIVE, FAILED, RUNNING, UNKNOWN, Supervisor
from jobs import disk
from jobs.errors import CitywellError
from jobs.settings import Settings

Phase = Literal["waiting", "starting", "ready", "failed", "stopping", "stopped", "remark"]
Report = Callable[[str, Phase, str], None]
"""Called with the service, its phase and a detail for the person who watches; from several threads."""

POLL_S = 0.5
PRIVATE = ("secrets", "keys", "landing", "lake", "logs", "run", "city", "engine", "mlflow", "airflow")
LOG_TAIL_CHARS = 1500


def supervisor_of(config: Settings) -> Supervisor:
    """The process manager of this home."""
    return Supervisor(config.home / "run", config.logs_dir)


def up(config: Settings, report: Report, wanted: Sequence[Service] | None = None) -> list[str]:
    """Start whatever of the stack does not run and wait until all is healthy; names of the services started.

    Ports are looked at before anything starts. Programs whose settings changed are restarted. On any failure,
    and on Ctrl-C, everything this call started is stopped again. Raises CitywellError.

    wanted: by default the whole stack.
    """
    wanted = wanted or services(config)
    try:
        return _up(config, report, wanted)
    except (OSError, psycopg.Error, CitywellError) as error:
        if disk.is_full(error) or not disk.has_room(config.home):
            raise disk.full(error, config.home) from error
        raise


def _up(config: Settings, report: Report, wanted: Sequence[Service]) -> list[str]:
    programs = [program for service in wanted for program in service.programs]
    ports.check_distinct(programs)
    supervisor = supervisor_of(config)
    prepare_home(config)
    if any(program.user for program in programs):
        osuser.ensure_user()  # the supervisor refuses a configuration that names a user who is not there
    with _exclusively(config):
        was_running = supervisor.is_running()
        if was_running:
            supervisor.reload(programs)
        else:
            leftovers.end(config.home)
        states = supervisor.states()
        idle = [program for program in programs if states.get(program.name, ("", 0))[0] not in ALIVE]
        for program in idle:
            ports.check_free(program, config.host)
        if not was_running:
            mark = {leftovers.MARK: str(config.home)}
            supervisor.launch(programs, {**common_environment(), **mark})
        try:
            _Start(wanted, {program.name for program in idle}, supervisor, report).run()
        except BaseException:
            _stop(wanted, {program.name for program in idle}, supervisor, report)
            if not was_running:
                _shut_down(supervisor)
                leftovers.end(config.home)
            raise
    return [service.name for service in wanted if any(program in idle for program in service.programs)]


def down(config: Settings, report: Report, wanted: Sequence[Service] | None = None) -> bool:
    """Stop the stack and whatever a killed supervisor left of it; False when nothing ran."""
    wanted = wanted or services(config)
    supervisor = supervisor_of(config)
    if not supervisor.run.is_dir():
        return False
    with _exclusively(config):
        was_running = supervisor.is_running()
        if was_running:
            _stop(wanted, set(supervisor.states()), supervisor, report)
            _shut_down(supervisor)
        return leftovers.end(config.home) > 0 or was_running


def prepare_home(config: Settings) -> None:
    """The data directory and its parts; the parts are closed to other users of the machine."""
    config.home.mkdir(parents=True, exist_ok=True)
    for name in PRIVATE:
        part = config.home / name
        part.mkdir(exist_ok=True)
        part.chmod(0o700)


@dataclass
class _Start:
    """One ``up``: a thread for each service, an event for each that is ready, and one that ends them all."""

    services: Sequence[Service]
    idle: set[str]
    supervisor: Supervisor
    report: Report
    ready: dict[str, threading.Event] = field(init=False)
    given_up: threading.Event = field(default_factory=threading.Event)
    logged: dict[str, int] = field(default_factory=dict)
    """Bytes in the log of each program before this start."""

    def __post_init__(self) -> None:
        self.ready = {service.name: threading.Event() for service in self.services}

    def run(self) -> None:
        """Returns when every service is ready; raises what the first one to fail raised."""
        with ThreadPoolExecutor(len(self.services)) as pool:
            futures: list[Future[None]] = [pool.submit(self._bring_up, service) for service in self.services]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self.given_up.set()
        for future in done:
            future.result()

    def _bring_up(self, service: Service) -> None:
        self.report(service.name, "waiting", ", ".join(service.after))
        if not all(self._wait_for(name) for name in service.after):
            return
        try:
            starting = [program for program in service.programs if program.name in self.idle]
            self.report(service.name, "starting", "")
            if starting and service.prepare is not None:
                service.prepare(partial(self._tell, service.name))
            for program in starting:
                if self.given_up.is_set():
                    return
                log = self.supervisor.log(program.name)
                self.logged[program.name] = log.stat().st_size if log.exists() else 0
                self.supervisor.start(program.name)
            self._wait_until_healthy(service)
            if self.given_up.is_set():
                return
            if service.provision is not None:
                service.provision()
        except Exception:
            self.report(service.name, "failed", "")
            raise
        self.report(service.name, "ready", service.programs[0].address)
        self.ready[service.name].set()

    def _tell(self, service: str, text: str, *, lasting: bool = False) -> None:
        self.report(service, "remark" if lasting else "starting", text)

    def _wait_for(self, name: str) -> bool:
        while not self.ready[name].wait(POLL_S):
            if self.given_up.is_set():
                return False
        return True

    def _wait_until_healthy(self, service: Service) -> None:
        deadline = time.monotonic() + service.start_seconds
        sick = list(service.programs)
        while sick and not self.given_up.wait(POLL_S):
            states = self.supervisor.states()
            for program in sick:
                if states.get(program.name, (UNKNOWN, 0))[0] in FAILED:
                    raise self._failure(program, "ended right after its start")
                if time.monotonic() > deadline:
                    raise self._failure(program, f"was not healthy after {service.start_seconds} seconds")
            sick = [p for p in sick if states[p.name][0] != RUNNING or not p.is_healthy()]

    def _failure(self, program: Program, what: str) -> CitywellError:
        """``what`` became of a program, with the end of what it has logged since this start."""
        log = self.supervisor.log(program.name)
        told = log.read_bytes()[self.logged.get(program.name, 0) :] if log.exists() else b"(no log)"
        tail = told.decode(errors="replace")[-LOG_TAIL_CHARS:].strip()
        return CitywellError(
            f"{program.name} {what}; its log ends:\n{tail}",
            where=str(log),
            do="mend what the log says, then `citywell up`; what this call had started has been stopped",
        )


def _stop(wanted: Sequence[Service], names: set[str], supervisor: Supervisor, report: Report) -> None:
    """Stop the programs called ``names``: services nobody waits for first, PostgreSQL last."""
    if not supervisor.is_running():
        return
    for layer in reversed(_layers(wanted)):
        running = {service.name: _programs_of(service, names) for service in layer}
        for service_name, programs in running.items():
            for program in programs:
                report(service_name, "stopping", program.name)
                supervisor.stop(program.name)
        patience = [program.stop_seconds for programs in running.values() for program in programs]
        deadline = time.monotonic() + max(patience, default=0) + 5
        while any(running.values()) and time.monotonic() < deadline:
            time.sleep(POLL_S / 2)
            states = supervisor.states()
            for service_name, programs in running.items():
                alive = [program for program in programs if states.get(program.name, ("", 0))[0] in ALIVE]
                if programs and not alive:
                    report(service_name, "stopped", "")
                running[service_name] = alive


def _programs_of(service: Service, names: set[str]) -> list[Program]:
    return [program for program in service.programs if program.name in names]


def _layers(wanted: Sequence[Service]) -> list[list[Service]]:
    """Services by how many others stand below them: those that need nothing, those that need these, ..."""
    depth: dict[str, int] = {}
    for service in wanted:
        depth[service.name] = 1 + max((depth[name] for name in service.after), default=-1)
    return [[s for s in wanted if depth[s.name] == level] for level in range(max(depth.values()) + 1)]


def _shut_down(supervisor: Supervisor) -> None:
    supervisor.shutdown()
    deadline = time.monotonic() + 30
    while supervisor.is_running() and time.monotonic() < deadline:
        time.sleep(POLL_S / 2)


@contextmanager
def _exclusively(config: Settings) -> Iterator[None]:
    """One ``up`` or ``down`` at a time for one home."""
    path: Path = config.home / "run" / "lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CitywellError(
                "another `citywell up` or `citywell down` is at work",
                where=str(config.home),
                do="wait until it is done, then try again",
            ) from error
        yield
