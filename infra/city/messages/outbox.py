"""What is to be sent, kept on disk until it is acknowledged.

Each segment of the city has the messages of its days in ``messages.bin``. An ``Outbox`` takes each segment once: those
of the first one, the last days of the history, become batch files (FHS/BHS … BTS/FTS, one a sender and day) in
``<home>/city/drops/hl7/<sender>/``; those of later ones go into a queue (SQLite), which they leave acknowledged.
What waits for longer than ``KEPT_DAYS`` of the city's clock is dropped and counted: there may be no listener at all.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from infra.city.messages.speaker import Told
from infra.city.messages.voices import BY_NAME, VOICES
from infra.city.messages.writing import envelope, trailer
from infra.city.population import DAY_MS

FILE = "messages.bin"
KEPT_DAYS = 5
_SCHEMA = """
    create table if not exists taken (segment integer primary key);
    create table if not exists queue (
        id integer primary key,
        sender text not null,
        at_ms integer not null,
        control_id text not null,
        body blob not null,
        tries integer not null default 0
    );
    create index if not exists queue_by_sender on queue (sender, id);
    create table if not exists counted (sender text, what text, count integer, primary key (sender, what));
"""


class Queued(NamedTuple):
    """A message that waits for its acknowledgement."""

    id: int
    at_ms: int
    control_id: str
    body: bytes


def write_messages(folder: Path, told: list[Told]) -> None:
    """Writes a segment's messages, in the order of their times."""
    folder.mkdir(parents=True, exist_ok=True)
    ordered = sorted(told, key=lambda one: (one.at_ms, one.sender, one.control_id))
    (folder / FILE).write_bytes(msgspec.msgpack.encode(ordered))


def read_messages(folder: Path) -> list[Told]:
    """The messages of a segment; none where it was written before messages were."""
    path = folder / FILE
    return msgspec.msgpack.decode(path.read_bytes(), type=list[Told]) if path.exists() else []


class Outbox:
    """The queue of a city below ``root`` (``<home>/city``). Thread-safe.

    drops_trailer: asked for each batch file; where it says yes the file breaks off before its trailers.
    """

    def __init__(self, root: Path, drops_trailer: Callable[[str], bool] = lambda _: False) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root, self._drops_trailer = root, drops_trailer
        self._lock = threading.Lock()
        self._db = sqlite3.connect(root / "messages.sqlite", check_same_thread=False, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def take(self, segments: int, now_ms: int) -> None:
        """Takes the segments not taken yet, and drops what has waited for too long."""
        with self._lock:
            taken = {number for (number,) in self._db.execute("select segment from taken")}
            for number in sorted(set(range(segments)) - taken):
                told = read_messages(self._root / "segments" / f"{number:05d}")
                if number == 0:
                    self._write_batches(told)
                with self._transaction():
                    rows = [(one.sender, one.at_ms, one.control_id, one.body) for one in told]
                    self._db.executemany(
                        "insert into queue (sender, at_ms, control_id, body) values (?, ?, ?, ?)",
                        rows if number > 0 else [],
                    )
                    self._db.execute("insert into taken values (?)", (number,))
            self._drop_old(now_ms - KEPT_DAYS * DAY_MS)

    def waiting(self, sender: str, count: int) -> list[Queued]:
        """The next messages of a sender, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "select id, at_ms, control_id, body from queue where sender = ? order by id limit ?",
                (sender, count),
            ).fetchall()
        return [Queued(*row) for row in rows]

    def done(self, sender: str, number: int, what: str) -> None:
        """Takes a message off the queue: it was ``acknowledged`` or ``refused``."""
        with self._lock, self._transaction():
            self._db.execute("delete from queue where id = ?", (number,))
            self._count(sender, what, 1)

    def status(self) -> dict[str, dict[str, int]]:
        """By sender: how many are unsent, acknowledged, refused and dropped."""
        usual = {"unsent": 0, "acknowledged": 0, "refused": 0, "dropped": 0}
        found = {voice.name: dict(usual) for voice in VOICES}
        with self._lock:
            for sender, count in self._db.execute("select sender, count(*) from queue group by sender"):
                found[sender]["unsent"] = count
            for sender, what, count in self._db.execute("select sender, what, count from counted"):
                found[sender][what] = count
        return found

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def _drop_old(self, before_ms: int) -> None:
        old = self._db.execute(
            "select sender, count(*) from queue where at_ms < ? group by sender", (before_ms,)
        ).fetchall()
        if old:
            with self._transaction():
                self._db.execute("delete from queue where at_ms < ?", (before_ms,))
                for sender, count in old:
                    self._count(sender, "dropped", count)

    def _count(self, sender: str, what: str, count: int) -> None:
        self._db.execute(
            "insert into counted values (?, ?, ?) on conflict do update set count = count + excluded.count",
            (sender, what, count),
        )

    def _write_batches(self, told: list[Told]) -> None:
        """The batch files of the first segment."""
        days: dict[tuple[str, int], list[Told]] = {}
        for one in told:
            days.setdefault((one.sender, one.at_ms // DAY_MS), []).append(one)
        for (sender, day), messages in days.items():
            voice, written_ms = BY_NAME[sender], (day + 1) * DAY_MS
            number = f"{voice.authority}{datetime.fromtimestamp(day * DAY_MS / 1000, UTC):%Y%m%d}"
            head = envelope(voice, "FHS", number, written_ms) + envelope(voice, "BHS", number, written_ms)
            body = head + b"".join(one.body for one in messages)
            if not self._drops_trailer(sender):
                body += trailer(voice, "BTS", len(messages)) + trailer(voice, "FTS", 1)
            _write(self._root / "drops" / "hl7" / sender / f"{number}.hl7", body)


def _write(path: Path, body: bytes) -> None:
    """Writes a file under its name once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(body)
    part.replace(path)
