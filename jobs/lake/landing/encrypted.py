"""One landed file: the received bytes in authenticated frames.

A landing file is a header and AES-256-GCM frames of ``frame_size`` plaintext bytes (the last one shorter)::

    header  magic "CWLF" | version u8 | 3 zero bytes | key id 8 B | frame size u32 | wrapped data key 40 B
    frame   ciphertext | tag 16 B

The data key is random per file and wrapped by the master key (AES key wrap, RFC 3394). A frame's nonce is its
index and whether it is the last; its associated data are the header and the file's name within its batch. So
a cut, a swap, a repeat or a reordering of frames, a changed header and a renamed file all fail
authentication.

Plaintext never touches the disk: ``LandingWriter`` encrypts what it is given, and the file appears under its
name only when it is whole and synced.
"""

from __future__ import annotations

import hashlib
import os
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from jobs.errors import CitywellError
from jobs.lake.landing.counting import LineCounter
from jobs.lake.landing.key import LandingKey
from jobs.lake.landing.trouble import said_plainly
from jobs.private_files import sync_directory

SUFFIX = ".cwl"
FRAME_SIZE = 4 * 1024 * 1024

_MAGIC = b"CWLF"
_VERSION = 1
_MAX_FRAME_SIZE = 64 * 1024 * 1024
_TAG = 16
_HEADER = struct.Struct(">4sB3x8sI40s")
_NONCE = struct.Struct(">B3xQ")
HEADER_BYTES = _HEADER.size


@dataclass(frozen=True)
class Landed:
    """What went into one landing file, counted on the plaintext.

    ``lines`` counts LF, and a last line that has none, after a byte order mark at the start; ``blank_lines`` those
    of them that ``lines.split`` passes over: empty but for CRs.
    """

    bytes: int
    lines: int
    blank_lines: int
    sha256: str


class LandingWriter:
    """Writes one landing file; use as a context manager. ``landed`` holds the counts once it is closed.

    The file gets its name when the block ends well; when it ends with an exception nothing of it stays.
    Raises CitywellError when the disk is full.
    """

    def __init__(self, path: Path, key: LandingKey, *, frame_size: int = FRAME_SIZE) -> None:
        data_key = AESGCM.generate_key(256)
        self.path = path
        self.landed: Landed | None = None
        self._frame_size = frame_size
        self._header = _HEADER.pack(
            _MAGIC, _VERSION, bytes.fromhex(key.key_id), frame_size, aes_key_wrap(key.secret, data_key)
        )
        self._aad = self._header + _name_in_batch(path)
        self._cipher = AESGCM(data_key)
        self._part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        self._pending = bytearray()
        self._frames = 0
        self._bytes = 0
        self._lines = LineCounter()
        self._sha256 = hashlib.sha256()

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._out: BinaryIO = os.fdopen(
                os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0
            )
        except OSError as error:
            raise said_plainly(error, self.path) from error
        return self

    def write(self, data: bytes) -> None:
        """Adds ``data``, of any length, to the file."""
        self._pending += data
        written = 0
        while len(self._pending) - written > self._frame_size:
            with memoryview(self._pending) as pending:
                frame = bytes(pending[written : written + self._frame_size])
            written += self._frame_size
            self._write_frame(frame, last=False)
        del self._pending[:written]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._out.close()
            self._part.unlink(missing_ok=True)

    def _finish(self) -> None:
        self._write_frame(bytes(self._pending), last=True)
        try:
            os.fsync(self._out.fileno())
            os.replace(self._part, self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise said_plainly(error, self.path) from error
        self.landed = Landed(self._bytes, *self._lines.totals(), self._sha256.hexdigest())

    def _write_frame(self, frame: bytes, *, last: bool) -> None:
        self._sha256.update(frame)
        self._lines.feed(frame)
        self._bytes += len(frame)
        try:
            if self._frames == 0:
                self._put(self._header)
            self._put(self._cipher.encrypt(_NONCE.pack(last, self._frames), frame, self._aad))
        except OSError as error:
            raise said_plainly(error, self.path) from error
        self._frames += 1

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._out.write(view) :]


