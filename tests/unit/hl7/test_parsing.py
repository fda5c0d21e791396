"""Landed bytes to messages: separators, escapes, character sets, ends, batches; python-hl7 is the oracle where it is
right."""

from __future__ import annotations

import hl7
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.lake.formats.hl7v2 import Pieces, Rejected, Separators, parse
from tests.unit.hl7.messages import HEADER, PERSON, STAY, message

MARKS = st.lists(st.sampled_from("|^~\\&!$%*+@;:#"), min_size=5, max_size=5, unique=True)
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)


def escaped(text: str, s: Separators) -> str:
    names = {s.field: "F", s.component: "S", s.repetition: "R", s.escape: "E", s.subcomponent: "T"}
    return "".join(f"{s.escape}{names[one]}{s.escape}" if one in names else one for one in text)


@given(MARKS, st.lists(st.lists(TEXTS, min_size=1, max_size=3), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_any_text_survives_any_separators(marks: list[str], repetitions: list[list[str]]) -> None:
    field, component, repetition, escape, subcomponent = marks
    s = Separators(field, component, repetition, escape, subcomponent)
    written = repetition.join(component.join(escaped(t, s) for t in parts) for parts in repetitions)
    head = f"MSH{field}{''.join(marks[1:])}" + field * 7 + f"ADT{component}A01{field}1{field}P{field}2.5"
    body = f"{head}\rZZZ{field}1{field}{written}{field}end\r".encode()

    found = parse(body)
    raw = found.fields("ZZZ")[2]
    parts = [[found.unescaped(c) for c in found.components(r)] for r in raw.split(repetition)]
    assert parts == repetitions

    oracle = hl7.parse(body.decode())
    if any(any(parts) for parts in repetitions):
        assert str(oracle.segment("ZZZ")[2]) == raw


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"a\F\b\S\c\R\d\T\e\E\f", "a|b^c~d&e\\f"),
        (r"caf\XC3A9\ ", "café "),
        (r"one\.br\two\.sp2\three", "one\ntwothree"),
        (r"\H\loud\N\ ", "loud "),
        (r"no end\here", r"no end\here"),
        (r"\Zown\ \X4\ ", r"\Zown\ \X4\ "),
        (r"\XFF\ ", r"\XFF\ "),
        (r"\C2842\x\M2442\y", "xy"),
        (r"cut\P\ ", "cut# "),
    ],
)
def test_escape_sequences(written: str, meant: str) -> None:
    found = parse(message(f"NTE|1||{written}", header=HEADER + "||||||UNICODE UTF-8"))
    assert found.unescaped(found.fields("NTE")[3]) == meant


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("", "ascii"),
        ("ASCII", "ascii"),
        ("8859/1", "iso8859-1"),
        ("8859/2", "iso8859-2"),
        ("8859/15", "iso8859-15"),
        ("ISO IR100", "iso8859-1"),
        ("ISO IR192", "utf-8"),
        ("UNICODE UTF-8", "utf-8"),
        ("utf-8", "utf-8"),
        ("WINDOWS-1252", "cp1252"),
        ("8859/1~ISO IR87", "iso8859-1"),
        ("GB 18030-2000", "gb18030"),
        ("BIG-5", "big5"),
    ],
)
def test_character_sets(declared: str, codec: str) -> None:
    text = "Müller" if codec not in ("ascii", "gb18030", "big5") else "許功蓋" if codec == "big5" else "Mu"
    body = message(f"PID|1||1||{text}", header=HEADER + f"||||||{declared}").decode().encode(codec)
    assert parse(body).fields("PID")[5] == text


def test_the_endpoints_character_set_holds_where_a_message_names_none() -> None:
    assert (
        parse(message("NTE|Ren\u00e9").decode().encode("cp1252"), "WINDOWS-1252").fields("NTE")[1] == "René"
    )


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_segment_ends(end: str) -> None:
    body = end.join([HEADER, PERSON, STAY, "ZX1|own"]).encode()
    assert [s[0] for s in parse(body).segments] == ["MSH", "PID", "PV1", "ZX1"]
    assert [s[0] for s in parse(body + end.encode()).segments] == ["MSH", "PID", "PV1", "ZX1"]


def test_a_line_feed_inside_a_text_is_no_segments_end() -> None:
    found = parse(message("NTE|1||two\nlines", STAY))
    assert found.fields("NTE")[3] == "two\nlines"
    assert [s[0] for s in found.segments] == ["MSH", "NTE", "PV1"]


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (None, "message_too_long"),
        (b"", "no_header"),
        (b"hello", "no_header"),
        (b"PID|1||2\r", "no_header"),
        (b"MSH|^~\\&", "bad_separators"),
        (b"MSH|^~^&|a|b\r", "bad_separators"),
        (b"MSHA^~\\&A\r", "bad_separators"),
        (b"MSH|^~\\&#!|\r", "bad_separators"),
        (message("PID|1\xff".encode("latin-1").decode("latin-1")), "invalid_charset"),
        (message("PID|1", header=HEADER + "||||||UNICODE UTF-16"), "unsupported_charset"),
        (message("PID|a\0b"), "nul_character"),
        (message("no segment"), "bad_segment"),
        (message("PID|1", HEADER, "PID|2"), "truncated_message"),
        (message(header=r"MSH|^~\&|A|B|C|D|2026||ADT^A01|M"), "unsupported_version"),
        (message(header=r"MSH|^~\&|A|B|C|D|2026||ADT^A01|M|P|3.0"), "unsupported_version"),
        (message(header=r"MSH|^~\&|A|B|C|D|2026||ADT^A01||P|2.5"), "missing_field"),
        (message(header=r"MSH|^~\&|A|B|C|D|2026"), "missing_field"),
    ],
)
def test_what_is_no_message_is_rejected_without_its_values(body: bytes | None, rule: str) -> None:
    with pytest.raises(Rejected) as rejected:
        parse(body)
    assert rejected.value.args[0] == rule
    assert "\xff" not in rejected.value.args[1]


