"""HL7 v2 as it is landed: files into messages, messages into segments, read strictly.

A landed file is one of three, told by its first bytes:

* ``framed``: messages in MLLP blocks (VT … FS CR), as the listener's journal hands them over;
* ``batch``: FHS/BHS … BTS/FTS, with the numbers of messages and batches that their trailers state;
* ``bare``: messages one after another.

A message is split at its own separators (MSH-1, MSH-2) after it was decoded by its own character set (MSH-18), never
before: a trail byte of Big5 may look like a separator. Segments end at CR, LF or CRLF. Fields are split, what is in
them only where it is asked for. A message that cannot be read is Rejected with a rule and a reason that says where,
never what.

Sources: HL7 v2.8 chapters 2 (2.5.3 nulls, 2.5.5 separators, 2.7 escapes, 2.10.3 batches) and 2.C (table 0211).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from jobs.lake.lines import BOM
from jobs.lake.strict import Rejected

LONGEST_MESSAGE_BYTES = 16 * 1024 * 1024
START_BLOCK, END_BLOCK = b"\x0b", b"\x1c"
NULL = '""'
"""A field of two quotes: the value is to be deleted. An empty field says nothing."""

_HEADER = re.compile(rb"(?<![^\r\n])(?:MSH|FHS|BHS|BTS|FTS)(?![A-Za-z0-9])")
_HEADER_BYTES = 4
_MARK = re.compile(b"([" + START_BLOCK + END_BLOCK + b"])")
_LINE_END = re.compile(rb"[\r\n]")
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}")
_COUNT = re.compile(r"[0-9]{1,9}")
_VERSION = re.compile(r"2(\.[0-9]){1,2}")
_HEX = re.compile(r"X((?:[0-9A-Fa-f]{2})+)")
_FORMATTING = re.compile(r"[HN]|\.(?:sp|ti|sk|in|ce|fi|nf)[+-]?[0-9]*|C[0-9A-Fa-f]{4}|M[0-9A-Fa-f]{4,6}")

_CHARSETS = {
    "ASCII": "ascii",
    "ISOIR6": "ascii",
    **{f"8859{n}": f"iso8859-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)},
    **{f"ISO8859{n}": f"iso8859-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)},
    "ISOIR100": "iso8859-1",
    "ISOIR101": "iso8859-2",
    "ISOIR109": "iso8859-3",
    "ISOIR110": "iso8859-4",
    "ISOIR144": "iso8859-5",
    "ISOIR127": "iso8859-6",
    "ISOIR126": "iso8859-7",
    "ISOIR138": "iso8859-8",
    "ISOIR148": "iso8859-9",
    "ISOIR192": "utf-8",
    "UNICODEUTF8": "utf-8",
    "UTF8": "utf-8",
    "WINDOWS1252": "cp1252",
    "CP1252": "cp1252",
    "BIG5": "big5",
    "GB180302000": "gb18030",
    "KSX1001": "euc_kr",
}
"""HL7 table 0211 and usual spellings, without spaces and punctuation, to Python's codecs. UTF-16 and -32 are none of
them: their bytes hold those that MLLP frames messages with."""


# -- files ------------------------------------------------------------------------------------------------


class Piece(NamedTuple):
    """One message of a file: its number (from 1), its bytes, and whether its end was seen.

    ``body`` is None for one longer than may be held. ``ended`` is false where it was cut: what is there may be the
    beginning of any message, and of any value.
    """

    number: int
    body: bytes | None
    ended: bool = True


@dataclass
class Batch:
    """Messages between BHS and BTS: how many there are, and how many BTS-1 states (None: no trailer, or no number)."""

    found: int = 0
    stated: int | None = None
    has_trailer: bool = False


@dataclass
class Envelope:
    """What a file says about itself, complete once ``Pieces`` is at its end."""

    kind: str = "bare"
    batches: list[Batch] = field(default_factory=list)
    outside: int = 0
    """Messages that stand in no batch."""
    stated_batches: int | None = None
    has_file_header: bool = False
    has_file_trailer: bool = False

    @property
    def found(self) -> int:
        return self.outside + sum(batch.found for batch in self.batches)

    @property
    def stated(self) -> int | None:
        """Messages the trailers state; None where one does not say."""
        stated = [batch.stated for batch in self.batches]
        if not stated or None in stated:
            return None
        return sum(count for count in stated if count is not None)

    def troubles(self) -> list[str]:
        """What is wrong with the envelope, in words for a finding; empty when its counts agree."""
        found = []
        for number, batch in enumerate(self.batches, 1):
            if not batch.has_trailer:
                found.append(f"batch {number} has no trailer (BTS): it may have been cut off")
            elif batch.stated is not None and batch.stated != batch.found:
                found.append(f"batch {number} states {batch.stated} messages and holds {batch.found}")
        if self.has_file_header and not self.has_file_trailer:
            found.append("the file has no trailer (FTS): it may have been cut off")
        if self.stated_batches is not None and self.stated_batches != len(self.batches):
            found.append(f"the file states {self.stated_batches} batches and holds {len(self.batches)}")
        return found


class Pieces:
    """The messages of a landed file, read in bounded memory; ``envelope`` is complete when all were taken."""

    def __init__(self, frames: Iterable[bytes], longest: int = LONGEST_MESSAGE_BYTES) -> None:
        self.envelope = Envelope()
        self._frames = iter(frames)
        self._longest = longest
        self._held = b""

    def __iter__(self) -> Iterator[Piece]:
        held = b""
        for frame in self._frames:
            held += frame
            if len(held) >= _HEADER_BYTES:
                break
        held = held.removeprefix(BOM)
        if held.startswith(START_BLOCK):
            self.envelope.kind = "framed"
            yield from self._framed(held)
        else:
            yield from self._headed(held.lstrip(b"\r\n"))

    def _framed(self, begun: bytes) -> Iterator[Piece]:
        """Blocks. A block whose end is not there, and what stands in none, is a message that was cut."""
        number, held, is_within, is_too_long = 0, b"", False, False
        for text in itertools.chain((begun,), self._frames):
            parts = _MARK.split(text)
            for body, mark in zip(parts[::2], parts[1::2], strict=False):
                held += body
                is_whole = is_within and mark == END_BLOCK
                if is_whole or is_too_long or held.strip(b"\r\n"):
                    number += 1
                    yield Piece(number, None if is_too_long or len(held) > self._longest else held, is_whole)
                held, is_too_long, is_within = b"", False, mark == START_BLOCK
            held += parts[-1]
            if len(held) > self._longest:
                held, is_too_long = b"", True
        if is_too_long or held.strip(b"\r\n"):
            number += 1
            yield Piece(number, None if is_too_long else held, ended=False)
        self.envelope.outside = number

    def _headed(self, held: bytes) -> Iterator[Piece]:
        """Messages that begin at a header segment and end where the next one begins."""
        number, is_too_long = 0, False
        self._held = held
        for text, is_all in self._texts():
            starts = [match.start() for match in _HEADER.finditer(text) if is_all or match.end() < len(text)]
            if not starts or starts[0] > 0:
                starts.insert(0, 0)
            for start, stop in itertools.pairwise(starts):
                if piece := self._headed_piece(text[start:stop], number + 1, is_too_long):
                    number += 1
                    yield piece
                is_too_long = False
            self._held = text[starts[-1] :]
            if len(self._held) > self._longest:
                self._held, is_too_long = self._held[:_HEADER_BYTES] + self._held[-_HEADER_BYTES:], True
        if piece := self._headed_piece(self._held, number + 1, is_too_long):
            yield piece._replace(ended=self._held.endswith((b"\r", b"\n")))

    def _texts(self) -> Iterator[tuple[bytes, bool]]:
        """What is held, with each frame behind it, and whether the file is at its end."""
        for frame in self._frames:
            yield self._held + frame, False
        yield self._held, True

    def _headed_piece(self, text: bytes, number: int, is_too_long: bool) -> Piece | None:
        """The message that ``text`` is; None for a header or trailer of the envelope, which is taken note of.

        What stands behind one, up to the next header, is no message, and is told as any other that is none.
        """
        envelope = self.envelope
        if (match := _HEADER.match(text)) and match[0] != b"MSH":
            line, *behind = _LINE_END.split(text, maxsplit=1)
            self._note(match[0], line)
            text = b"".join(behind)
        if not is_too_long and not text.strip(b"\r\n"):
            return None
        open_batch = envelope.batches[-1] if envelope.batches else None
        if open_batch is not None and not open_batch.has_trailer:
            open_batch.found += 1
        else:
            envelope.outside += 1
        return Piece(number, None if is_too_long or len(text) > self._longest else text)

    def _note(self, name: bytes, line: bytes) -> None:
        """Take note of a header or trailer of the envelope."""
        envelope = self.envelope
        if name in (b"FHS", b"BHS"):
            envelope.kind = "batch"
        if name == b"FHS":
            envelope.has_file_header = True
        elif name == b"BHS":
            envelope.batches.append(Batch())
        elif name == b"BTS" and envelope.batches:
            envelope.batches[-1].has_trailer = True
            envelope.batches[-1].stated = _stated(line)
        elif name == b"FTS":
            envelope.has_file_trailer, envelope.stated_batches = True, _stated(line)


def _stated(trailer: bytes) -> int | None:
    """The count in the first field of a trailer segment."""
    line = trailer.decode("latin-1")
    first = line[4:].split(line[3:4], 1)[0].strip() if len(line) > 4 else ""
    return int(first) if _COUNT.fullmatch(first) else None


# -- messages ---------------------------------------------------------------------------------------------


class Separators(NamedTuple):
    """The characters a message is written with. ``truncation`` (2.7) marks text that was cut; empty before 2.7."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""


