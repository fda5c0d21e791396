"""A small simulated city of the test's own, served over real HTTP."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from infra.engine.launch import free_port, stop
from jobs.extract.smart_auth import ensure_key
from jobs.sources import SmartSignIn, load

START_S = 90


@contextmanager
def running_city(home: Path, *options: str) -> Iterator[str]:
    """Address of a city with its state and keys below ``home``, for as long as the block lasts."""
    for name, endpoint in load("hospital").endpoints.items():
        if isinstance(endpoint.auth, SmartSignIn):
            ensure_key(home / "keys" / f"fhir_{name}.pem", endpoint.auth.alg)
    port = free_port()
    argv = [sys.executable, "-m", "infra.city", "serve", "--port", str(port), "--home", str(home)]
    with (home / "city.log").open("wb") as log:
        process = subprocess.Popen(
            [*argv, "--export-seconds", "0", *options], stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_it_answers(f"{url}/city/clock", process, home / "city.log")
        yield url
    finally:
        stop(process)


def clock(url: str) -> str:
    """The city's now, ISO 8601."""
    return str(httpx.get(f"{url}/city/clock", trust_env=False).raise_for_status().json()["now"])


def advance(url: str, days: int) -> None:
    """Let the city live ``days``."""
    httpx.post(f"{url}/city/advance", json={"days": days}, trust_env=False, timeout=120).raise_for_status()


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(url, trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"the simulator did not start: {log.read_text()[-2000:]}")
