"""A disk without space, a tiny file system in memory: said as it is, nothing half-started, and mended by space."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import psycopg
import pytest

from infra.stack import health, leftovers
from infra.stack.lifecycle import down, up
from infra.stack.model import Port, Program, Service
from infra.stack.postgres import free_port
from jobs import disk
from jobs.errors import CitywellError
from jobs.settings import Settings
from tests.support.disk import fill

SERVERS = ("POSTGRES", "ENGINE", "MLFLOW", "AIRFLOW", "CITY")


@pytest.mark.parametrize("small_disk", ["2m"], indirect=True)
def test_a_full_disk_is_told_and_once_there_is_space_the_start_goes_on(small_disk: Path) -> None:
    config, port = Settings(home=small_disk / "home"), free_port()
    program = Program(
        name="alpha",
        command=[sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
        directory=config.home,
        is_healthy=partial(health.http_ok, f"http://127.0.0.1:{port}/"),
        ports=(Port(port, "CITYWELL_ALPHA_PORT"),),
    )
    services, filler = [Service("alpha", (program,))], fill(small_disk)
    try:
        with pytest.raises(CitywellError, match="the disk is full") as error:
            up(config, lambda *_: None, services)
        assert str(small_disk) in error.value.where
        assert leftovers.find(config.home) == []
        filler.unlink()
        assert up(config, lambda *_: None, services) == ["alpha"]
    finally:
        down(config, lambda *_: None, services)


@pytest.mark.parametrize("small_disk", ["20m"], indirect=True)
def test_a_program_that_ended_for_want_of_space_is_told_as_a_full_disk(small_disk: Path) -> None:
    """Whichever program meets the full disk first: the space it wanted is free again when it has ended."""
    config = Settings(home=small_disk / "home")
    program = Program(
        name="alpha",
        command=[
            sys.executable,
            "-c",
            "import tempfile as t; t.TemporaryFile(dir='.').write(bytes(64 << 20))",
        ],
        directory=config.home,
        is_healthy=lambda: False,
    )
    services = [Service("alpha", (program,))]
    try:
        with pytest.raises(CitywellError, match="the disk is full"):
            up(config, lambda *_: None, services)
    finally:
        down(config, lambda *_: None, services)


@pytest.mark.parametrize(
    ("small_disk", "is_full"),
    [("2m", True), ("8m", False), ("40m", False)],
    ids=["from the start", "while the database is made", "while its tables are made"],
    indirect=["small_disk"],
)
def test_citywell_up_says_so_in_a_few_lines_and_leaves_nothing_running(
    small_disk: Path, is_full: bool
) -> None:
    home = small_disk / "home"
    if is_full:
        fill(small_disk)
    ports = {f"CITYWELL_{name}_PORT": str(free_port()) for name in SERVERS}
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("citywell")), "up"],
        env={**os.environ, **ports, "CITYWELL_HOME": str(home), "CITY_POPULATION": "50"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("the disk is full"), ended.stderr
    assert "  do: " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert leftovers.find(home) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        psycopg.errors.DiskFull('could not extend file "base/1": No space left on device'),
        psycopg.errors.DiskFull('could not extend file "base/1": wrote only 4096 of 8192 bytes at block 0'),
        Exception("Delta: Generic LocalFileSystem error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_recognised_whoever_met_it(error: Exception) -> None:
    assert disk.is_full(error)
    wrapper = RuntimeError("the table was not written")
    wrapper.__cause__ = error
    assert disk.is_full(wrapper)
    assert not disk.is_full(OSError(errno.EACCES, "Permission denied"))
