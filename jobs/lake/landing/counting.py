"""Lines of a received file, counted as its bytes pass by."""

from __future__ import annotations

import numpy as np

from jobs.lake.lines import BOM, LONGEST_LINE_BYTES

_LF, _CR = 10, 13


class LineCounter:
    """Counts lines and blank lines of a byte stream fed in pieces of any size, as ``lines.split`` does."""

    def __init__(self, longest: int = LONGEST_LINE_BYTES) -> None:
        self._longest = longest
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
        return self._open_is_blank and self._open_bytes <= self._longest