class Message:
    """A message: its segments, each a list of raw fields by their HL7 numbers, and what its header says.

    ``fields(name)`` gives the fields of the first such segment; texts are raw until ``parts`` or ``unescaped``.
    """

    __slots__ = (
        "charset",
        "control_id",
        "segments",
        "sent",
        "separators",
        "structure",
        "trigger",
        "type",
        "version",
    )

    def __init__(self, separators: Separators, charset: str, segments: list[list[str]]) -> None:
        self.separators, self.charset, self.segments = separators, charset, segments
        header = segments[0]
        kind = self.components(_at(header, 9))
        self.type, self.trigger = _at(kind, 0), _at(kind, 1)
        self.structure = _at(kind, 2)
        self.control_id = self.unescaped(_at(header, 10))
        self.version = self.components(_at(header, 12))[0].strip()
        self.sent = _at(header, 7)
        """MSH-7, raw."""
        if not self.trigger and self.type == "ADT":
            self.trigger = self.unescaped(_at(self.fields("EVN"), 1))

    @property
    def sender(self) -> str:
        """Sending application and facility (MSH-3, MSH-4), as written: within them a control id is unique."""
        header = self.segments[0]
        return f"{_at(header, 3)}|{_at(header, 4)}"

    def fields(self, name: str) -> list[str]:
        """Fields of the first segment of that name; an empty list where there is none."""
        for segment in self.segments:
            if segment[0] == name:
                return segment
        return []

    def all(self, name: str) -> list[list[str]]:
        """Every segment of that name."""
        return [segment for segment in self.segments if segment[0] == name]

    def repetitions(self, raw: str) -> list[str]:
        """The repetitions of a field, raw; empty ones left out."""
        if not raw:
            return []
        mark = self.separators.repetition
        return [part for part in raw.split(mark) if part] if mark and mark in raw else [raw]

    def components(self, raw: str) -> list[str]:
        """The components of one repetition, still escaped; of each the first subcomponent."""
        mark, sub = self.separators.component, self.separators.subcomponent
        parts = raw.split(mark)
        if sub and sub in raw:
            parts = [part.split(sub, 1)[0] for part in parts]
        return parts

    def subcomponents(self, raw: str, component: int) -> list[str]:
        """The subcomponents of a component (from 0) of one repetition, still escaped."""
        parts = raw.split(self.separators.component)
        sub = self.separators.subcomponent
        text = _at(parts, component)
        return text.split(sub) if sub else [text]

    def unescaped(self, text: str) -> str:
        """``text`` with its escape sequences resolved; formatting is dropped, line breaks become LF."""
        mark = self.separators.escape
        if not mark or mark not in text:
            return text
        return _unescaped(text, self.separators, self.charset)


