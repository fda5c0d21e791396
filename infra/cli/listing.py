"""Lists that nobody has to guess at: aligned in a terminal, CSV for a pipe or a file; no cell is cut or folded."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import accumulate

from rich.console import Console
from rich.text import Text

Cell = str | int | Text | None
_GAP = 2


def print_list(console: Console, headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Print ``rows`` below ``headings``.

    In a terminal the last columns that do not fit beside the others have lines of their own, so that a path or an
    address can be copied; whole numbers stand to the right, with thousands separated.
    """
    if console.is_terminal:
        _print_aligned(console, headings, rows)
        return
    writer = csv.writer(console.file, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows([cell.plain if isinstance(cell, Text) else cell for cell in row] for row in rows)


def _print_aligned(console: Console, headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    is_number = [all(isinstance(row[place], int | None) for row in rows) for place in range(len(headings))]
    lines = [
        [Text(heading, style="bold") for heading in headings],
        *([_text(cell) for cell in row] for row in rows),
    ]
    widths = [max(cell.cell_len for cell in column) for column in zip(*lines, strict=True)]
    ends = accumulate(width + _GAP for width in widths)
    beside = max(1, sum(end - _GAP <= console.width for end in ends))
    for line in lines:
        whole = Text()
        for cell, width, number in zip(line[:beside], widths, is_number, strict=False):
            padding = " " * (width - cell.cell_len)
            whole.append_text(Text.assemble(padding, cell) if number else Text.assemble(cell, padding))
            whole.append(" " * _GAP)
        whole.rstrip()
        console.print(whole, soft_wrap=True, highlight=False)
        for cell in line[beside:]:
            console.print(Text.assemble(" " * _GAP, cell), soft_wrap=True, highlight=False)


def _text(cell: Cell) -> Text:
    if isinstance(cell, Text):
        return cell
    return Text(f"{cell:,}" if isinstance(cell, int) else cell or "")
