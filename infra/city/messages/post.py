"""The senders: one thread each, that sends a message over MLLP, waits for its acknowledgement and goes on.

A message whose acknowledgement does not come, or whose connection breaks, is sent again, and so is one that was not
landed (AE, CE); one that was refused (AR, CR) is not. Faults (``faults``) strike where ``where`` is ``mllp``.
"""

from __future__ import annotations

import logging
import socket
import sqlite3
import threading
import time
from collections.abc import Callable

from infra.city.city import City
from infra.city.faults import FaultBook
from infra.city.messages.outbox import Outbox, Queued
from infra.city.messages.voices import BY_NAME, Voice

log = logging.getLogger(__name__)

_VT, _END = b"\x0b", b"\x1c\r"
ANSWER_SECONDS, LONGEST_PAUSE_SECONDS, IDLE_SECONDS = 10.0, 5.0, 0.1
ODD_MARKS = "!:;$%"
Address = tuple[str, int]


class Post:
    """The senders of a city whose listeners are known; ``start`` and ``close``."""

    def __init__(
        self,
        city: City,
        outbox: Outbox,
        faults: FaultBook,
        listeners: dict[str, Address],
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.outbox = outbox
        self._city = city
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(
                target=_Sender(
                    BY_NAME[name], address, outbox, faults, self._stopped.wait, answer_seconds
                ).run,
                name=f"hl7 {name}",
                daemon=True,
            )
            for name, address in listeners.items()
        ]

    def start(self) -> None:
        self.collect()
        for thread in self._threads:
            thread.start()

    def collect(self) -> None:
        """Takes what the city has to say since the last time; what cannot be written now is taken the next time."""
        now_ms, segments = self._city.moment
        try:
            self.outbox.take(segments, now_ms)
        except (sqlite3.OperationalError, OSError) as error:
            log.warning("messages of a day could not be queued yet: %s", error)

    def close(self) -> None:
        """Stops the senders; what is not acknowledged waits on disk."""
        self._stopped.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self.outbox.close()


class _Sender:
    """One sender and its connection. ``wait`` pauses so many seconds; true means stop."""

    def __init__(
        self,
        voice: Voice,
        address: Address,
        outbox: Outbox,
        faults: FaultBook,
        wait: Callable[[float], bool],
        answer_seconds: float,
    ) -> None:
        self._voice, self._address, self._outbox, self._faults = voice, address, outbox, faults
        self._wait, self._answer_seconds = wait, answer_seconds
        self._socket: socket.socket | None = None
        self._read = b""

    def run(self) -> None:
        pause = 0.0
        while not self._wait(pause):
            queued = self._outbox.waiting(self._voice.name, 2)
            if not queued:
                pause = IDLE_SECONDS
                continue
            if len(queued) > 1 and self._strikes("out_of_order"):
                queued = queued[::-1]
            is_sent = self._deliver(queued[0])
            pause = 0.0 if is_sent else min(LONGEST_PAUSE_SECONDS, max(0.1, pause * 2))
        self._hang_up()

    def _deliver(self, message: Queued) -> bool:
        """Whether the message is off the queue."""
        body = message.body
        if self._strikes("odd_separators"):
            body = remarked(body, self._voice, ODD_MARKS)
        try:
            if self._strikes("cut_message"):
                self._open().sendall(_VT + body[: len(body) // 2])
                self._hang_up()
                return False
            if self._strikes("resend"):
                self._open().sendall(_VT + body + _END)
                self._answer(message.control_id)
            self._open().sendall(_VT + body + _END)
            if self._strikes("lost_ack"):
                self._hang_up()
                return False
            code = self._answer(message.control_id)
        except OSError:
            self._hang_up()
            return False
        if code[1:] == "E":
            return False
        self._outbox.done(self._voice.name, message.id, "acknowledged" if code[1:] == "A" else "refused")
        return True

    def _strikes(self, kind: str) -> bool:
        return self._faults.hit(self._voice.name, "mllp", (kind,)) is not None

    def _open(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=self._answer_seconds)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._read = b""
        return self._socket

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _answer(self, control_id: str) -> str:
        """The code of the acknowledgement of a message; answers to others are passed over. Raises OSError."""
        deadline = time.monotonic() + self._answer_seconds
        while time.monotonic() < deadline:
            while _END in self._read:
                block, _, self._read = self._read.partition(_END)
                code, answered = _acknowledged(block.removeprefix(_VT))
                if answered == control_id or not answered:
                    return code
            data = self._open().recv(65_536)
            if not data:
                raise ConnectionResetError("the listener has hung up")
            self._read += data
        raise TimeoutError("no acknowledgement")


def _acknowledged(block: bytes) -> tuple[str, str]:
    """(code, control id) of an acknowledgement. Raises ConnectionError for what is none."""
    mark = block[3:4].decode("latin-1")
    for segment in block.decode("latin-1").split("\r"):
        fields = segment.split(mark) if mark else []
        if len(fields) > 1 and fields[0] == "MSA":
            return fields[1], fields[2] if len(fields) > 2 else ""
    raise ConnectionError("the answer is no acknowledgement")


def remarked(body: bytes, voice: Voice, marks: str) -> bytes:
    """The message with other separators, and their escapes, saying the same."""
    text = body.decode(voice.charset)
    old, new = voice.marks[:5], marks
    escape = new[3]
    names = dict(zip((new[0], new[1], new[2], new[3], new[4]), "FSRET", strict=True))
    head = len("MSH") + len(voice.marks)
    out = []
    for one in text[head:]:
        if one in old:
            out.append(new[old.index(one)])
        else:
            out.append(f"{escape}{names[one]}{escape}" if one in names else one)
    return f"MSH{new}{''.join(out)}".encode(voice.charset)
