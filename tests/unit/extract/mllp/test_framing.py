"""Bytes into blocks and blocks into answers."""

from __future__ import annotations

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mllp_client import message

from jobs.extract.mllp.acks import Verdict, answer, header_of
from jobs.extract.mllp.framing import HEAD_BYTES, Deframer, Found, Part, framed

BODIES = st.binary(max_size=30).map(lambda b: b.replace(b"\x0b", b"").replace(b"\x1c", b""))


@given(st.lists(BODIES, max_size=6), st.lists(st.integers(1, 40), min_size=1))
def test_blocks_are_the_same_however_the_bytes_arrive(bodies: list[bytes], sizes: list[int]) -> None:
    data, deframer, found = b"".join(map(framed, bodies)), Deframer(1000), []
    position = turn = 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        found += deframer.feed(data[position : position + size])
        position, turn = position + size, turn + 1
    assert found + deframer.closed() == [Part(Found.BLOCK, body) for body in bodies]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\x0bone\x1c\x0btwo\x1c\r", [(Found.BLOCK, b"one"), (Found.BLOCK, b"two")]),
        (b"\x0bone\x1c\r\r\n\x0btwo\x1c\r", [(Found.BLOCK, b"one"), (Found.BLOCK, b"two")]),
        (b"hello\x0bone\x1c\r", [(Found.STRAY, b"hello"), (Found.BLOCK, b"one")]),
        (b"\x0bone\x0btwo\x1c\r", [(Found.CUT, b"one"), (Found.BLOCK, b"two")]),
        (b"\x0bone\x1c\rbye", [(Found.BLOCK, b"one"), (Found.STRAY, b"bye")]),
        (b"\x0bone", []),
        (b"\x0b\x1c\r", [(Found.BLOCK, b"")]),
    ],
)
def test_what_is_no_clean_block(data: bytes, found: list[tuple[Found, bytes]]) -> None:
    whole, single = Deframer(100), Deframer(100)
    assert whole.feed(data) + whole.closed() == found
    assert [
        part for n in range(len(data)) for part in single.feed(data[n : n + 1])
    ] + single.closed() == found


def test_a_block_too_long_is_passed_over_without_being_held() -> None:
    deframer = Deframer(2 * HEAD_BYTES)
    found = deframer.feed(b"\x0b" + b"x" * (3 * HEAD_BYTES)) + deframer.feed(b"y" * HEAD_BYTES)
    assert len(deframer._held) == HEAD_BYTES
    found += deframer.feed(b"\x1c\r" + framed(b"next"))
    assert found == [Part(Found.TOO_LONG, b"x" * HEAD_BYTES), Part(Found.BLOCK, b"next")]


@pytest.mark.parametrize(
    ("accept", "application", "verdict", "code"),
    [
        ("", "", Verdict.ACCEPTED, "AA"),
        ("", "", Verdict.ERROR, "AE"),
        ("", "", Verdict.REJECTED, "AR"),
        ("AL", "NE", Verdict.ACCEPTED, "CA"),
        ("AL", "AL", Verdict.ERROR, "CE"),
        ("ER", "NE", Verdict.ACCEPTED, None),
        ("ER", "NE", Verdict.REJECTED, "CR"),
        ("SU", "NE", Verdict.ACCEPTED, "CA"),
        ("SU", "NE", Verdict.ERROR, None),
        ("NE", "AL", Verdict.ACCEPTED, "AA"),
        ("NE", "NE", Verdict.ACCEPTED, None),
    ],
)
def test_the_mode_of_acknowledgement(
    accept: str, application: str, verdict: Verdict, code: str | None
) -> None:
    told = answer(header_of(message("M1", tail=f"|||{accept}|{application}")), verdict)
    assert (told and told.split(b"\r")[1].decode()) == (code and f"MSA|{code}|M1")


def test_an_answer_has_the_senders_separators_and_addresses() -> None:
    told = answer(header_of(message("M@1", marks="#!%$*")), Verdict.ACCEPTED)
    assert told is not None
    parsed = hl7.parse(told.decode())
    assert told.startswith(b"MSH#!%$*#LAKE#CITY#ADT#NORTH#")
    assert str(parsed.segment("MSA")[2]) == "M@1"
    assert str(parsed.segment("MSH")[9]) == "ACK!A01!ACK"


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"MSH", b"MSH|^~\\&|", message(""), message("1").replace(b"2.5", b"3")]
)
def test_what_is_no_message_is_told_so_all_the_same(body: bytes) -> None:
    header = header_of(body)
    assert not header.is_message
    told = answer(header, Verdict.REJECTED, "no HL7 v2 message")
    assert told is not None
    assert b"\rMSA|AR|" in told
