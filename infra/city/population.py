"""The people of the city: who they are, how they fare, and where they are known. Arrays, one element per
person.

What never changes about a person (name, phone, national id) is a hash of seed and number and is not stored;
what the calendar changes (illnesses, stays, death, moves) is in ``People`` and is saved with the city."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from infra.city import constitution
from infra.city.constitution import prevalence_of
from infra.city.habits import HOSPITALS
from infra.city.ids import hashed
from infra.city.kin import addresses_of, kin, settle
from infra.city.undiagnosed import HIDDEN, PLACES, WEIGHT_LOST, no_evidence
from infra.city.vocabulary import (
    CHRONIC,
    CHRONIC_KEYS,
    DISTRICTS,
    FAMILY_HEADS,
    FAMILY_TAILS,
    GIVEN_FEMALE,
    GIVEN_MALE,
    STREET_KINDS,
    STREETS,
)

DAY_MS = 86_400_000
NEVER = np.int64(1) << np.int64(62)
HOSPITAL_COUNT = len(HOSPITALS)
_HYPERTENSION, _DIABETES, _KIDNEY, _CANCER = (
    CHRONIC_KEYS.index(key) for key in ("hypertension", "diabetes", "kidney", "cancer")
)
HYPERTENSION_MMHG = 12.0
"""How much higher the usual pressure is with hypertension on record."""


@dataclass
class People:
    """State of everyone. Times are milliseconds since 1970 UTC, NEVER where it has not happened.

    birth_day: days since 1970. sex: 0 female, 1 male. onset_ms: people x lasting conditions. known: people x
    hospitals. registered_ms, patient_version: of each hospital's Patient record (people x hospitals).
    recorded: people x hospitals x lasting conditions already on that hospital's problem list. busy_until: end
    of the present stay. quiet_until: no unplanned admission before (see simulation).
    readmission_ms/_hospital: drawn and still to come. notice_ms: when each hospital learns of the death.
    haemoglobin … weight: the person's usual values, glucose and systolic those without diabetes and hypertension;
    diabetic_glucose: what diabetes adds. phenotype, smoking: see ``constitution``. symptoms_ms: people x HIDDEN, when
    symptoms began of what onset_ms says when it is diagnosed; evidence: see ``undiagnosed``. readmission_risk: true
    risk at the last discharge, 0 where it was no index stay. cardiovascular_ms: first admission with heart attack or
    stroke."""

    birth_day: np.ndarray
    sex: np.ndarray
    phenotype: np.ndarray
    smoking: np.ndarray
    frailty: np.ndarray
    home: np.ndarray
    known: np.ndarray
    onset_ms: np.ndarray
    symptoms_ms: np.ndarray
    evidence: np.ndarray
    registered_ms: np.ndarray
    updated_ms: np.ndarray
    patient_version: np.ndarray
    notice_ms: np.ndarray
    recorded: np.ndarray
    moves: np.ndarray
    busy_until: np.ndarray
    quiet_until: np.ndarray
    discharged_ms: np.ndarray
    readmission_ms: np.ndarray
    readmission_hospital: np.ndarray
    readmission_risk: np.ndarray
    cardiovascular_ms: np.ndarray
    dead_ms: np.ndarray
    haemoglobin: np.ndarray
    sodium: np.ndarray
    creatinine: np.ndarray
    glucose: np.ndarray
    diabetic_glucose: np.ndarray
    systolic: np.ndarray
    cholesterol: np.ndarray
    hdl: np.ndarray
    height: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.birth_day)

    def arrays(self) -> dict[str, np.ndarray]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def joined(self, newcomers: People) -> People:
        """Everyone here, then the newcomers."""
        return People(
            **{name: np.concatenate([a, getattr(newcomers, name)]) for name, a in self.arrays().items()}
        )

    def those(self, who: np.ndarray | slice) -> People:
        """Some of the people, in that order."""
        return People(**{name: array[who] for name, array in self.arrays().items()})

    def age_years(self, day: int) -> np.ndarray:
        return (day - self.birth_day) / 365.25

    def has(self, at_ms: int) -> np.ndarray:
        """people x lasting conditions: present at that moment."""
        return self.onset_ms <= at_ms

    def usual_glucose(self, who: np.ndarray, at_ms: np.ndarray | int) -> np.ndarray:
        """mg/dL of some people at some moments: diabetes raises it from its onset on."""
        is_diabetic = self.onset_ms[who, _DIABETES] <= at_ms
        return np.asarray(self.glucose[who] + is_diabetic * self.diabetic_glucose[who])

    def usual_weight(self, who: np.ndarray, at_ms: np.ndarray) -> np.ndarray:
        """kg of some people at some moments: it falls from the first symptom of a hidden disease to its diagnosis, and
        stays there."""
        began, found = self.symptoms_ms[who], self.onset_ms[who][:, PLACES]
        progress = np.clip((at_ms[:, None] - began) / np.maximum(found - began, 1), 0, 1).max(axis=1)
        return np.asarray(self.weight[who] * (1 - WEIGHT_LOST * progress))

    def has_symptoms(self, at_ms: int, who: np.ndarray | slice = slice(None)) -> np.ndarray:
        """people x HIDDEN: in the stretch between first symptom and diagnosis."""
        return (self.symptoms_ms[who] <= at_ms) & (self.onset_ms[who][:, PLACES] > at_ms)

    def usual_systolic(self, who: np.ndarray, at_ms: np.ndarray | int) -> np.ndarray:
        """mmHg of some people at some moments: hypertension goes with HYPERTENSION_MMHG more from its onset on."""
        return np.asarray(
            self.systolic[who] + HYPERTENSION_MMHG * (self.onset_ms[who, _HYPERTENSION] <= at_ms)
        )


def make_people(
    count: int,
    rng: np.random.Generator,
    day: int,
    *,
    seed: int = 0,
    first: int = 0,
    newcomers: bool = False,
) -> People:
    """``count`` people, numbered from ``first``, as of ``day``; newcomers register on that day, the others did so in
    the three years before, and are of the age and sex of their kin (see ``kin``)."""
    age = np.where(rng.random(count) < 0.2, rng.uniform(0, 20, count), rng.triangular(18, 55, 97, count))
    sex = (rng.random(count) < 0.49).astype(np.int8)
    if not newcomers:
        settle(age, sex, seed, canary_numbers(seed, count) if count else np.zeros(0, dtype=np.int64))
    district, _ = postal_hashes(seed, first + np.arange(count), np.zeros(count, dtype=np.int64))
    made = constitution.draw(age, sex, district, rng)
    onset = _onsets(age, made.phenotype, rng, day)
    home = rng.choice(HOSPITAL_COUNT, count, p=[0.4, 0.3, 0.3]).astype(np.int8)
    known = np.zeros((count, HOSPITAL_COUNT), dtype=bool)
    known[np.arange(count), home] = True
    second = rng.random(count) < 0.14
    other = (home + rng.integers(1, HOSPITAL_COUNT, count)) % HOSPITAL_COUNT
    known[np.flatnonzero(second), other[second]] = True
    known[rng.random(count) < 0.02] = True
    since = np.zeros(count) if newcomers else rng.uniform(0, 1095, count)
    registered = (
        day * DAY_MS + rng.integers(8 * 3_600_000, 18 * 3_600_000, count) - since.astype(np.int64) * DAY_MS
    )
    if not newcomers:
        registered -= DAY_MS
    registered_ms = np.where(known, registered[:, None] + np.arange(HOSPITAL_COUNT) * 7_200_000, NEVER)
    kidney, cancer = (onset[:, i] <= day * DAY_MS for i in (_KIDNEY, _CANCER))
    never = np.full(count, NEVER, dtype=np.int64)
    height = np.where(sex == 1, rng.normal(177, 7, count), rng.normal(164, 6.5, count)) * np.minimum(
        1, 0.35 + age / 26
    )
    return People(
        birth_day=(day - age * 365.25).astype(np.int64),
        sex=sex,
        phenotype=made.phenotype,
        smoking=made.smoking,
        frailty=made.frailty,
        home=home,
        known=known,
        onset_ms=onset,
        symptoms_ms=np.full((count, len(HIDDEN)), NEVER, dtype=np.int64),
        evidence=no_evidence(count),
        registered_ms=registered_ms,
        updated_ms=registered_ms.copy(),
        patient_version=known.astype(np.int32),
        notice_ms=np.full((count, HOSPITAL_COUNT), NEVER, dtype=np.int64),
        recorded=np.zeros((count, HOSPITAL_COUNT, len(CHRONIC)), dtype=bool),
        moves=np.zeros(count, dtype=np.int32),
        busy_until=np.zeros(count, dtype=np.int64),
        quiet_until=np.zeros(count, dtype=np.int64),
        discharged_ms=np.zeros(count, dtype=np.int64),
        readmission_ms=never.copy(),
        readmission_hospital=np.full(count, -1, dtype=np.int8),
        readmission_risk=np.zeros(count),
        cardiovascular_ms=never.copy(),
        dead_ms=never.copy(),
        haemoglobin=rng.normal(13.2, 1.0, count)
        + 0.9 * sex
        - 1.4 * kidney
        - 1.5 * cancer
        - 0.01 * np.maximum(age - 60, 0),
        sodium=rng.normal(140, 1.8, count),
        creatinine=np.exp(rng.normal(-0.2, 0.18, count) + 0.12 * sex + 0.6 * kidney),
        glucose=made.glucose,
        diabetic_glucose=rng.gamma(4, 18, count),
        systolic=made.systolic,
        cholesterol=made.cholesterol,
        hdl=made.hdl,
        height=height,
        weight=np.maximum(3.2, (height / 100) ** 2 * made.bmi * np.minimum(1, 0.55 + age / 45)),
    )


def _onsets(age: np.ndarray, phenotype: np.ndarray, rng: np.random.Generator, day: int) -> np.ndarray:
    """When each lasting condition began (people x conditions, ms), NEVER where the person does not have
    it."""
    onset = np.full((len(age), len(CHRONIC)), NEVER, dtype=np.int64)
    for i, chronic in enumerate(CHRONIC):
        has = rng.random(len(age)) < prevalence_of(chronic, age, phenotype)
        years = rng.uniform(0.2, 1.0, len(age)) * np.minimum(age - 17, 15)
        onset[has, i] = (day - (years[has] * 365.25).astype(np.int64)) * DAY_MS
    return onset


@dataclass(frozen=True)
class Identity:
    """Direct identifiers of some people, as lists of text in the order asked for."""

    given: list[str]
    family: list[str]
    phone: list[str]
    email: list[str]
    street: list[str]
    postal_code: list[str]
    national_id: list[str]

    def full_names(self) -> list[str]:
        return [f"{g} {f}" for g, f in zip(self.given, self.family, strict=True)]


def canary_numbers(seed: int, population: int) -> np.ndarray:
    """Numbers of the people whose identifiers are planted to be searched for (up to 30, spread over the
    city)."""
    wanted = min(30, population)
    return np.unique((np.arange(wanted) * max(1, population // wanted)) + seed % max(1, population // wanted))


def family_names(seed: int, numbers: np.ndarray, is_canary: np.ndarray) -> list[str]:
    """Family names by number; a canary's is found nowhere else in the world."""
    letters, vowels = "bcdfghklmnprstvz", "aeio"
    names = []
    for h, canary in zip(hashed(seed, 1, numbers).tolist(), is_canary.tolist(), strict=True):
        name = FAMILY_HEADS[h % len(FAMILY_HEADS)] + FAMILY_TAILS[(h >> 16) % len(FAMILY_TAILS)]
        if canary:
            name += "zq" + "".join(
                letters[(h >> n) & 15] + vowels[(h >> (n + 2)) & 3] for n in (20, 28, 36, 44)
            )
        names.append(name)
    return names


