"""Who lives with whom, and who could be taken for somebody else: traps for whoever links records.

Four consecutive numbers are a block; FAMILY_SHARE of blocks are families of one name under one address. All of it is a
function of seed and number, so nothing is stored. People whose identifiers are planted to be searched for (canaries)
share an address, and nothing else.

| trap | how often |
|---|---|
| family: one family name and address until somebody moves | 45% of blocks |
| families that share a phone | half of them |
| twins: one birth date (numbers 2 and 3 of the block) | 4% of families |
| a child with its parent's sex and given name (numbers 2 and 0) | 4% of families |
| a stranger of the same sex, name and birth date | 1 of 1,500 people outside families |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.city.ids import hashed

BLOCK = 4
FAMILY_SHARE = 0.45
SHARED_PHONES = 2
TWINS_EVERY = 25
NAMESAKES_EVERY = 25
STRANGERS_EVERY = 1_500
_STRANGER_DISTANCE = 2 * BLOCK
LEAST_PARENT_YEARS = 42
CHILD_YEARS = 27


@dataclass(frozen=True)
class Kin:
    """For each of some people, the number whose family name, address, phone and given name is theirs; and whether
    the person is a twin (of the number before), a namesake child (of the number two before), or a stranger of the same
    name and birth date (of the number ``_STRANGER_DISTANCE`` before)."""

    family_of: np.ndarray
    address_of: np.ndarray
    phone_of: np.ndarray
    given_of: np.ndarray
    is_twin: np.ndarray
    is_namesake: np.ndarray
    is_stranger: np.ndarray


def kin(seed: int, numbers: np.ndarray, canaries: np.ndarray) -> Kin:
    """The kin of people by number."""
    numbers = numbers.astype(np.int64)
    head, place = numbers - numbers % BLOCK, numbers % BLOCK
    lives_alone = np.isin(numbers, canaries) | np.isin(head, canaries)
    drawn = hashed(seed, 50, head)
    is_family = _is_family(seed, head) & ~lives_alone
    shares_phone = is_family & ((drawn >> np.uint64(16)) % np.uint64(SHARED_PHONES) == 0)
    before_is_canary = np.isin(head + 2, canaries)
    is_twin = (
        is_family
        & ~before_is_canary
        & (place == 3)
        & ((drawn >> np.uint64(24)) % np.uint64(TWINS_EVERY) == 0)
    )
    is_namesake = is_family & (place == 2) & ((drawn >> np.uint64(40)) % np.uint64(NAMESAKES_EVERY) == 1)
    other = numbers - _STRANGER_DISTANCE
    is_stranger = (
        (hashed(seed, 51, numbers) % np.uint64(STRANGERS_EVERY) == 0)
        & (other >= 0)
        & ~np.isin(numbers, canaries)
        & ~np.isin(other, canaries)
        & ~is_family
    )
    family_of = np.where(is_family, head, numbers)
    given_of = np.where(is_namesake, head, numbers)
    if is_stranger.any():
        model = kin(seed, other[is_stranger], canaries)
        family_of[is_stranger], given_of[is_stranger] = model.family_of, model.given_of
    return Kin(
        family_of=family_of,
        address_of=addresses_of(seed, numbers),
        phone_of=np.where(shares_phone, head, numbers),
        given_of=given_of,
        is_twin=is_twin,
        is_namesake=is_namesake,
        is_stranger=is_stranger,
    )


def addresses_of(seed: int, numbers: np.ndarray) -> np.ndarray:
    """For each of some people, the number at whose address they live until they move."""
    numbers = numbers.astype(np.int64)
    head = numbers - numbers % BLOCK
    return np.where(_is_family(seed, head), head, numbers)


def _is_family(seed: int, head: np.ndarray) -> np.ndarray:
    """Whether the blocks that begin with these numbers are families."""
    share: np.ndarray = (hashed(seed, 50, head) % np.uint64(1000)).astype(np.int64) < FAMILY_SHARE * 1000
    return share


def settle(age: np.ndarray, sex: np.ndarray, seed: int, canaries: np.ndarray) -> None:
    """Make the first people's ages (years) and sexes those of their kin, in place."""
    who = kin(seed, np.arange(len(age)), canaries)
    children = np.flatnonzero(who.is_namesake)
    age[children - 2] = np.maximum(age[children - 2], LEAST_PARENT_YEARS)
    age[children], sex[children] = age[children - 2] - CHILD_YEARS, sex[children - 2]
    twins = np.flatnonzero(who.is_twin)
    age[twins] = age[twins - 1]
    for number in np.flatnonzero(who.is_stranger).tolist():
        age[number], sex[number] = age[number - _STRANGER_DISTANCE], sex[number - _STRANGER_DISTANCE]
