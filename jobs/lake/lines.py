"""Lines of an NDJSON byte stream, in bounded memory.

Lines end at LF alone. A byte order mark at the start of the stream and one CR before the LF are dropped; blank lines
are no records and are passed over, yet they count in the line numbers. Source: https://github.com/ndjson/ndjson-spec
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

BOM = b"\xef\xbb\xbf"
LONGEST_LINE_BYTES = 64 * 1024 * 1024
_BLANK = b"\r"


def split(frames: Iterable[bytes], longest: int = LONGEST_LINE_BYTES) -> Iterator[tuple[int, bytes | None]]:
    """(line number from 1, bytes without the line end) of every line that is not blank.

    The bytes are None for a line longer than ``longest``: it is passed over without being held in memory.
    """
    number, held, is_too_long = 0, b"", False
    for frame in _without_bom(frames):
        *complete, rest = frame.split(b"\n")
        for line in complete:
            number += 1
            if held or is_too_long:
                line, was_too_long = held + line, is_too_long
                held, is_too_long = b"", False
            else:
                was_too_long = False
            if was_too_long or len(line) > longest:
                yield number, None
            elif line.strip(_BLANK):
                yield number, line.removesuffix(b"\r")
        if not is_too_long:
            held += rest
            if len(held) > longest:
                held, is_too_long = b"", True
    if is_too_long:
        yield number + 1, None
    elif held.strip(_BLANK):
        yield number + 1, held.removesuffix(b"\r")


def one_line(document: bytes) -> bytes:
    """A JSON document without the line ends between its members; JSON allows none inside a string (RFC 8259, 7)."""
    is_one = b"\n" not in document and b"\r" not in document
    return document if is_one else document.replace(b"\n", b" ").replace(b"\r", b" ")


def _without_bom(frames: Iterable[bytes]) -> Iterator[bytes]:
    head = b""
    stream = iter(frames)
    for frame in stream:
        head += frame
        if len(head) >= len(BOM):
            break
    yield head.removeprefix(BOM)
    yield from stream
