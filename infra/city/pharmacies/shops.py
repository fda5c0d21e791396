"""The six pharmacies, and under which number each knows its customers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from infra.city.ids import hashed

CHAIN, CORNER = "pharmacy_chain", "pharmacy_corner"


class Shop(NamedTuple):
    """keeper: whose articles, prices and customer numbers it uses: 0 the chain, 1 linden, 2 anker."""

    name: str
    endpoint: str
    keeper: int


SHOPS = (
    Shop("marktplatz", CHAIN, 0),
    Shop("bahnhof", CHAIN, 0),
    Shop("hafen", CHAIN, 0),
    Shop("klinik", CHAIN, 0),
    Shop("linden", CORNER, 1),
    Shop("anker", CORNER, 2),
)
NIGHT_SHOP, LINDEN, ANKER = 3, 4, 5
SHARES = (0.22, 0.2, 0.14, 0.14, 0.16, 0.14)
KEEPER = np.array([shop.keeper for shop in SHOPS])
TWO_CARDS_SHARE = 0.03
_PREFIXES = ("CK", "LI", "AN")


def usual_shop(seed: int, person: np.ndarray) -> np.ndarray:
    """Where each person mostly goes."""
    place = hashed(seed, 50, person) % np.uint64(10_000)
    return np.searchsorted(np.cumsum(SHARES) * 10_000, place.astype(np.int64), side="right").clip(
        0, len(SHOPS) - 1
    )


def card_of(seed: int, person: np.ndarray, keeper: np.ndarray, at_ms: np.ndarray) -> np.ndarray:
    """0 or 1: a few people have two customer numbers with one keeper, and show either."""
    has_two = hashed(seed, 53, person * 3 + keeper) % np.uint64(10_000) < np.uint64(TWO_CARDS_SHARE * 10_000)
    return np.where(has_two, at_ms // 1000 % 2, 0)


def customer_numbers(seed: int, person: np.ndarray, keeper: np.ndarray, card: np.ndarray) -> list[str]:
    """``CK-04711234``: unique to person and card within a keeper; not the hospital's id."""
    scrambled = ((person * 2 + card) * 48_271 + seed % 1000 + keeper * 7_919) % 100_000_000
    return [f"{_PREFIXES[k]}-{n:08d}" for k, n in zip(keeper.tolist(), scrambled.tolist(), strict=True)]


def prescription_numbers(seed: int, request: np.ndarray) -> list[str]:
    """Number printed on a prescription: of the MedicationRequest's ordinal, in all hospitals."""
    check = hashed(seed, 51, request) % np.uint64(10_000)
    return [f"160.{n:09d}.{c:04d}" for n, c in zip(request.tolist(), check.tolist(), strict=True)]


def knows_national_id(seed: int, person: np.ndarray, keeper: np.ndarray) -> np.ndarray:
    """Whether the customer's national id is on file: seven in ten are."""
    return hashed(seed, 52, person * 3 + keeper) % np.uint64(10) < np.uint64(7)
