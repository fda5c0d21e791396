"""What a hospital has of a person's identity: seldom all of it, and not always right.

The true identity is that of ``population.identities``. The hospital a person calls home has it nearly as it is; the
others have what was written down at the desk, from an old card, in another spelling. Drawn from seed, number, hospital
and registration alone, so that a person's record says the same in every export.

| variant | share of registrations away from home (HOME_SCALE of it at home) |
|---|---|
| a slip in the given or in the family name (letters swapped, dropped, doubled, wrong) | 2% each |
| given and family name the wrong way round | 0.6% |
| the given name is only an initial | 0.5% |
| a nickname | 4% of those whose name has one |
| another family name (married since, or the name before) | 3% of women above 20, 0.3% of others |
| birth date: day and month swapped | 0.6% where it is a date |
| birth date: a day, a month or a year off | 0.6% |
| birth date: only a year, only a month | 1.5% each, home too |
| no national id | north 8%, harbour 40%, university 15%, home too |
| a wrong digit in the national id | 1% |
| the national id of a parent or partner | 0.1% of people in families |
| address and phone of before the last move | 12% |
| the phone of before | 5% more |
| no e-mail | 50%, at home 20% |
| registered a second time at the same hospital, under another record number | 0.6% |

By house: north writes second given names out, university their initial, harbour none; harbour writes ASCII (``ö`` as
``oe``, ``é`` as ``e``). Canaries' records at home are complete and right, so that all of theirs is served.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.city.habits import HARBOUR, NORTH, UNIVERSITY, Habits
from infra.city.ids import hashed
from infra.city.kin import kin
from infra.city.population import DAY_MS, HOSPITAL_COUNT, NEVER, Identity, People, contacts, family_names
from infra.city.population import national_ids as true_national_ids
from infra.city.vocabulary import GIVEN_FEMALE, GIVEN_MALE

HOME_SCALE = 0.3
SLIP, SWAPPED, INITIAL, NICKNAME = 0.02, 0.006, 0.005, 0.04
OTHER_FAMILY_NAME, OTHER_FAMILY_NAME_SELDOM = 0.03, 0.003
DAY_FOR_MONTH, DATE_OFF = 0.006, 0.006
NO_NATIONAL_ID = {NORTH.name: 0.08, HARBOUR.name: 0.40, UNIVERSITY.name: 0.15}
WRONG_DIGIT, KIN_NATIONAL_ID = 0.01, 0.001
MOVED_SINCE, OLD_PHONE = 0.12, 0.05
NO_EMAIL, NO_EMAIL_AT_HOME = 0.5, 0.2
REGISTERED_TWICE = 0.006
SECOND_GIVEN = 0.4
AGAIN = 100_000_000
"""Added to a person's number in the ordinal of a second registration."""
_OTHER_NAMES = 500_000_000
_BEFORE_FIRST_MOVE = 63
_LETTERS = "abcdefghiklmnoprstuvwz"
_ASCII = str.maketrans(
    {
        "ö": "oe",
        "ä": "ae",
        "ü": "ue",
        "ø": "oe",
        "å": "aa",
        "é": "e",
        "è": "e",
        "ë": "e",
        "í": "i",
        "á": "a",
        "ó": "o",
    }
)
NICKNAMES = {
    "Beatriz": "Bea",
    "Elena": "Lena",
    "Esther": "Essie",
    "Greta": "Gretchen",
    "Hanna": "Hannchen",
    "Ingrid": "Inga",
    "Jasmin": "Jassi",
    "Joan": "Joanie",
    "Leila": "Lei",
    "Mabel": "May",
    "Milena": "Mila",
    "Naomi": "Nomi",
    "Paloma": "Loma",
    "Saskia": "Kia",
    "Teresa": "Tess",
    "Valérie": "Val",
    "Wanda": "Wandi",
    "Ximena": "Mena",
    "Adrian": "Adi",
    "Bastian": "Basti",
    "Dmitri": "Mitya",
    "Edgar": "Ed",
    "Esteban": "Teban",
    "Gareth": "Gaz",
    "Jakob": "Jake",
    "Jonas": "Joni",
    "José": "Pepe",
    "Leander": "Andy",
    "Magnus": "Mags",
    "Mateo": "Teo",
    "Noah": "Noe",
    "Pavel": "Pasha",
    "Rafael": "Rafa",
    "Tobias": "Tobi",
    "Ulrich": "Uli",
    "Viktor": "Vik",
    "Walter": "Walt",
    "Xavier": "Xavi",
    "Zoltán": "Zoli",
}


