"""Bytes of an MLLP connection into blocks, whatever way they arrive.

A block begins at VT and ends at FS; the CR behind it belongs to it but is not waited for. Neither byte may occur in a
message, so a VT within a block means that the one before it was never finished. Source: HL7 v2.8 appendix C.4 (MLLP).
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

VT, FS, CR = b"\x0b", b"\x1c", b"\r"
HEAD_BYTES = 64 * 1024
"""So much is kept of a block that is too long, and of what stands outside of blocks."""
_BETWEEN = b"\r\n\x1c"


class Found(Enum):
    """A whole block; a block that began and never ended; bytes outside of any block; a block too long to hold."""

    BLOCK = "block"
    CUT = "cut"
    STRAY = "stray"
    TOO_LONG = "too_long"


class Part(NamedTuple):
    """``body`` is without VT, FS and CR; of one that is too long, its first bytes."""

    found: Found
    body: bytes


def framed(body: bytes) -> bytes:
    """A message as a block."""
    return VT + body + FS + CR


class Deframer:
    """The blocks of one connection; ``feed`` gives those that are complete. Holds at most ``longest`` bytes."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._held = bytearray()
        self._in_block = self._is_too_long = False

    @property
    def is_within_block(self) -> bool:
        """Whether a block has begun and not ended."""
        return self._in_block

    def feed(self, data: bytes) -> list[Part]:
        parts: list[Part] = []
        start = 0
        while start < len(data):
            start = self._within(data, start, parts) if self._in_block else self._outside(data, start, parts)
        return parts

    def _within(self, data: bytes, start: int, parts: list[Part]) -> int:
        stop = data.find(FS, start)
        again = data.find(VT, start, stop if stop >= 0 else len(data))
        if again >= 0:
            self._hold(data[start:again])
            if body := self._taken()[0].strip(_BETWEEN):
                parts.append(Part(Found.CUT, body))
            return again + 1
        self._hold(data[start : stop if stop >= 0 else len(data)])
        if stop < 0:
            return len(data)
        body, is_too_long = self._taken()
        parts.append(Part(Found.TOO_LONG if is_too_long else Found.BLOCK, body))
        self._in_block = False
        return stop + 1

    def _outside(self, data: bytes, start: int, parts: list[Part]) -> int:
        begins = data.find(VT, start)
        self._hold(data[start : begins if begins >= 0 else len(data)])
        if begins < 0:
            if len(self._held) > HEAD_BYTES:
                self._stray(parts)
            return len(data)
        self._stray(parts)
        self._in_block = True
        return begins + 1

    def closed(self) -> list[Part]:
        """What is left when the connection ends: bytes outside of blocks; a block that was cut is sent again."""
        parts: list[Part] = []
        if not self._in_block:
            self._stray(parts)
        return parts

    def _stray(self, parts: list[Part]) -> None:
        body = self._taken()[0].strip(_BETWEEN).replace(FS, b"")
        if body:
            parts.append(Part(Found.STRAY, body[:HEAD_BYTES]))

    def _hold(self, piece: bytes) -> None:
        if self._is_too_long:
            return
        self._held += piece
        if len(self._held) > self._longest:
            self._is_too_long = True
            del self._held[HEAD_BYTES:]

    def _taken(self) -> tuple[bytes, bool]:
        body, is_too_long = bytes(self._held), self._is_too_long
        self._held.clear()
        self._is_too_long = False
        return body, is_too_long
