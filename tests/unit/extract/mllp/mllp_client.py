"""A listener in a process of its own, and a sender that talks to it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobs.extract.mllp import Entry, entries, journal_dir, seal
from jobs.extract.mllp.framing import framed
from jobs.lake import landing
from jobs.settings import PROJECT_DIR

ENDPOINT = "events_north"


def message(control_id: str, rest: str = "", marks: str = r"|^~\&", tail: str = "") -> bytes:
    """A small admission; ``tail``: from MSH-13 on."""
    f, c = marks[0], marks[1]
    head = f.join(
        [f"MSH{marks}", "ADT", "NORTH", "LAKE", "CITY", "20260102", "", f"ADT{c}A01", control_id, "P", "2.5"]
    )
    return f"{head}{tail}\rPID{f}1{f}{f}N1\rPV1{f}1{f}I\r{rest}".encode("latin-1")


@dataclass
class Process:
    """A running listener."""

    home: Path
    process: subprocess.Popen[str]
    port: int

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


@contextmanager
def listening(home: Path, *options: str, crash_at: str = "") -> Iterator[Process]:
    """``python -m jobs.extract.mllp`` on a free port, killed in the end."""
    environment = {**os.environ, "CITYWELL_HOME": str(home), "PYTHONPATH": str(PROJECT_DIR)}
    if crash_at:
        environment["CITYWELL_CRASH_AT"] = crash_at
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.extract.mllp", "--listen", f"{ENDPOINT}=0", *options],
        env=environment,
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        match = re.search(r":(\d+)$", told.strip())
        assert match, told
        yield Process(home, process, int(match[1]))
    finally:
        process.kill()
        process.wait(10)


class Sender:
    """A connection that sends blocks and reads answers."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._read = b""

    def send(self, *bodies: bytes) -> None:
        self.raw(b"".join(framed(body) for body in bodies))

    def raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> bytes | None:
        """The next answer without its frame; None when the connection has ended."""
        while b"\x1c\r" not in self._read:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                return None
            self._read += data
        block, _, self._read = self._read.partition(b"\x1c\r")
        assert block[:1] == b"\x0b"
        return block[1:]

    def code(self) -> str | None:
        """MSA-1 and MSA-2 of the next answer."""
        told = self.answer()
        if told is None:
            return None
        code, control_id = told.split(b"\r")[1].decode().split(chr(told[3]))[1:3]
        return f"{code} {control_id}".strip()

    def close(self) -> None:
        self.socket.close()


def journalled(home: Path) -> list[Entry]:
    """Everything in the journal, which is sealed for that."""
    key = landing.load_key(home / "keys" / "landing.key")
    segments = seal(journal_dir(home / "landing", ENDPOINT), key)
    return [entry for segment in segments for entry in entries(segment.path, key)]