@dataclass(frozen=True)
class Registered:
    """What one hospital has of some people. identity: empty texts for what it does not have. second_given: as it is
    written, empty where not. birth: ISO 8601, to the day, the month or the year."""

    identity: Identity
    second_given: list[str]
    birth: list[str]


@dataclass(frozen=True)
class Persons:
    """What is true of some people, one element each; ``numbers`` name them."""

    numbers: np.ndarray
    sex: np.ndarray
    birth_day: np.ndarray
    moves: np.ndarray
    home: np.ndarray
    is_adult: np.ndarray
    canaries: np.ndarray

    @classmethod
    def of(cls, people: People, numbers: np.ndarray, canaries: np.ndarray, first_day: int) -> Persons:
        return cls(
            numbers=numbers,
            sex=people.sex[numbers],
            birth_day=people.birth_day[numbers],
            moves=people.moves[numbers],
            home=people.home[numbers],
            is_adult=first_day - people.birth_day[numbers] > 20 * 365,
            canaries=canaries,
        )


def registered(
    habits: Habits, seed: int, persons: Persons, identity: Identity, *, again: bool = False
) -> Registered:
    """What a hospital has of ``persons``, whose true ``identity`` is given; ``again`` of their second registration."""
    return _Desk(habits, seed, persons, identity, again=again).registered()


def registered_again(
    habits: Habits, seed: int, people: People, before_ms: int, now_ms: int
) -> tuple[np.ndarray, np.ndarray]:
    """Who was registered a second time in [before_ms, now_ms), and when (ms)."""
    first = people.registered_ms[:, habits.code]
    drawn = hashed(seed, 70 + habits.code, np.arange(len(people)))
    delay = (drawn >> np.uint64(32)) % np.uint64(200) + np.uint64(10)
    at = np.where(first < NEVER, first + delay.astype(np.int64) * DAY_MS, NEVER)
    is_twice = (drawn % np.uint64(10_000)).astype(np.int64) < REGISTERED_TWICE * 10_000
    rows = np.flatnonzero(is_twice & (at >= before_ms) & (at < now_ms) & (people.dead_ms > at))
    return rows, at[rows]


def ordinals_again(habits: Habits, person: np.ndarray) -> np.ndarray:
    """Ordinals of the Patient records of second registrations."""
    return (person + AGAIN) * HOSPITAL_COUNT + habits.code