def read_frames(path: Path, key: LandingKey) -> Iterator[bytes]:
    """The plaintext of ``path`` in order, one frame (4 MiB unless the writer chose otherwise) at a time.

    Raises CitywellError when the file is missing, was locked with another key, or does not authenticate. What
    was yielded before such an error is genuine but not the whole file: the caller must let the error stop the
    work.
    """
    try:
        source = path.open("rb", buffering=0)
    except FileNotFoundError:
        raise CitywellError(
            "A landed file is missing",
            where=str(path),
            do="it may have expired; run the batch again to fetch it anew",
        ) from None
    with source:
        header = source.read(HEADER_BYTES)
        data_key, frame_size = _open_header(path, header, key)
        cipher, aad = AESGCM(data_key), header + _name_in_batch(path)
        stored = frame_size + _TAG
        remaining = os.fstat(source.fileno()).st_size - HEADER_BYTES
        buffer = memoryview(bytearray(min(stored, max(remaining, 0))))
        index = 0
        while True:
            size = _fill(source, buffer[: min(stored, max(remaining, 0))])
            remaining -= size
            last = remaining <= 0
            try:
                frame = cipher.decrypt(_NONCE.pack(last, index), buffer[:size], aad)
            except (InvalidTag, ValueError):
                raise CitywellError(
                    f"Frame {index} of a landed file is damaged: it was changed, cut off, moved or renamed",
                    where=str(path),
                    do="delete this file and run the batch again; it will be fetched anew",
                ) from None
            yield frame
            if last:
                return
            index += 1


def verify(path: Path, key: LandingKey, sha256: str) -> bool:
    """Whether ``path`` exists, authenticates and holds the plaintext with digest ``sha256``."""
    digest = hashlib.sha256()
    try:
        for frame in read_frames(path, key):
            digest.update(frame)
    except CitywellError:
        return False
    return digest.hexdigest() == sha256


def stored_size(plain_bytes: int, frame_size: int = FRAME_SIZE) -> int:
    """Size on disk of a landing file that holds ``plain_bytes``."""
    frames = max(1, -(-plain_bytes // frame_size))
    return HEADER_BYTES + plain_bytes + frames * _TAG


def _open_header(path: Path, header: bytes, key: LandingKey) -> tuple[bytes, int]:
    """Data key and frame size from a header."""
    if len(header) < HEADER_BYTES or header[:4] != _MAGIC:
        raise CitywellError(
            "This is not a landed file, or its beginning is damaged",
            where=str(path),
            do="delete this file and run the batch again; it will be fetched anew",
        )
    _, version, key_id, frame_size, wrapped = _HEADER.unpack(header)
    if version != _VERSION:
        raise CitywellError(
            f"A landed file has format version {version}; this release reads version {_VERSION}",
            where=str(path),
            do="read it with the release that wrote it, or run the batch again",
        )
    if key_id.hex() != key.key_id:
        raise CitywellError(
            f"A landed file is locked with another key: it names {key_id.hex()}, in use is {key.key_id}",
            where=str(path),
            do="put the landing key it was written with back in place, or run the batch again",
        )
    try:
        data_key = aes_key_unwrap(key.secret, wrapped)
    except InvalidUnwrap:
        data_key = b""
    if not data_key or not 0 < frame_size <= _MAX_FRAME_SIZE:
        raise CitywellError(
            "The header of a landed file is damaged",
            where=str(path),
            do="delete this file and run the batch again; it will be fetched anew",
        )
    return data_key, frame_size


def _fill(source: BinaryIO, view: memoryview) -> int:
    """Reads until ``view`` is full or the file ends; the bytes read."""
    size = 0
    while size < len(view):
        count = source.readinto(view[size:])  # type: ignore[attr-defined]
        if not count:
            break
        size += count
    return size


def _name_in_batch(path: Path) -> bytes:
    """What a file is called independent of where the landing lies: batch and file name."""
    absolute = path.absolute()
    return f"{absolute.parent.name}/{absolute.name}".encode()