def identities(
    seed: int, numbers: np.ndarray, sex: np.ndarray, moves: np.ndarray, canaries: np.ndarray
) -> Identity:
    """Names, phones and addresses of people; ``moves`` counts changes of address and phone."""
    of = kin(seed, numbers, canaries)
    pools = (GIVEN_FEMALE, GIVEN_MALE)
    given_hash = hashed(seed, 2, of.given_of).tolist()
    given = [pools[s][h % len(pools[s])] for s, h in zip(sex.tolist(), given_hash, strict=True)]
    for place in np.flatnonzero(of.is_twin).tolist():
        pool, h = pools[sex[place]], given_hash[place]
        if given[place] == pool[_first_twin(seed, numbers[place], pool)]:
            given[place] = pool[(h + 1) % len(pool)]
    family = family_names(seed, of.family_of, np.isin(numbers, canaries))
    contact = contacts(seed, numbers, moves, canaries)
    return Identity(
        given=given,
        family=family,
        phone=contact.phone,
        email=[f"{f.lower()}.{n}@mail.city.example" for f, n in zip(family, numbers.tolist(), strict=True)],
        street=contact.street,
        postal_code=contact.postal_code,
        national_id=national_ids(seed, numbers),
    )


def _first_twin(seed: int, number: int, pool: tuple[str, ...]) -> int:
    """Place in ``pool`` of the given name of the twin before ``number``."""
    return int(hashed(seed, 2, np.array([number - 1]))[0]) % len(pool)


