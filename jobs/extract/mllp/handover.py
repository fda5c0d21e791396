"""Sealed segments of a journal handed over to a batch as ordinary landing files.

    segments = seal(journal_dir(landing_dir, endpoint), key)
    landed = land(segments, batch_directory, key)      a landing file for each segment: MLLP blocks in order
    … the batch is judged …
    release(journal, [one.number for one in landed])   the segments are removed

A segment never changes, and its landing file is named after it and written whole or not at all. So a batch that is
killed anywhere and run again lands the same files. What a batch has judged must be released before the next one seals:
the names of its files say what (``segment_number``), as often as needed. What is not released is landed again then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import CitywellError
from jobs.extract.mllp.framing import FS, VT, framed
from jobs.extract.mllp.journal import Kind, Segment, entries, sealed
from jobs.lake.landing import SUFFIX, Landed, LandingKey, LandingWriter
from jobs.private_files import sync_directory

_WHOLE = (Kind.MESSAGE, Kind.UNPARSEABLE)
_FILE = re.compile(r"journal-([0-9]{16})\.hl7" + re.escape(SUFFIX))


@dataclass(frozen=True)
class LandedSegment:
    """One landing file and what is in it; ``first_us`` and ``last_us``: when the first and last entry were received."""

    number: int
    file: str
    entries: int
    messages: int
    unparseable: int
    first_us: int
    last_us: int
    landed: Landed


def land(segments: Sequence[Segment], directory: Path, key: LandingKey) -> list[LandedSegment]:
    """Writes each segment as a landing file of the batch in ``directory``. Raises CitywellError.

    Every entry is one block, a message or not: what the reader finds is as much as was received. One that was cut, or
    of which only the beginning was kept, has no end, and so is no message there either.
    """
    return [_land(segment, directory, key) for segment in segments]


def _land(segment: Segment, directory: Path, key: LandingKey) -> LandedSegment:
    name = f"journal-{segment.number:016d}.hl7{SUFFIX}"
    count, first_us, last_us = {kind: 0 for kind in Kind}, 0, 0
    with LandingWriter(directory / name, key) as out:
        for entry in entries(segment.path, key):
            body = entry.body.replace(VT, b"").replace(FS, b"")
            out.write(framed(body) if entry.kind in _WHOLE else VT + body)
            count[entry.kind] += 1
            first_us, last_us = first_us or entry.received_us, entry.received_us
    assert out.landed is not None
    total = sum(count.values())
    messages = count[Kind.MESSAGE]
    return LandedSegment(
        segment.number, name, total, messages, total - messages, first_us, last_us, out.landed
    )


def segment_number(file: str) -> int | None:
    """The segment that a landing file of a batch was made from; None for any other file."""
    match = _FILE.fullmatch(Path(file).name)
    return int(match[1]) if match else None


def release(journal: Path, numbers: Iterable[int]) -> None:
    """Removes sealed segments that a batch has judged; those that are gone already are passed over."""
    wanted = set(numbers)
    for segment in sealed(journal):
        if segment.number in wanted:
            try:
                segment.path.unlink(missing_ok=True)
            except OSError as error:
                raise CitywellError(
                    f"A journal's segment could not be removed: {error.strerror}",
                    where=str(segment.path),
                    do="check that the landing directory is writable",
                ) from error
    if journal.exists():
        sync_directory(journal)
