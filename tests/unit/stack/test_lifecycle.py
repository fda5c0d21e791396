"""Services under supervision: started in order, seen, restarted, and stopped without touching anything else.

The services are small web servers on free ports, in a data directory of each test's own.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from infra.stack import health, leftovers, osuser
from infra.stack.lifecycle import down, supervisor_of, up
from infra.stack.model import Port, Program, Service
from infra.stack.postgres import free_port
from infra.stack.services import services
from infra.stack.status import ProgramStatus, status
from jobs.errors import CitywellError
from jobs.settings import Settings

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


class Stack:
    """Services of a test, and what was told about them."""

    def __init__(self, home: Path) -> None:
        self.config = Settings(home=home)
        self.services: list[Service] = []
        self.story: list[tuple[str, str]] = []

    def add(
        self,
        name: str,
        after: tuple[str, ...] = (),
        command: list[str] | None = None,
        port: int | None = None,
    ) -> Program:
        """A service of one web server; or of ``command``, never healthy unless it serves on that port."""
        port = port or free_port()
        program = Program(
            name=name,
            command=command or [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
            directory=self.config.home,
            is_healthy=partial(health.http_ok, f"http://127.0.0.1:{port}/"),
            ports=(Port(port, f"CITYWELL_{name.upper()}_PORT"),),
        )
        self.services.append(Service(name, (program,), after=after))
        return program

    def up(self) -> list[str]:
        return up(self.config, self._tell, self.services)

    def down(self) -> bool:
        return down(self.config, self._tell, self.services)

    def now(self, name: str) -> ProgramStatus:
        return {program.name: program for program in status(self.config, self.services)}[name]

    def is_supervised(self) -> bool:
        return supervisor_of(self.config).is_running()

    def _tell(self, service: str, phase: str, detail: str) -> None:
        self.story.append((service, phase))


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "home")
    yield stack
    stack.down()


def wait_until(holds, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def kill_supervisor(stack: Stack) -> psutil.Process:
    """Kill the process manager outright; what it leaves of ``alpha``."""
    orphan = psutil.Process(stack.now("alpha").pid)
    os.kill(int((stack.config.home / "run" / "supervisord.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: not stack.is_supervised())
    return orphan


def test_up_starts_everything_once_and_down_stops_it(stack):
    stack.add("alpha")
    stack.add("beta", after=("alpha",))
    assert stack.up() == ["alpha", "beta"]
    assert stack.story.index(("alpha", "ready")) < stack.story.index(("beta", "starting"))
    assert [(stack.now(name).state, stack.now(name).is_healthy) for name in ("alpha", "beta")] == [
        ("running", True),
        ("running", True),
    ]
    assert stack.now("alpha").memory_mb > 1
    assert stack.now("alpha").log.is_file()

    assert stack.up() == []

    assert stack.down() is True
    assert stack.story.index(("beta", "stopped")) < stack.story.index(("alpha", "stopping"))
    assert stack.now("alpha").state == "stopped"
    assert not stack.is_supervised()
    assert stack.down() is False


def test_the_first_start_on_a_machine_makes_the_user_of_the_database(stack, monkeypatch):
    monkeypatch.setattr(osuser, "USER", f"citywell_test_{os.getpid()}")
    stack.config = Settings(home=stack.config.home, postgres_port=free_port())
    stack.services = [service for service in services(stack.config) if service.name == "postgres"]
    try:
        assert stack.up() == ["postgres"]
        (server,) = stack.services[0].programs
        assert psutil.Process(stack.now("postgres").pid).username() == (
            server.user or psutil.Process().username()
        )
    finally:
        stack.down()
        if osuser.server_user() is not None:
            subprocess.run(["userdel", osuser.USER], check=True)


def test_nothing_runs_before_the_first_start(stack):
    stack.add("alpha")
    assert stack.now("alpha") == replace(
        stack.now("alpha"), state="stopped", is_healthy=None, pid=None, memory_mb=None
    )
    assert stack.down() is False


def test_a_port_in_use_is_named_with_its_setting_and_nothing_starts(stack):
    stack.add("alpha")
    taken = stack.add("beta")
    holder = subprocess.Popen(taken.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(taken.is_healthy)
        with pytest.raises(CitywellError) as error:
            stack.up()
    finally:
        holder.kill()
        holder.wait()
    assert f"port {taken.ports[0].number} is in use by another program" in error.value.what
    assert f"pid {holder.pid}" in error.value.what
    assert "CITYWELL_BETA_PORT" in error.value.do
    assert not stack.is_supervised()


def test_two_programs_given_one_port_are_named_with_their_settings_and_nothing_starts(stack):
    taken = stack.add("alpha").ports[0].number
    stack.add("beta", port=taken)
    with pytest.raises(CitywellError) as error:
        stack.up()
    assert f"alpha and beta are both to listen on port {taken}" in error.value.what
    assert error.value.where == "CITYWELL_ALPHA_PORT and CITYWELL_BETA_PORT"
    assert not stack.is_supervised()


def test_a_service_that_fails_takes_back_the_whole_start(stack):
    alpha = stack.add("alpha")
    stack.add("beta", command=[sys.executable, "-c", "raise SystemExit('cannot find the moon')"])
    with pytest.raises(CitywellError) as error:
        stack.up()
    assert "cannot find the moon" in error.value.what
    assert error.value.where == str(stack.config.logs_dir / "beta.log")
    failing = replace(
        stack.services[1].programs[0], command=[sys.executable, "-c", "raise SystemExit('nor Mars')"]
    )
    stack.services[1] = Service("beta", (failing,))
    with pytest.raises(CitywellError, match="nor Mars") as error:
        stack.up()
    assert "moon" not in error.value.what, "the log of an earlier start is another story"
    assert not alpha.is_healthy()
    assert not stack.is_supervised()


def test_a_failed_addition_leaves_what_ran_before(stack):
    alpha = stack.add("alpha")
    stack.up()
    stack.add("beta", command=[sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(CitywellError):
        stack.up()
    assert alpha.is_healthy()
    assert stack.now("beta").state != "running"


def test_a_service_that_never_answers_is_given_up(stack):
    stack.add("alpha", command=SLEEP)
    stack.services = [replace(stack.services[0], start_seconds=2)]
    with pytest.raises(CitywellError, match="not healthy after 2 seconds"):
        stack.up()
    assert not stack.is_supervised()


def test_a_program_that_dies_is_started_again(stack):
    alpha = stack.add("alpha")
    stack.up()
    dead = stack.now("alpha").pid
    os.kill(dead, signal.SIGKILL)
    wait_until(lambda: stack.now("alpha").pid not in (None, dead) and alpha.is_healthy())


def test_changed_settings_restart_the_program_they_concern(stack):
    stack.add("alpha")
    stack.add("beta")
    stack.up()
    before = {name: stack.now(name).pid for name in ("alpha", "beta")}
    changed = replace(stack.services[1].programs[0], environment={"CITYWELL_CITY_SEED": "100% 8"})
    stack.services[1] = Service("beta", (changed,))
    assert stack.up() == ["beta"]
    assert stack.now("alpha").pid == before["alpha"]
    assert psutil.Process(stack.now("beta").pid).environ()["CITYWELL_CITY_SEED"] == "100% 8"


def test_down_ends_what_a_killed_supervisor_left_and_nothing_else(stack):
    stack.add("alpha")
    stack.up()
    stranger = subprocess.Popen(SLEEP, env={**os.environ, leftovers.MARK: str(stack.config.home) + "-other"})
    try:
        orphan = kill_supervisor(stack)
        assert orphan.is_running()
        assert stack.now("alpha").state == "stopped"

        assert stack.down() is True
        assert not orphan.is_running()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_up_after_a_killed_supervisor_starts_afresh(stack):
    stack.add("alpha")
    stack.up()
    orphan = kill_supervisor(stack)
    assert stack.up() == ["alpha"]
    assert not orphan.is_running()


def test_a_second_up_at_the_same_time_is_refused(stack):
    stack.add("alpha")
    (stack.config.home / "run").mkdir(parents=True)
    with (stack.config.home / "run" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CitywellError, match="is at work"):
            stack.up()