def national_ids(seed: int, numbers: np.ndarray) -> list[str]:
    """National ids of people: ten digits and the remainder of their number by 97."""
    return [f"{h % 10**10:010d}-{h % 10**10 % 97:02d}" for h in hashed(seed, 4, numbers).tolist()]


@dataclass(frozen=True)
class Contacts:
    """Where people can be reached, as lists of text in the order asked for."""

    phone: list[str]
    street: list[str]
    postal_code: list[str]


def contacts(
    seed: int, numbers: np.ndarray, moves: np.ndarray, canaries: np.ndarray, *, alone: bool = False
) -> Contacts:
    """Phones and addresses after so many ``moves``. Who has not moved lives with the family, unless ``alone``."""
    of = kin(seed, numbers, canaries)
    stays = (moves == 0) & (not alone)
    at_home, by_phone = (np.where(stays, shared, numbers) for shared in (of.address_of, of.phone_of))
    address, phone = (_contact_hashes(seed, number, moves).tolist() for number in (at_home, by_phone))
    return Contacts(
        phone=[f"+1-{200 + c % 700}-555-{(c >> 12) % 10_000:04d}-{(c >> 30) % 1000:03d}" for c in phone],
        street=[_street(c) for c in address],
        postal_code=[
            f"{DISTRICTS[(c >> 5) % len(DISTRICTS)]} {(c >> 34) % 90 + 10}{'ABCDEFGH'[c & 7]}"
            for c in address
        ],
    )


def _contact_hashes(seed: int, numbers: np.ndarray, moves: np.ndarray) -> np.ndarray:
    return hashed(seed, 3, numbers.astype(np.uint64) * np.uint64(64) + moves.astype(np.uint64))


def postal_hashes(seed: int, numbers: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of people's postal codes after so many moves: index into DISTRICTS, and the two digits after the space."""
    c = _contact_hashes(seed, np.where(moves == 0, addresses_of(seed, numbers), numbers), moves)
    district = (c >> np.uint64(5)) % np.uint64(len(DISTRICTS))
    digits = (c >> np.uint64(34)) % np.uint64(90) + np.uint64(10)
    return district.astype(np.int64), digits.astype(np.int64)


def _street(h: int) -> str:
    """An address line from a hash."""
    name, kind = STREETS[(h >> 40) % len(STREETS)], STREET_KINDS[(h >> 50) % len(STREET_KINDS)]
    return f"{1 + (h >> 20) % 9_899} {name} {kind}, Flat {1 + (h >> 8) % 480}"
