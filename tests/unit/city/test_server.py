"""The real thing: a process, a port, a connection that breaks, a restart."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.unit.city.served import ASSERTION_TYPE, Client

OPTIONS = ["--population", "300", "--years", "1.0", "--admission-factor", "4.0", "--export-seconds", "0"]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def running(home: Path, port: int, *more: str) -> Iterator[str]:
    """A server process; killed hard at the end, as a crash would."""
    command = [
        sys.executable,
        "-m",
        "infra.city",
        "serve",
        "--home",
        str(home),
        "--port",
        str(port),
        *OPTIONS,
        *more,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            if process.poll() is not None:
                pytest.fail(f"the server ended: {process.stdout.read() if process.stdout else ''}")
            try:
                httpx.get(f"{url}/city/clock", timeout=1.0)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def token(home: Path, url: str) -> str:
    signer = Client.__new__(Client)
    signer.hospital, signer.home, signer.base = "harbour", home, f"{url}/harbour/fhir"
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": signer.assertion(),
        "scope": "system/*.rs",
    }
    answer = httpx.post(f"{url}/harbour/fhir/auth/token", data=form)
    return str(answer.json()["access_token"])


def read_until_it_breaks(url: str, headers: dict[str, str]) -> bytes:
    got = b""
    with httpx.stream("GET", url, headers=headers) as answer:
        try:
            for block in answer.iter_raw():
                got += block
        except httpx.RemoteProtocolError:
            return got
    raise AssertionError("the connection did not break")


def test_a_server_is_killed_and_continues(home: Path) -> None:
    port = free_port()
    with running(home, port) as url:
        headers = {"Authorization": f"Bearer {token(home, url)}", "Prefer": "respond-async"}
        kicked_off = httpx.get(f"{url}/harbour/fhir/$export?_type=Patient", headers=headers)
        status = kicked_off.headers["content-location"]
        assert status.startswith(url)
        assert httpx.post(f"{url}/city/advance", json={"days": 1}, timeout=60).json() == {
            "now": "2026-01-02T00:00:00Z"
        }
    with running(home, port) as url:
        assert httpx.get(f"{url}/city/clock").json() == {"now": "2026-01-02T00:00:00Z"}
        for _ in range(100):
            answer = httpx.get(status, headers=headers)
            if answer.status_code == 200:
                break
            time.sleep(0.05)
        assert answer.json()["transactionTime"] == "2026-01-01T00:00:00.000Z"
        link = answer.json()["output"][0]
        httpx.post(f"{url}/city/faults", json={"kind": "cut", "bytes": 700, "hospital": "harbour"})
        got = read_until_it_breaks(link["url"], {**headers, "Accept-Encoding": "identity"})
        assert 0 < len(got) <= 700
        rest = httpx.get(
            link["url"], headers={**headers, "Range": f"bytes={len(got)}-", "Accept-Encoding": "identity"}
        )
        assert rest.status_code == 206
        assert (got + rest.content).count(b"\n") == link["count"]


def test_what_cannot_be_served_is_said_in_words(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.city", "serve", "--home", str(tmp_path), "--only-given"]
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run(
        [*command, "--hospital-data", str(empty)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "holds no NDJSON" in done.stderr
    assert "do: " in done.stderr
