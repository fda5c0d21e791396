"""The journal of an endpoint: received blocks in encrypted, append-only segments, durable before an acknowledgement.

    <landing>/mllp/<endpoint>/lock            held by the process that writes
                              NUMBER.open     being written
                              NUMBER.cwj      sealed: whole, never written again
                              seal            present while somebody asks the writer to seal

NUMBER grows: microseconds since 1970 when it was begun, so that none comes twice after segments were removed.

A segment is a header and a frame for each entry::

    header  magic "CWLJ" | version u8 | 3 zero bytes | key id 8 B | wrapped data key 40 B
    frame   length u32 | AES-256-GCM of (received u64 microseconds UTC | kind u8 | body) | tag 16 B

The data key is random per segment and wrapped by the landing's master key (AES key wrap, RFC 3394). A frame's nonce is
its index; its associated data are the header, the endpoint and the segment's number. So a changed, swapped, repeated or
foreign frame does not authenticate.

A process that is killed leaves a torn tail: a frame that was not written to its end, and so was never synced nor
acknowledged. Whoever opens the journal next cuts it off and seals the segment; a writer always begins a new one.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from jobs.crash import crash_here
from jobs.errors import CitywellError
from jobs.lake.landing import LandingKey
from jobs.lake.landing.trouble import said_plainly
from jobs.private_files import sync_directory

FOLDER = "mllp"
SEAL_SECONDS, SEAL_BYTES = 300.0, 64 * 1024 * 1024
"""A segment is sealed when it is that old or that large, or when somebody asks."""

_OPEN, _SEALED, _ASKED = ".open", ".cwj", "seal"
_MAGIC, _VERSION = b"CWLJ", 1
_TAG = 16
_HEADER = struct.Struct(">4sB3x8s40s")
_LENGTH, _NONCE, _ENTRY = struct.Struct(">I"), struct.Struct(">4xQ"), struct.Struct(">QB")
_NAME = re.compile(r"([0-9]{16})\.(open|cwj)")
_LONGEST_FRAME = 256 * 1024 * 1024


class Kind(IntEnum):
    """A message; a block that is none; the first bytes of a block too long to be taken; a block that never ended, or
    bytes outside of any."""

    MESSAGE = 1
    UNPARSEABLE = 2
    TOO_LONG = 3
    CUT = 4


class Entry(NamedTuple):
    """One received block. received_us: when its last byte was, microseconds UTC."""

    received_us: int
    kind: Kind
    body: bytes


class Segment(NamedTuple):
    """A sealed segment."""

    number: int
    path: Path


def journal_dir(landing_dir: Path, endpoint: str) -> Path:
    """Where the journal of an endpoint is."""
    return landing_dir / FOLDER / endpoint


class Journal:
    """The writer of one endpoint's journal. Of a journal there is one at a time.

    ``write`` adds entries, ``sync`` makes them last; between the two nothing is promised. Not thread-safe.
    Raises CitywellError when another process writes it.
    """

    def __init__(
        self,
        directory: Path,
        key: LandingKey,
        *,
        seal_seconds: float = SEAL_SECONDS,
        seal_bytes: int = SEAL_BYTES,
    ) -> None:
        self.directory, self._key = directory, key
        self._seal_seconds, self._seal_bytes = seal_seconds, seal_bytes
        self._out: BinaryIO | None = None
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _locked(directory)
        if lock is None:
            raise CitywellError(
                "The journal is written by another process",
                where=str(directory),
                do="stop the other listener of this endpoint first",
            )
        self._lock = lock
        _recover(directory, key)
        (directory / _ASKED).unlink(missing_ok=True)

    @property
    def is_due(self) -> bool:
        """Whether the open segment should be sealed now."""
        if self._out is None:
            return False
        return (
            self._size >= self._seal_bytes
            or time.monotonic() - self._opened >= self._seal_seconds
            or self.is_asked
        )

    @property
    def is_asked(self) -> bool:
        return (self.directory / _ASKED).exists()

    def write(self, batch: Sequence[Entry]) -> None:
        """Adds entries. Raises CitywellError, with none of them added, when they cannot be written."""
        try:
            if self._out is None:
                self._open()
            out = self._out
            assert out is not None
            data = b"".join(self._frame(self._index + n, entry) for n, entry in enumerate(batch))
            view = memoryview(data)
            while view:
                view = view[out.write(view) :]
        except OSError as error:
            self._give_up()
            raise said_plainly(error, self.directory) from error
        self._size += len(data)
        self._index += len(batch)

    def sync(self) -> None:
        """Makes what was written last through a power failure. Raises CitywellError when that is uncertain."""
        if self._out is None:
            return
        try:
            os.fdatasync(self._out.fileno())
        except OSError as error:
            self._give_up()
            raise said_plainly(error, self.directory) from error

    def seal(self) -> None:
        """Closes the open segment, if there is one, and answers who asked for it."""
        if self._out is not None:
            crash_here("mllp:sealing")
            self.sync()
            self._out.close()
            self._out = None
            os.replace(self._path(_OPEN), self._path(_SEALED))
            sync_directory(self.directory)
            crash_here("mllp:sealed")
        _recover(self.directory, self._key)
        (self.directory / _ASKED).unlink(missing_ok=True)

    def close(self) -> None:
        """Seals and lets go of the journal."""
        self.seal()
        os.close(self._lock)

    def _open(self) -> None:
        newest = max((number for number, _ in _found(self.directory)), default=0)
        self._number = max(time.time_ns() // 1000, newest + 1)
        data_key = AESGCM.generate_key(256)
        header = _HEADER.pack(
            _MAGIC, _VERSION, bytes.fromhex(self._key.key_id), aes_key_wrap(self._key.secret, data_key)
        )
        path = self._path(_OPEN)
        try:
            out = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)
            out.write(header)
            sync_directory(self.directory)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        self._cipher, self._aad = AESGCM(data_key), header + _place(path)
        self._out, self._index, self._size, self._opened = out, 0, len(header), time.monotonic()

    def _frame(self, index: int, entry: Entry) -> bytes:
        plain = _ENTRY.pack(entry.received_us, entry.kind) + entry.body
        return _LENGTH.pack(len(plain) + _TAG) + self._cipher.encrypt(_NONCE.pack(index), plain, self._aad)

    def _give_up(self) -> None:
        """Leaves a segment whose end is uncertain: what is whole in it is sealed, now or with the next segment."""
        if self._out is None:
            return
        self._out.close()
        self._out = None
        with suppress(OSError):
            _finish(self._path(_OPEN), self._key)

    def _path(self, suffix: str) -> Path:
        return self.directory / f"{self._number:016d}{suffix}"


def seal(directory: Path, key: LandingKey, *, timeout: float = 15.0) -> list[Segment]:
    """Every entry received so far in sealed segments, oldest first; [] where nothing was.

    A listener that is running is asked to seal; where none is, its leftovers are sealed here. Raises CitywellError
    when the listener does not answer within ``timeout`` seconds.
    """
    if not directory.exists():
        return []
    deadline = time.monotonic() + timeout
    asked = directory / _ASKED
    while True:
        lock = _locked(directory)
        if lock is not None:
            try:
                _recover(directory, key)
                asked.unlink(missing_ok=True)
            finally:
                os.close(lock)
            return sealed(directory)
        asked.touch()
        while asked.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
            if (lock := _locked(directory)) is not None:
                os.close(lock)
                break
        else:
            if not asked.exists():
                return sealed(directory)
            raise CitywellError(
                "The listener does not seal its journal",
                where=str(directory),
                do="see its log; restart it with `python -m jobs.extract.mllp`, then try again",
            )


def sealed(directory: Path) -> list[Segment]:
    """The sealed segments of a journal, oldest first."""
    return sorted(Segment(number, path) for number, path in _found(directory) if path.suffix == _SEALED)


def entries(path: Path, key: LandingKey) -> Iterator[Entry]:
    """The entries of a segment in the order they were received.

    Raises CitywellError when a frame is damaged; of a segment that is still open a torn tail is passed over.
    """
    for entry, _ in _frames(path, key):
        yield entry


def _frames(path: Path, key: LandingKey) -> Iterator[tuple[Entry, int]]:
    """(entry, where its frame ends) of each whole frame."""
    with path.open("rb") as source:
        header = source.read(_HEADER.size)
        if len(header) < _HEADER.size and path.suffix == _OPEN:
            return
        cipher, aad = AESGCM(_data_key(path, header, key)), header + _place(path)
        end, index = len(header), 0
        while True:
            head = source.read(_LENGTH.size)
            length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
            stored = source.read(length) if length <= _LONGEST_FRAME else b""
            try:
                if length < _TAG or len(stored) < length:
                    raise InvalidTag
                plain = cipher.decrypt(_NONCE.pack(index), stored, aad)
            except InvalidTag:
                is_end = not head or (path.suffix == _OPEN and not _goes_on(source, cipher, aad, index + 1))
                if is_end:
                    return
                raise CitywellError(
                    f"Message {index + 1} of a journal's segment is damaged",
                    where=str(path),
                    do="restore the file from a backup, or move it away and have the sender send that time again",
                ) from None
            received_us, kind = _ENTRY.unpack_from(plain)
            end, index = end + len(head) + length, index + 1
            yield Entry(received_us, Kind(kind), plain[_ENTRY.size :]), end


def _goes_on(source: BinaryIO, cipher: AESGCM, aad: bytes, index: int) -> bool:
    """Whether a good frame stands behind a bad one: then it is damage, and not a tail that was never synced."""
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size or not _TAG <= (length := _LENGTH.unpack(head)[0]) <= _LONGEST_FRAME:
        return False
    try:
        cipher.decrypt(_NONCE.pack(index), source.read(length), aad)
    except (InvalidTag, ValueError):
        return False
    return True


def _recover(directory: Path, key: LandingKey) -> None:
    """Seals what a writer that is gone left open."""
    for _, path in _found(directory):
        if path.suffix == _OPEN:
            _finish(path, key)


def _finish(path: Path, key: LandingKey) -> None:
    """Cuts the torn tail off an open segment and seals it; one without a whole entry is removed."""
    end = max((end for _, end in _frames(path, key)), default=0)
    if end == 0:
        path.unlink()
    else:
        with path.open("r+b") as file:
            file.truncate(end)
            os.fsync(file.fileno())
        os.replace(path, path.with_suffix(_SEALED))
    sync_directory(path.parent)


def _found(directory: Path) -> list[tuple[int, Path]]:
    names = ((_NAME.fullmatch(path.name), path) for path in directory.iterdir()) if directory.exists() else ()
    return sorted((int(match[1]), path) for match, path in names if match)


def _data_key(path: Path, header: bytes, key: LandingKey) -> bytes:
    magic, version, key_id, wrapped = (
        _HEADER.unpack(header) if len(header) == _HEADER.size else (b"", 0, b"", b"")
    )
    if magic != _MAGIC or version != _VERSION:
        raise CitywellError(
            "This is no segment of a journal, or its beginning is damaged",
            where=str(path),
            do="restore the file from a backup",
        )
    try:
        if key_id.hex() != key.key_id:
            raise InvalidUnwrap
        return aes_key_unwrap(key.secret, wrapped)
    except InvalidUnwrap:
        raise CitywellError(
            "A journal's segment is locked with another landing key",
            where=str(path),
            do="put the landing key it was written with back in place",
        ) from None


def _place(path: Path) -> bytes:
    """Endpoint and number of a segment, wherever the landing lies and whether it is sealed or not."""
    absolute = path.absolute()
    return f"{absolute.parent.name}/{absolute.stem}".encode()


def _locked(directory: Path) -> int | None:
    """The lock of a journal, held until it is closed; None while another process has it."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
