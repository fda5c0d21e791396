"""Ids and hashes: one number in, the same id out, in every run and on every machine.

A record's *ordinal* counts the records of its type in the city; its id at a hospital is a bijection of the
ordinal in that hospital's style, so ids never collide and need not be stored."""

from __future__ import annotations

import numpy as np

from infra.city.habits import Habits
from infra.city.vocabulary import TYPES

_LETTER = {t: chr(ord("A") + i) for i, t in enumerate(TYPES)}
_TYPE_CODE = {t: i for i, t in enumerate(TYPES)}


def mix(x: np.ndarray) -> np.ndarray:
    """splitmix64 finaliser (Steele, Lea, Flood 2014), a bijection on uint64, element by element."""
    x = x.astype(np.uint64, copy=True)
    with np.errstate(over="ignore"):
        x += np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hashed(seed: int, salt: int, numbers: np.ndarray) -> np.ndarray:
    """uint64 hash of each number, for attributes that belong to a person for ever (name, phone, address)."""
    base = mix(np.array([(seed << 8) ^ salt], dtype=np.uint64))[0]
    return mix(numbers.astype(np.uint64) ^ base)


def record_ids(habits: Habits, type_: str, ordinals: np.ndarray, seed: int) -> list[str]:
    """The ids of records of one type at one hospital, in the hospital's style."""
    numbers = ordinals.astype(np.uint64)
    if habits.name == "harbour":
        scrambled = (numbers * np.uint64(387_420_489) + np.uint64(seed % 1000)) % np.uint64(1_000_000_000)
        letter = _LETTER[type_]
        return [f"{letter}{n:09d}" for n in scrambled.tolist()]
    code = _TYPE_CODE[type_]
    salt = np.uint64((habits.code << 4 | code & 15) << 48) ^ np.uint64((seed & 0xFFFF) << 32)
    salt ^= np.uint64(code >> 4 << 60)
    high = mix(numbers ^ salt)
    if habits.name == "university":
        return [f"uh-{n:016x}" for n in high.tolist()]
    low = mix(high)
    return [
        f"{a >> 32:08x}-{(a >> 16) & 0xFFFF:04x}-4{a & 0xFFF:03x}-a{b >> 52:03x}-{b & 0xFFFFFFFFFFFF:012x}"
        for a, b in zip(high.tolist(), low.tolist(), strict=True)
    ]
