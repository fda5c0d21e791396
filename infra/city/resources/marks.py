"""One number's hash, without arrays: the same as ``ids.hashed``."""

from __future__ import annotations

from functools import cache

_MASK = (1 << 64) - 1


def mark(seed: int, salt: int, number: int) -> int:
    """64 bits that belong to a number for ever."""
    return _mixed(number ^ _base(seed, salt))


@cache
def _base(seed: int, salt: int) -> int:
    return _mixed((seed << 8) ^ salt)


def _mixed(x: int) -> int:
    """splitmix64's finaliser."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)
