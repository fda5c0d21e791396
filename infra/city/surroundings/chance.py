"""Chance without memory: the same number for the same seed, name and place in time, however it is asked for.

``names`` tell draws apart; ``keys`` are whole numbers (hours, days, stations), broadcast against each other.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np

from infra.city.ids import hashed, mix


@lru_cache(maxsize=256)
def _salt(name: str) -> int:
    return zlib.crc32(name.encode()) << 8


def draws(seed: int, name: str, *keys: np.ndarray | int) -> np.ndarray:
    """uint64 hashes, of the shape the keys broadcast to."""
    first, *others = (np.asarray(k, dtype=np.int64).astype(np.uint64) for k in keys)
    h = hashed(seed, _salt(name), first)
    for key in others:
        h = mix(h ^ key)
    return h


def uniform(seed: int, name: str, *keys: np.ndarray | int) -> np.ndarray:
    """Numbers in [0, 1)."""
    return _fraction(draws(seed, name, *keys))


def normal(seed: int, name: str, *keys: np.ndarray | int) -> np.ndarray:
    """Standard normal numbers (Box and Muller 1958)."""
    h = draws(seed, name, *keys)
    radius = np.sqrt(-2.0 * np.log(1.0 - _fraction(h)))
    return np.asarray(radius * np.cos(2 * np.pi * _fraction(mix(h))))


def _fraction(h: np.ndarray) -> np.ndarray:
    return np.asarray((h >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def smooth(seed: int, name: str, hours: np.ndarray, scale: int, *keys: np.ndarray | int) -> np.ndarray:
    """A wandering standard normal: independent knots every ``scale`` hours, blended between them, variance kept at
    1."""
    knot, rest = np.divmod(hours, scale)
    t = rest / scale
    late = t * t * (3 - 2 * t)
    before, after = normal(seed, name, knot, *keys), normal(seed, name, knot + 1, *keys)
    return np.asarray((before * (1 - late) + after * late) / np.sqrt((1 - late) ** 2 + late**2))


def poisson(seed: int, name: str, mean: np.ndarray, *keys: np.ndarray | int) -> np.ndarray:
    """Counts with that (small) mean, at most 7: by inversion."""
    u = uniform(seed, name, *keys)
    term = np.exp(-mean) * np.ones_like(u)
    below, count = term.copy(), np.zeros(u.shape, dtype=np.int64)
    for n in range(1, 8):
        count += u >= below
        term = term * mean / n
        below = below + term
    return count
