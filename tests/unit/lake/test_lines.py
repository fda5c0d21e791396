from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.lake.lines import split


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b"a", [(1, b"a")]),
        (b"a\n", [(1, b"a")]),
        (b"\xef\xbb\xbfa\r\nb", [(1, b"a"), (2, b"b")]),
        (b"a\n\n\r\nb\n", [(1, b"a"), (4, b"b")]),
        (b"a\rb\n", [(1, b"a\rb")]),
    ],
    ids=["empty", "no final newline", "newline", "BOM and CRLF", "blank lines count", "a bare CR stays"],
)
def test_lines(stream: bytes, expected: list[tuple[int, bytes]]) -> None:
    assert list(split([stream])) == expected


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_where_frames_end_makes_no_difference(stream: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(stream), *(c for c in cuts if c < len(stream))})
    frames = [stream[a:b] for a, b in itertools.pairwise(places)]
    assert list(split(frames)) == list(split([stream]))


def test_a_line_beyond_the_limit_is_passed_over_in_bounded_memory() -> None:
    frames = [b"ok\n", b"x" * 60, b"x" * 60, b"\nnext"]
    assert list(split(frames, longest=100)) == [(1, b"ok"), (2, None), (3, b"next")]
