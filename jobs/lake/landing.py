"""Encrypted landing: the received bytes of a batch, in authenticated frames, with a manifest beside them.

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
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from pydantic import TypeAdapter, ValidationError

from jobs import disk
from jobs.errors import CitywellError
from jobs.lake.lines import BOM, LONGEST_LINE_BYTES
from jobs.private_files import create_private, sync_directory

SUFFIX = ".cwl"
MANIFEST = "manifest.json"
FRAME_SIZE = 4 * 1024 * 1024

_MAGIC = b"CWLF"
_VERSION = 1
_MAX_FRAME_SIZE = 64 * 1024 * 1024
_TAG = 16
_HEADER = struct.Struct(">4sB3x8sI40s")
_NONCE = struct.Struct(">B3xQ")
_LF, _CR = 10, 13

FileKind = Literal["output", "deleted", "error"]


@dataclass(frozen=True)
class LandingKey:
    """The master key that wraps the data keys: 32 secret bytes and the id under which files name it."""

    key_id: str
    secret: bytes = field(repr=False)


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


@dataclass(frozen=True)
class LandedFile:
    """One received file of a batch.

    ``url_digest`` is the SHA-256 of the link it came from, which is not kept.
    """

    file: str
    resource_type: str
    kind: FileKind
    url_digest: str
    bytes: int
    lines: int
    blank_lines: int
    sha256: str
    expected_lines: int | None


@dataclass(frozen=True)
class Finding:
    """Something about a batch a person should know.

    ``message`` never carries a record's values, a token or a link.
    """

    kind: Literal["count_mismatch", "file_failed", "server_errors", "nothing_exported"]
    message: str
    file: str | None = None
    resource_type: str | None = None


@dataclass(frozen=True)
class Manifest:
    """What one batch landed. ``complete`` is false when a finding says that something is missing."""

    batch_id: str
    source: str
    as_of: datetime
    since: datetime | None
    transaction_time: datetime
    attempt: int
    key_id: str
    files: tuple[LandedFile, ...]
    findings: tuple[Finding, ...]
    complete: bool
    replays: str | None = None
    """The batch whose rejected lines these are, repaired: they are versions of its export, but known only now."""
    format_version: int = 1

    @property
    def known_from(self) -> datetime:
        """When we received the batch's records."""
        return self.as_of if self.replays else self.transaction_time


_MANIFEST_ADAPTER = TypeAdapter(Manifest)


def ensure_key(path: Path) -> LandingKey:
    """The master key at ``path``, made (mode 0600) if there is none.

    Safe against two processes doing so at once.
    """
    if not path.exists():
        create_private(path, os.urandom(32).hex().encode() + b"\n")
    return load_key(path)


def load_key(path: Path) -> LandingKey:
    """The master key at ``path``.

    Raises CitywellError when it is missing or is not 32 bytes in hexadecimal.
    """
    try:
        secret = bytes.fromhex(path.read_text().strip())
    except FileNotFoundError:
        raise CitywellError(
            "The landing key is missing",
            where=str(path),
            do="restore it from the backup of the keys; on a new installation `citywell up` makes one",
        ) from None
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise CitywellError(
            "The landing key is not 64 hexadecimal digits",
            where=str(path),
            do="restore it from the backup of the keys; without it the landed files cannot be read",
        )
    return LandingKey(
        key_id=hashlib.sha256(b"citywell landing key id" + secret).hexdigest()[:16], secret=secret
    )


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
        self._lines = _LineCounter()
        self._sha256 = hashlib.sha256()

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._out: BinaryIO = os.fdopen(
                os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0
            )
        except OSError as error:
            raise _said_plainly(error, self.path) from error
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
            raise _said_plainly(error, self.path) from error
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
            raise _said_plainly(error, self.path) from error
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
        header = source.read(_HEADER.size)
        data_key, frame_size = _open_header(path, header, key)
        cipher, aad = AESGCM(data_key), header + _name_in_batch(path)
        stored = frame_size + _TAG
        remaining = os.fstat(source.fileno()).st_size - _HEADER.size
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
    return _HEADER.size + plain_bytes + frames * _TAG


