"""The listener: connections in, acknowledgements out, and between the two the journal.

Each endpoint has a port, a journal and one thread that writes it. What arrives while the thread waits for the disk is
written with its next turn: so one ``fdatasync`` carries the messages of many connections, and of one that sends
without waiting. A connection's answers keep the order of its messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, cast

from jobs.crash import crash_here
from jobs.errors import CitywellError
from jobs.extract.mllp.acks import Header, Verdict, answer, header_of
from jobs.extract.mllp.framing import Deframer, Found, Part, framed
from jobs.extract.mllp.journal import SEAL_BYTES, SEAL_SECONDS, Entry, Journal, Kind, journal_dir
from jobs.lake.formats.hl7v2 import LONGEST_MESSAGE_BYTES
from jobs.lake.landing import LandingKey

log = logging.getLogger(__name__)

MOST_WAITING_BYTES = 32 * 1024 * 1024
"""A connection that has sent so much that is not synced yet is not read from."""
_TICK_SECONDS = 0.1


class Limits(NamedTuple):
    """longest_message in bytes; frame_seconds: a block that has begun must go on within so many."""

    longest_message: int = LONGEST_MESSAGE_BYTES
    frame_seconds: float = 30.0
    seal_seconds: float = SEAL_SECONDS
    seal_bytes: int = SEAL_BYTES


class _Waiting(NamedTuple):
    """A received block on its way to the journal."""

    entry: Entry
    header: Header | None
    """None where nobody waits for an answer: stray bytes."""
    connection: Connection


class Connection(asyncio.Protocol):
    """One sender's connection."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._deframer = Deframer(endpoint.limits.longest_message)
        self._transport: asyncio.Transport | None = None
        self._waiting_bytes = 0
        self._last_byte = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._endpoint.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._take(self._deframer.closed())
        self._endpoint.connections.discard(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._last_byte = time.monotonic()
        self._take(self._deframer.feed(data))

    def answered(self, size: int, answers: bytes) -> None:
        """``size`` bytes of this connection are settled; sends their answers."""
        self._waiting_bytes -= size
        if self._transport is None or self._transport.is_closing():
            return
        if answers:
            self._transport.write(answers)
        if self._waiting_bytes < MOST_WAITING_BYTES and not self._endpoint.is_stopping:
            self._transport.resume_reading()

    def drop_if_stuck(self, now: float) -> None:
        """Ends a connection whose block has not gone on; its sender, who has no answer, sends it again."""
        is_stuck = now - self._last_byte > self._endpoint.limits.frame_seconds
        if self._deframer.is_within_block and is_stuck and self._transport is not None:
            log.warning(
                "%s: a message was not sent to its end; the connection is closed", self._endpoint.name
            )
            self._transport.abort()

    def stop_reading(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _take(self, parts: list[Part]) -> None:
        now_us = time.time_ns() // 1000
        for found, body in parts:
            crash_here("mllp:received")
            header = header_of(body) if found in (Found.BLOCK, Found.TOO_LONG) else None
            kind = _KINDS[found]
            if kind is Kind.MESSAGE and (header is None or not header.is_message):
                kind = Kind.UNPARSEABLE
            self._waiting_bytes += len(body)
            self._endpoint.receive(_Waiting(Entry(now_us, kind, body), header, self))
        if self._waiting_bytes >= MOST_WAITING_BYTES:
            self.stop_reading()


class Endpoint:
    """One endpoint: its connections, its journal and what waits for it."""

    def __init__(self, name: str, directory: Path, key: LandingKey, limits: Limits) -> None:
        self.name, self.limits = name, limits
        self.connections: set[Connection] = set()
        self.counts: Counter[str] = Counter()
        self.is_stopping = False
        self._journal = Journal(
            directory, key, seal_seconds=limits.seal_seconds, seal_bytes=limits.seal_bytes
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"journal {name}")
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.writer: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listens at ``port`` (0: any free one, see ``port``)."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: Connection(self), host, port)
        except OSError as error:
            raise CitywellError(
                f"The listener cannot listen: {error.strerror}",
                where=f"{self.name}, {host}:{port}",
                do="give it a free port",
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        self.writer = loop.create_task(self._write())

    def receive(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._wake.set()

    async def stop(self) -> None:
        """Takes no more, lands and answers what was taken, seals and ends."""
        self.is_stopping = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.stop_reading()
        self._wake.set()
        if self.writer is not None:
            await self.writer
        for connection in list(self.connections):
            connection.close()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._journal.close)
        self._thread.shutdown()

    async def _write(self) -> None:
        """Until stopped and empty: commits what waits, and seals when it is time."""
        loop = asyncio.get_running_loop()
        next_tick = 0.0
        while self._waiting or not self.is_stopping:
            if not self._waiting:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _TICK_SECONDS)
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            if batch:
                self._answer(batch, await loop.run_in_executor(self._thread, self._commit, batch))
            if (now := time.monotonic()) >= next_tick:
                next_tick = now + _TICK_SECONDS
                for connection in list(self.connections):
                    connection.drop_if_stuck(now)
                await loop.run_in_executor(self._thread, self._seal_if_due)

    def _commit(self, batch: list[_Waiting]) -> CitywellError | None:
        """Runs in the journal's thread; the error, where the batch is not landed."""
        try:
            self._journal.write([waiting.entry for waiting in batch])
            crash_here("mllp:journalled")
            self._journal.sync()
        except CitywellError as error:
            return error
        crash_here("mllp:synced")
        return None

    def _seal_if_due(self) -> None:
        if self._journal.is_due or self._journal.is_asked:
            try:
                self._journal.seal()
            except (CitywellError, OSError) as error:
                log.error("%s: the journal could not be sealed: %s", self.name, error)

    def _answer(self, batch: list[_Waiting], error: CitywellError | None) -> None:
        """Answers a batch, each connection's answers in one write."""
        answers: dict[Connection, list[bytes]] = {}
        sizes: Counter[Connection] = Counter()
        for entry, header, connection in batch:
            verdict = Verdict.ACCEPTED if entry.kind is Kind.MESSAGE else Verdict.REJECTED
            why = _WHY[entry.kind]
            if error is not None:
                verdict, why = Verdict.ERROR, "not landed, send again"
            self.counts[verdict.name] += 1
            sizes[connection] += len(entry.body)
            found = answers.setdefault(connection, [])
            if header is not None and (told := answer(header, verdict, why)) is not None:
                found.append(framed(told))
        if error is not None:
            log.error("%s: %d messages are not landed and refused: %s", self.name, len(batch), error)
        for connection, found in answers.items():
            connection.answered(sizes[connection], b"".join(found))
        crash_here("mllp:acked")


_KINDS = {
    Found.BLOCK: Kind.MESSAGE,
    Found.TOO_LONG: Kind.TOO_LONG,
    Found.CUT: Kind.CUT,
    Found.STRAY: Kind.CUT,
}
_WHY = {
    Kind.MESSAGE: "",
    Kind.UNPARSEABLE: "no HL7 v2 message",
    Kind.TOO_LONG: "too long",
    Kind.CUT: "not a whole block",
}


class Listener:
    """Listens for some endpoints at once; ``start`` and ``stop`` within one event loop."""

    def __init__(self, landing_dir: Path, key: LandingKey, limits: Limits | None = None) -> None:
        self._landing_dir, self._key, self._limits = landing_dir, key, limits or Limits()
        self.endpoints: dict[str, Endpoint] = {}

    async def start(self, host: str, ports: Iterable[tuple[str, int]]) -> None:
        """Opens the journals of (endpoint, port) and listens. Raises CitywellError; nothing listens then."""
        try:
            for name, port in ports:
                directory = journal_dir(self._landing_dir, name)
                endpoint = Endpoint(name, directory, self._key, self._limits)
                self.endpoints[name] = endpoint
                await endpoint.start(host, port)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        for endpoint in self.endpoints.values():
            await endpoint.stop()


async def serve(
    listener: Listener, host: str, ports: Iterable[tuple[str, int]], say: Callable[[str], None]
) -> None:
    """Listens until SIGTERM or SIGINT; ``say`` is told the addresses."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await listener.start(host, ports)
    for name, endpoint in listener.endpoints.items():
        say(f"{name}: mllp://{host}:{endpoint.port}")
    writers = [endpoint.writer for endpoint in listener.endpoints.values() if endpoint.writer]
    until = asyncio.ensure_future(stopped.wait())
    await asyncio.wait([until, *writers], return_when=asyncio.FIRST_COMPLETED)
    for writer in writers:
        if writer.done():
            # Nothing would be acknowledged any more: better to end, and be started again.
            writer.result()
    await listener.stop()
    for name, endpoint in listener.endpoints.items():
        counted = ", ".join(f"{count} {word.lower()}" for word, count in sorted(endpoint.counts.items()))
        say(f"{name}: {counted or 'nothing received'}")
