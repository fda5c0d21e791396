"""Gzip undone by what the bytes say, not by what a header says of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from jobs.extract.waiting import Transient

_PLAIN_PIECE = 1 << 20
_GZIP = b"\x1f\x8b"


def ungzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """``pieces`` with gzip undone where they begin with its magic number, all members of it.

    By content, not by header, since ``.ndjson.gz`` comes both ways; NDJSON cannot begin so. Raises Transient
    when the stream is cut off or damaged.
    """
    stream = iter(pieces)
    head = b""
    for piece in stream:
        head += piece
        if len(head) >= len(_GZIP):
            break
    if not head.startswith(_GZIP):
        if head:
            yield head
        yield from stream
        return
    yield from _gunzip(_chain(head, stream))


def _gunzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    decoder = None
    for piece in pieces:
        rest, is_pending = piece, False
        while rest or is_pending:
            decoder = decoder or zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                plain = decoder.decompress(rest, _PLAIN_PIECE)
            except zlib.error:
                raise Transient("the file's gzip stream is damaged") from None
            if plain:
                yield plain
            rest, is_pending = decoder.unconsumed_tail, len(plain) == _PLAIN_PIECE
            if decoder.eof:
                rest, is_pending, decoder = decoder.unused_data, False, None
    if decoder is not None:
        raise Transient("the file's gzip stream is cut off")


def _chain(head: bytes, stream: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from stream