def batch_dir(landing_dir: Path, source: str, batch_id: str) -> Path:
    """The directory of one batch."""
    return landing_dir / source / batch_id


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Writes ``manifest.json`` atomically; its presence says that the batch has landed."""
    part = directory / f".{MANIFEST}.{uuid.uuid4().hex}.part"
    try:
        with part.open("wb") as out:
            out.write(_MANIFEST_ADAPTER.dump_json(manifest, indent=2) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, directory / MANIFEST)
        sync_directory(directory)
    except OSError as error:
        raise _said_plainly(error, directory / MANIFEST) from error
    finally:
        part.unlink(missing_ok=True)


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest of a batch, None when it has not landed. Raises CitywellError when it is damaged."""
    path = directory / MANIFEST
    try:
        return _MANIFEST_ADAPTER.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise CitywellError(
            "The manifest of a batch is damaged", where=str(path), do="delete it and run the batch again"
        ) from None


def manifest_of(directory: Path) -> Manifest:
    """The manifest of a batch that must have landed; raises CitywellError when it has not, or is damaged."""
    manifest = read_manifest(directory)
    if manifest is None:
        source, batch_id = directory.parts[-2:]
        raise CitywellError(
            "The batch has not landed",
            where=f"batch {batch_id}",
            do=f"run `citywell ingest {source}`, which extracts it first",
        )
    return manifest


def expire(
    landing_dir: Path, retention_days: float, *, now: datetime, keep: Collection[str] = ()
) -> list[Path]:
    """Deletes the landed files (and abandoned parts) last written over ``retention_days`` before ``now``.

    keep: ids of batches that still need theirs. Manifests stay: they say what was received and hold no record.
    Returns the deleted files.
    """
    oldest = (now - timedelta(days=retention_days)).timestamp()
    expired = []
    for path in sorted(landing_dir.rglob("*")):
        is_landed = path.suffix in (SUFFIX, ".part") and path.parent.name not in keep and path.is_file()
        if is_landed and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
            expired.append(path)
    return expired


class _LineCounter:
    """Counts lines and blank lines of a byte stream fed in pieces of any size, as ``lines.split`` does."""

    def __init__(self) -> None:
        self._lines = self._blank = 0
        self._head: bytes | None = b""
        self._open_bytes, self._open_is_blank = 0, True

    def feed(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            if len(self._head) < len(BOM):
                return
            data, self._head = self._head.removeprefix(BOM), None
        self._count(data)

    def totals(self) -> tuple[int, int]:
        """(lines, blank lines) at the end of the stream."""
        if self._head is not None:
            head, self._head = self._head, None
            self._count(head)
        if not self._open_bytes:
            return self._lines, self._blank
        return self._lines + 1, self._blank + self._open_line_is_blank()

    def _count(self, data: bytes) -> None:
        octets = np.frombuffer(data, dtype=np.uint8)
        ends = np.flatnonzero(octets == _LF)
        if not ends.size:
            self._open(data)
            return
        self._open(data[: int(ends[0])])
        starts, stops = ends[:-1] + 1, ends[1:]
        begin_with_cr = np.flatnonzero((stops > starts) & (octets[starts] == _CR))
        only_cr = sum(not data[starts[n] : stops[n]].strip(b"\r") for n in begin_with_cr)
        self._lines += ends.size
        self._blank += self._open_line_is_blank() + int((stops == starts).sum()) + only_cr
        self._open_bytes, self._open_is_blank = 0, True
        self._open(data[int(ends[-1]) + 1 :])

    def _open(self, piece: bytes) -> None:
        self._open_bytes += len(piece)
        self._open_is_blank = self._open_is_blank and not piece.strip(b"\r")

    def _open_line_is_blank(self) -> bool:
        """A line too long to be held is no blank one, whatever is in it."""
        return self._open_is_blank and self._open_bytes <= LONGEST_LINE_BYTES


def _open_header(path: Path, header: bytes, key: LandingKey) -> tuple[bytes, int]:
    """Data key and frame size from a header."""
    if len(header) < _HEADER.size or header[:4] != _MAGIC:
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


def _said_plainly(error: OSError, path: Path) -> CitywellError:
    if disk.is_full(error):
        return disk.full(error, path)
    return CitywellError(
        f"A received file could not be landed: {error.strerror or 'input/output error'}",
        where=str(path),
        do="check that the landing directory exists, is writable and that its disk is healthy",
    )
