"""Records of a CSV file (RFC 4180 and what is sent under that name), in bounded memory.

Rows are found in bytes: in every encoding that may be declared, line ends, quotes and delimiters are those of ASCII. So
a byte that cannot be decoded spoils its own row alone, and so does a quote that nobody closes.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from jobs.lake import lines
from jobs.lake.strict import Rejected
from jobs.sources import CsvForm

LONGEST_ROW_LINES = 50
"""Lines of one row, quoted line ends inside; a quote that is still open after so many was never meant as one."""


class Row(NamedTuple):
    """A row that is no header and no footer. number: of its first line, from 1. cells: by column name, or why not."""

    number: int
    raw: bytes | None
    cells: dict[str, str] | Rejected


class Table:
    """Rows of one file. ``header`` is there once the first row has been read, ``stated`` once a footer has been."""

    def __init__(self, frames: Iterable[bytes], form: CsvForm) -> None:
        self.form = form
        self.header: list[str] | None = None
        self.stated: int | None = None
        self._lines = _Lines(lines.split(frames))

    def rows(self) -> Iterator[Row]:
        """Every row in order. Where the first cannot be read, there is no header, and no row after it."""
        for number, raw in self._lines:
            cells = self._cells(raw)
            if isinstance(cells, Rejected):
                yield Row(number, self._lines.row, cells)
                if self.header is None:
                    return
            elif self.header is None:
                self.header = [name.strip() for name in cells]
            elif self._is_footer(cells):
                self.stated = int(cells[1]) if len(cells) > 1 and cells[1].strip().isdecimal() else None
            elif len(cells) != len(self.header):
                words = f"{len(cells)} cells under a header of {len(self.header)}"
                yield Row(number, self._lines.row, Rejected("wrong_cell_count", words))
            else:
                yield Row(number, self._lines.row, dict(zip(self.header, cells, strict=True)))

    def _cells(self, raw: bytes | None) -> list[str] | Rejected:
        """The cells of the row that begins with line ``raw``; further lines of it are taken from the file."""
        if raw is None:
            return Rejected("line_too_long", f"longer than {lines.LONGEST_LINE_BYTES} bytes")
        if raw.count(b'"') % 2 == 0:
            return self._parsed(raw)
        whole = self._lines.until_closed(raw)
        cells = self._parsed(whole) if whole is not None else None
        if cells is None or isinstance(cells, Rejected) or (self.header and len(cells) != len(self.header)):
            return Rejected("unbalanced_quote", "a quote is opened and not closed")
        self._lines.take(whole)
        return cells

    def _parsed(self, row: bytes) -> list[str] | Rejected:
        try:
            text = row.decode(self.form.encoding)
        except UnicodeDecodeError as error:
            return Rejected("invalid_encoding", f"not {self.form.encoding} (byte {error.start})")
        if "\0" in text:
            return Rejected("nul_character", "a cell holds the character NUL")
        try:
            return next(csv.reader([text], delimiter=self.form.delimiter, strict=True))
        except (csv.Error, StopIteration):
            return Rejected("unbalanced_quote", "quotes and line ends do not make a row")

    def _is_footer(self, cells: list[str]) -> bool:
        return self.form.footer is not None and cells[:1] == [self.form.footer]


class _Lines:
    """Numbered lines of a file that can be looked ahead at. ``row``: the bytes of the row at hand."""

    def __init__(self, source: Iterator[tuple[int, bytes | None]]) -> None:
        self._source = source
        self._ahead: deque[tuple[int, bytes | None]] = deque()
        self._joined = 0
        self.row: bytes | None = None

    def __iter__(self) -> Iterator[tuple[int, bytes | None]]:
        while (item := self._ahead.popleft() if self._ahead else next(self._source, None)) is not None:
            self.row = item[1]
            yield item

    def until_closed(self, first: bytes) -> bytes | None:
        """``first`` and the lines after it up to the one that closes its quote; None when none near does."""
        parts = [first]
        for place in range(LONGEST_ROW_LINES):
            if place == len(self._ahead):
                if (following := next(self._source, None)) is None:
                    return None
                self._ahead.append(following)
            if (line := self._ahead[place][1]) is None:
                return None
            parts.append(line)
            if line.count(b'"') % 2:
                self._joined = place + 1
                return b"\n".join(parts)
        return None

    def take(self, row: bytes | None) -> None:
        """Pass over the lines that ``until_closed`` has found to belong to the row at hand."""
        for _ in range(self._joined):
            self._ahead.popleft()
        self.row = row