def at(fields: list[str], number: int) -> str:
    """Field ``number`` of a segment, or a component (from 0); empty where there is none."""
    return fields[number] if number < len(fields) else ""


_at = at


def parse(body: bytes | None, default_charset: str = "ascii", *, ended: bool = True) -> Message:
    """The message in ``body``. default_charset: codec (or HL7 name) where MSH-18 is empty. Raises Rejected.

    ended: see Piece. Rules: message_too_long, truncated_message, no_header, bad_separators, unsupported_charset,
    invalid_charset, nul_character, bad_segment, missing_field, unsupported_version.
    """
    if body is None:
        raise Rejected("message_too_long", f"longer than {LONGEST_MESSAGE_BYTES} bytes")
    if not ended:
        raise Rejected("truncated_message", "the end of the message is not there")
    if not body.startswith(b"MSH") or len(body) < 8:
        raise Rejected("no_header", "does not begin with an MSH segment")
    separators = separators_of(body)
    charset = charset_of(body, separators, default_charset)
    try:
        text = body.decode(charset)
    except UnicodeDecodeError as error:
        raise Rejected("invalid_charset", f"not {charset} (byte {error.start})") from None
    if "\0" in text:
        raise Rejected("nul_character", "the message holds the character NUL")
    lines = text.split("\r") if "\n" not in text else _ends(separators.field).split(text)
    segments = [line.split(separators.field) for line in lines if line]
    _check_segments(segments)
    header = segments[0]
    header.insert(1, separators.field)
    message = Message(separators, charset, segments)
    if not message.type or not message.control_id:
        raise Rejected("missing_field", f"MSH-{'9' if not message.type else '10'} is empty")
    if not _VERSION.fullmatch(message.version):
        raise Rejected("unsupported_version", "MSH-12 is no version 2.x")
    return message