def test_all_standard_headers_and_fewer_separators_are_read() -> None:
    assert parse(message(header=r"MSH|^~\&#|A|B|C|D|2026||ADT^A01|M|P|2.7")).separators.truncation == "#"
    short = parse(message("PID|1||2^3&4", header="MSH|^~|A|B|C|D|2026||ADT^A01|M|P|2.3"))
    assert short.components(short.fields("PID")[3]) == ["2", "3&4"]


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[n : n + size] for n in range(0, len(data), size)]


ONE, TWO = message(PERSON, STAY), message(PERSON, header=HEADER.replace("M1", "M2"))
FILE = b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + ONE + TWO + b"BTS|2\rBHS|^~\\&|A\r" + TWO + b"BTS|1|fine\rFTS|2\r"


@pytest.mark.parametrize("size", [1, 3, 7, 64, 10_000])
@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_a_batch_file_is_split_and_counted(size: int, end: bytes) -> None:
    pieces = Pieces(cut(FILE.replace(b"\r", end), size))
    found = list(pieces)
    assert [piece.number for piece in found] == [1, 2, 3]
    assert [parse(p.body, ended=p.ended).control_id for p in found] == ["M1", "M2", "M2"]
    assert pieces.envelope.kind == "batch"
    assert (pieces.envelope.found, pieces.envelope.stated) == (3, 3)
    assert pieces.envelope.troubles() == []


@pytest.mark.parametrize(
    ("data", "trouble"),
    [
        (FILE.replace(b"BTS|2", b"BTS|3"), "batch 1 states 3 messages and holds 2"),
        (FILE.replace(b"FTS|2", b"FTS|1"), "the file states 1 batches and holds 2"),
        (FILE.replace(b"FTS|2\r", b""), "the file has no trailer (FTS): it may have been cut off"),
        (FILE.partition(b"BTS|1")[0], "batch 2 has no trailer (BTS): it may have been cut off"),
    ],
)
def test_an_envelope_that_does_not_agree_says_so(data: bytes, trouble: str) -> None:
    pieces = Pieces([data])
    assert len(list(pieces)) == 3
    assert trouble in pieces.envelope.troubles()


def test_a_message_that_a_cut_batch_ends_in_is_rejected_alone() -> None:
    data = FILE.partition(b"BTS|1")[0][:-20]
    *whole, last = Pieces([data])
    assert len(whole) == 2
    with pytest.raises(Rejected, match="truncated_message"):
        parse(last.body, ended=last.ended)


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_framed_messages(size: int) -> None:
    data = b"".join(b"\x0b" + body + b"\x1c\r" for body in (ONE, b"garbage", TWO))
    pieces = Pieces(cut(data, size))
    assert [piece.body for piece in pieces] == [ONE, b"garbage", TWO]
    assert pieces.envelope.found == 3


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_of_blocks_only_what_was_received_to_its_end_is_whole(size: int) -> None:
    data = (
        b"stray\r\x0b" + ONE[:40] + b"\x0b" + ONE + b"\x1c\r" + TWO + b"\x0b" + TWO + b"\x1c\r\x0b" + TWO[:60]
    )
    found = [(piece.body, piece.ended) for piece in Pieces(cut(b"\x0b\x1c\r" + data, size))]
    assert found == [
        (b"", True),
        (b"\rstray\r", False),
        (ONE[:40], False),
        (ONE, True),
        (b"\r" + TWO, False),
        (TWO, True),
        (TWO[:60], False),
    ]


@pytest.mark.parametrize("segment", [b"FHS|^~\\&", b"BHS|^~\\&", b"BTS|1", b"FTS|1"])
def test_what_stands_behind_a_segment_of_the_envelope_is_no_message_and_is_told(segment: bytes) -> None:
    damaged = ONE.replace(b"MSH", b"MSG", 1)
    pieces = Pieces([b"BHS|^~\\&\r" + ONE + segment + b"\r" + damaged])
    assert [piece.body for piece in pieces] == [ONE, damaged]
    assert pieces.envelope.found == 2


def test_a_file_that_breaks_off_within_a_segment_ends_in_no_message() -> None:
    *whole, last = Pieces([ONE + TWO.rstrip(b"\r")])
    assert [piece.ended for piece in whole] == [True]
    assert not last.ended


def test_a_message_that_is_too_long_is_passed_over_in_bounded_memory() -> None:
    long = message("OBX|1|TX|1||" + "x" * 5000)
    for data in (ONE + long + TWO, b"".join(b"\x0b" + b + b"\x1c\r" for b in (ONE, long, TWO))):
        found = list(Pieces(cut(data, 512), longest=1024))
        assert [piece.body for piece in found] == [ONE, None, TWO]


def test_nothing_before_the_first_header_is_lost() -> None:
    assert [p.body for p in Pieces([b"stray\r" + ONE])] == [b"stray\r", ONE]
    assert list(Pieces([])) == []
