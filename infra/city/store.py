"""The city's records on disk: segments of lines, never rewritten, and what an export of them contains.

A *segment* is what one stretch of calendar added: for each hospital and type a file of lines in the order
they became visible, an index (visible_ms, key, byte offset of each line) and the deletions. The current
records are, for each key, the lines of the newest segment that has it, unless a later deletion names it.
Segments are immutable, so that a running export sees the city as it was.

Layout: ``segments/<number>/<hospital>/<Type>.ndjson``, ``<Type>.index.npy`` (int64, 3 x lines+1),
``<Type>.deleted.json``."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Deletion:
    """A record that was deleted: its key and id, and when."""

    key: int
    id: str
    at_ms: int


@dataclass(frozen=True)
class Piece:
    """Consecutive selected lines of one segment file."""

    path: Path
    start: int
    stop: int
    lines: int


def write_segment_file(
    folder: Path,
    type_: str,
    visible: np.ndarray,
    keys: np.ndarray,
    lines: list[bytes],
    deletions: list[Deletion],
) -> None:
    """Write one type of one hospital, ordered by visibility; equal times keep their order."""
    folder.mkdir(parents=True, exist_ok=True)
    order = np.argsort(visible, kind="stable")
    ordered = [lines[i] for i in order.tolist()]
    sizes = np.fromiter((len(line) + 1 for line in ordered), dtype=np.int64, count=len(ordered))
    index = np.zeros((3, len(ordered) + 1), dtype=np.int64)
    index[0, :-1] = visible[order]
    index[1, :-1] = keys[order].astype(np.int64)
    index[2, 1:] = sizes.cumsum()
    with (folder / f"{type_}.ndjson").open("wb") as out:
        for first in range(0, len(ordered), 20_000):
            out.write(b"\n".join(ordered[first : first + 20_000]) + b"\n")
    np.save(folder / f"{type_}.index.npy", index)
    if deletions:
        (folder / f"{type_}.deleted.json").write_text(json.dumps([[d.key, d.id, d.at_ms] for d in deletions]))


class Store:
    """Segments ``0 … count-1`` below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, segment: int, hospital: str) -> Path:
        return self.root / f"{segment:05d}" / hospital

    def types(self, hospital: str, count: int) -> list[str]:
        """Resource types any of the first ``count`` segments has."""
        found = {
            p.name.removesuffix(".ndjson")
            for n in range(count)
            for p in self.folder(n, hospital).glob("*.ndjson")
        }
        return sorted(found)

    def deletions(self, hospital: str, type_: str, count: int) -> list[Deletion]:
        found: list[Deletion] = []
        for n in range(count):
            path = self.folder(n, hospital) / f"{type_}.deleted.json"
            if path.exists():
                found += [Deletion(*row) for row in json.loads(path.read_text())]
        return found

    def current_deletions(self, hospital: str, type_: str, count: int, since_ms: int) -> list[Deletion]:
        """Deletions after ``since_ms`` whose record has not come back."""
        recent = [d for d in self.deletions(hospital, type_, count) if d.at_ms > since_ms]
        if not recent:
            return []
        alive: dict[int, int] = {}
        wanted = np.array([d.key for d in recent], dtype=np.int64)
        for index in self._indexes(hospital, type_, count).values():
            rows = np.flatnonzero(np.isin(index[1, :-1], wanted))
            for key, at in zip(index[1, rows].tolist(), index[0, rows].tolist(), strict=True):
                alive[key] = max(at, alive.get(key, 0))
        return [d for d in recent if alive.get(d.key, 0) <= d.at_ms]

    def select(self, hospital: str, type_: str, count: int, since_ms: int | None) -> Iterator[Piece]:
        """The current lines that became visible after ``since_ms`` (all of them for None), as runs of
        bytes."""
        indexes = self._indexes(hospital, type_, count)
        deleted = self.deletions(hospital, type_, count)
        gone_keys = np.array([d.key for d in deleted], dtype=np.int64)
        gone_at = {d.key: d.at_ms for d in deleted}
        newer = np.zeros(0, dtype=np.int64)
        kept: dict[int, np.ndarray] = {}
        for n in sorted(indexes, reverse=True):
            visible, keys = indexes[n][0, :-1], indexes[n][1, :-1]
            keep = ~np.isin(keys, newer)
            for row in np.flatnonzero(np.isin(keys, gone_keys)).tolist():
                keep[row] &= visible[row] > gone_at[int(keys[row])]
            if since_ms is not None:
                keep &= visible > since_ms
            kept[n] = keep
            if n:
                newer = np.union1d(newer, keys)
        for n in sorted(kept):
            path = self.folder(n, hospital) / f"{type_}.ndjson"
            edges = np.flatnonzero(np.diff(np.concatenate([[False], kept[n], [False]]).astype(np.int8)))
            offsets = indexes[n][2]
            for first, last in edges.reshape(-1, 2).tolist():
                yield Piece(path, int(offsets[first]), int(offsets[last]), last - first)

    def _indexes(self, hospital: str, type_: str, count: int) -> dict[int, np.ndarray]:
        found: dict[int, np.ndarray] = {}
        for n in range(count):
            path = self.folder(n, hospital) / f"{type_}.index.npy"
            if path.exists():
                found[n] = np.load(path)
        return found


def split_pieces(pieces: list[Piece], lines_per_file: int) -> list[list[Piece]]:
    """Group pieces into files of about ``lines_per_file`` lines (0: one file); a long piece is cut at line
    ends."""
    if not lines_per_file:
        return [pieces] if pieces else []
    files: list[list[Piece]] = [[]]
    room = lines_per_file
    for piece in pieces:
        for part in _cut(piece, room, lines_per_file):
            if part.lines > room:
                files.append([])
                room = lines_per_file
            files[-1].append(part)
            room -= part.lines
    return [f for f in files if f]


def _cut(piece: Piece, room: int, limit: int) -> Iterator[Piece]:
    """Parts of a piece: the first fits into ``room`` lines, the others hold at most ``limit``."""
    if piece.lines <= max(room, 0):
        yield piece
        return
    index = np.load(piece.path.with_suffix(".index.npy"), mmap_mode="r")
    first = int(np.searchsorted(index[2], piece.start))
    last = first + piece.lines
    step = room if room > 0 else limit
    while first < last:
        end = min(first + step, last)
        yield Piece(piece.path, int(index[2, first]), int(index[2, end]), end - first)
        first, step = end, limit


def read_pieces(pieces: list[Piece]) -> Iterator[memoryview]:
    """The bytes of pieces, in blocks of at most 4 MiB."""
    for path in dict.fromkeys(p.path for p in pieces):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            view = memoryview(mapped)
            for piece in (p for p in pieces if p.path == path):
                for start in range(piece.start, piece.stop, 4 << 20):
                    block = view[start : min(start + (4 << 20), piece.stop)]
                    yield block
                    block.release()
            view.release()