def separators_of(body: bytes) -> Separators:
    """The separators that a header segment declares in its first two fields. Raises Rejected."""
    head = body[3:10].decode("latin-1")
    mark = head[:1]
    declared, closed, _ = head[1:].partition(mark or "|")
    marks = (mark, *declared)
    if not closed or not 1 <= len(declared) <= 5 or len(set(marks)) != len(marks):
        raise Rejected("bad_separators", "MSH-1 and MSH-2 do not name two to six different characters")
    if any(one.isalnum() or not " " < one <= "~" for one in marks):
        raise Rejected("bad_separators", "a separator is a letter, a digit, a space or no ASCII character")
    return Separators(*marks, *("",) * (6 - len(marks)))


def charset_of(body: bytes, separators: Separators, default: str) -> str:
    """The codec of a message by its first MSH-18. Raises Rejected for one that is not read here."""
    mark = separators.field.encode()
    header = re.split(rb"[\r\n]", body, maxsplit=1)[0].split(mark, 18)
    declared = header[17].split(mark)[0].decode("latin-1") if len(header) > 17 else ""
    if separators.repetition:
        declared = declared.split(separators.repetition, 1)[0]
    return _codec(declared or default)


@lru_cache(64)
def _ends(mark: str) -> re.Pattern[str]:
    """Where segments end: at CR, CRLF, and at an LF before another segment; any other LF belongs to a text."""
    return re.compile(rf"\r\n?|\n(?=[A-Z][A-Z0-9]{{2}}{re.escape(mark)}|\Z)")


@lru_cache(256)
def _codec(name: str) -> str:
    codec = _CHARSETS.get(re.sub(r"[^A-Z0-9]", "", name.upper()))
    if codec is None:
        raise Rejected("unsupported_charset", "MSH-18 names a character set that is not read here")
    return codec


def _check_segments(segments: list[list[str]]) -> None:
    """Raises Rejected for a line that is no segment, and for a second header: two messages run into one."""
    for number, segment in enumerate(segments, 1):
        name = segment[0]
        if len(name) != 3 or not _SEGMENT.fullmatch(name):
            raise Rejected("bad_segment", f"segment {number} does not begin with a segment's name")
        if name == "MSH" and number > 1:
            raise Rejected("truncated_message", f"another message begins at segment {number}")


def _unescaped(text: str, separators: Separators, charset: str) -> str:
    mark = separators.escape
    meanings = {
        "F": separators.field,
        "S": separators.component,
        "R": separators.repetition,
        "E": mark,
        "T": separators.subcomponent,
        "P": separators.truncation or "#",
        ".br": "\n",
    }
    parts = text.split(mark)
    out, position = [parts[0]], 1
    while position < len(parts):
        if position + 1 == len(parts):
            out.append(mark + parts[position])
            break
        out.append(_meaning(parts[position], meanings, mark, charset))
        out.append(parts[position + 1])
        position += 2
    return "".join(out)


def _meaning(sequence: str, meanings: dict[str, str], mark: str, charset: str) -> str:
    """What stands for one escape sequence; one that is not HL7's, or spells no text, stays as it is."""
    if sequence in meanings:
        return meanings[sequence]
    if match := _HEX.fullmatch(sequence):
        try:
            return bytes.fromhex(match[1]).decode(charset)
        except UnicodeDecodeError:
            return f"{mark}{sequence}{mark}"
    return "" if _FORMATTING.fullmatch(sequence) else f"{mark}{sequence}{mark}"