class _Desk:
    """One hospital writing down who people are."""

    def __init__(
        self, habits: Habits, seed: int, persons: Persons, identity: Identity, *, again: bool
    ) -> None:
        self.habits, self.seed, self.persons, self.again = habits, seed, persons, again
        self.given, self.family = list(identity.given), list(identity.family)
        self.phone, self.email = list(identity.phone), list(identity.email)
        self.street, self.postal_code = list(identity.street), list(identity.postal_code)
        self.national_id = list(identity.national_id)
        self.is_home = (persons.home == habits.code) & (not again)
        self.is_canary = np.isin(persons.numbers, persons.canaries)
        self.spared = self.is_home & self.is_canary

    def registered(self) -> Registered:
        second = self._second_given()
        self._names()
        self._national_ids()
        self._contacts()
        identity = Identity(
            self.given, self.family, self.phone, self.email, self.street, self.postal_code, self.national_id
        )
        return Registered(identity, second, self._births())

    def _drawn(self, what: int) -> np.ndarray:
        numbers = self.persons.numbers.astype(np.uint64) * np.uint64(8)
        return hashed(self.seed, 80 + what, numbers + np.uint64(self.habits.code * 2 + self.again))

    def _rows(self, what: int, share: float | np.ndarray, at_home: float | None = None) -> list[int]:
        """Whom ``what`` befalls; ``at_home``: its share among those at home, by default HOME_SCALE of it."""
        drawn = (self._drawn(what) >> np.uint64(11)).astype(np.float64) / 2**53
        home = share * HOME_SCALE if at_home is None else at_home
        found: list[int] = np.flatnonzero(
            (drawn < np.where(self.is_home, home, share)) & ~self.spared
        ).tolist()
        return found

    def _second_given(self) -> list[str]:
        numbers, sex = self.persons.numbers, self.persons.sex.tolist()
        if self.habits.name == HARBOUR.name:
            return [""] * len(numbers)
        pools = (GIVEN_FEMALE, GIVEN_MALE)
        length = 1 if self.habits.name == UNIVERSITY.name else None
        return [
            pools[s][(h >> 20) % len(pools[s])][:length] if h % 1000 < SECOND_GIVEN * 1000 else ""
            for h, s in zip(hashed(self.seed, 61, numbers).tolist(), sex, strict=True)
        ]

    def _names(self) -> None:
        persons = self.persons
        married = np.where((persons.sex == 0) & persons.is_adult, OTHER_FAMILY_NAME, OTHER_FAMILY_NAME_SELDOM)
        rows = self._rows(0, married)
        names = family_names(self.seed, persons.numbers[rows] + _OTHER_NAMES, self.is_canary[rows])
        for row, name in zip(rows, names, strict=True):
            self.family[row] = name
        for row in self._rows(1, NICKNAME):
            self.given[row] = NICKNAMES.get(self.given[row], self.given[row])
        slips = self._drawn(2).tolist()
        for row in self._rows(3, SLIP):
            self.given[row] = slip(self.given[row], slips[row])
        for row in self._rows(4, SLIP):
            self.family[row] = slip(self.family[row], slips[row] >> 7)
        for row in self._rows(5, INITIAL):
            self.given[row] = self.given[row][0]
        for row in self._rows(6, SWAPPED):
            self.given[row], self.family[row] = self.family[row], self.given[row]
        if self.habits.name == HARBOUR.name:
            self.given = [name.translate(_ASCII) for name in self.given]

    def _national_ids(self) -> None:
        relative = kin(self.seed, self.persons.numbers, self.persons.canaries).family_of
        others = np.array(self._rows(10, KIN_NATIONAL_ID), dtype=np.int64)
        others = others[relative[others] != self.persons.numbers[others]]
        for row, number in zip(others.tolist(), true_national_ids(self.seed, relative[others]), strict=True):
            self.national_id[row] = number
        drawn = self._drawn(11).tolist()
        for row in self._rows(12, WRONG_DIGIT):
            self.national_id[row] = _wrong_digit(self.national_id[row], drawn[row])
        missing = NO_NATIONAL_ID[self.habits.name]
        for row in self._rows(13, missing, at_home=missing):
            self.national_id[row] = ""

    def _contacts(self) -> None:
        persons = self.persons
        moved = self._rows(14, MOVED_SINCE)
        phones = sorted({*moved, *self._rows(15, OLD_PHONE)})
        before = np.where(persons.moves > 0, persons.moves - 1, _BEFORE_FIRST_MOVE)
        old = contacts(self.seed, persons.numbers[phones], before[phones], persons.canaries, alone=True)
        at = {row: place for place, row in enumerate(phones)}
        for row in phones:
            self.phone[row] = old.phone[at[row]]
        for row in moved:
            self.street[row], self.postal_code[row] = old.street[at[row]], old.postal_code[at[row]]
        for row in self._rows(16, NO_EMAIL, at_home=NO_EMAIL_AT_HOME):
            self.email[row] = ""

    def _births(self) -> list[str]:
        days = self.persons.birth_day.copy()
        drawn = self._drawn(20).tolist()
        for row in self._rows(21, DATE_OFF):
            days[row] += (1, -1, 10, -10, 365, -365)[drawn[row] % 6]
        births: list[str] = np.datetime_as_string(days.astype("datetime64[D]")).tolist()
        for row in self._rows(22, DAY_FOR_MONTH):
            year, month, day = births[row].split("-")
            if int(day) <= 12:
                births[row] = f"{year}-{day}-{month}"
        quirks = self._drawn(23).tolist()
        return [birth[: {0: 4, 1: 7}.get(h % 67, 10)] for birth, h in zip(births, quirks, strict=True)]


def slip(name: str, drawn: int) -> str:
    """``name`` with one slip of the pen, not in its first letter."""
    if len(name) < 3:
        return name
    at = 1 + (drawn >> 8) % (len(name) - 2)
    kind = drawn % 4
    if kind == 0:
        return name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    if kind == 1:
        return name[:at] + name[at + 1 :]
    if kind == 2:
        return name[:at] + name[at] + name[at:]
    return name[:at] + _LETTERS[(drawn >> 16) % len(_LETTERS)] + name[at + 1 :]


def _wrong_digit(number: str, drawn: int) -> str:
    at = drawn % 10
    digit = (int(number[at]) + 1 + (drawn >> 8) % 9) % 10
    return f"{number[:at]}{digit}{number[at + 1 :]}"
