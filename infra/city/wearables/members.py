"""Who takes part in the platform, under which id, and what each has consented to.

About a quarter of the adults join: most before the clock starts, some in the year after. ``care``, ``research`` and
``planning`` are asked for one by one. Some never say yes to ``care``; a few withdraw it every week; some come back."""

from __future__ import annotations

import numpy as np

from infra.city.ids import hashed, mix
from infra.city.lived import Lived
from infra.city.population import DAY_MS, NEVER
from infra.city.simulation import Columns

SOURCE = "wearables_city"
PURPOSES = ("care", "research", "planning")
CARE = 0
GIVEN_SHARES = np.array([0.94, 0.6, 0.7])
WITHDRAWN_PER_WEEK, LEAST_WITHDRAWN_PER_WEEK, GIVEN_AGAIN_PER_WEEK = 0.008, 1.5, 0.05
HISTORY_DAYS = 90
HOUR_MS = 3_600_000


def joined_ms(lived: Lived) -> np.ndarray:
    """When each person of the city joins, NEVER for who does not. A newcomer's time counts from the arrival."""
    people, seed = lived.people, lived.seed
    numbers = np.arange(len(people))
    start = lived.options.now_day
    draw = hashed(seed, 80, numbers)
    place = (hashed(seed, 81, numbers) % np.uint64(1000)).astype(np.int64)
    arrived = np.maximum(people.registered_ms.min(axis=1) // DAY_MS, lived.options.first_day)
    is_early = draw % np.uint64(100) < np.uint64(85)
    day = np.where(is_early, start - HISTORY_DAYS - 1 - place % 600, start + place % 365)
    day = np.maximum(day, arrived + place % 60)
    is_adult = day - people.birth_day >= 18 * 365.25
    is_member = ((draw >> np.uint64(32)) % np.uint64(4) == 0) & is_adult & (people.dead_ms > day * DAY_MS)
    return np.where(is_member, day * DAY_MS + (8 + place % 12) * HOUR_MS, NEVER)


def participant_ids(seed: int, person: np.ndarray) -> np.ndarray:
    """``p-9f2c…``: a number of the platform's own."""
    marks = mix(person.astype(np.uint64) ^ np.uint64((seed & 0xFFFF) << 40 | 0x57EA << 16))
    return np.array([f"p-{m:016x}" for m in marks.tolist()], dtype=object)


class Consents:
    """What everybody has consented to, at the end of a stretch, and each change in it.

    given_ms, withdrawn_ms, updated_ms: people x purposes, NEVER where it has not happened; a purpose that was given
    again has no withdrawal. events: person, purpose, at, is_given of all changes, those of earlier segments included;
    the first ``old`` of them are earlier."""

    def __init__(self, lived: Lived, joined: np.ndarray) -> None:
        carried = lived.carried("consents")
        shape = (len(joined), len(PURPOSES))
        self.given_ms, self.withdrawn_ms, self.updated_ms = (np.full(shape, NEVER) for _ in range(3))
        self.events: Columns = {
            n: np.zeros(0, dtype=np.int64) for n in ("person", "purpose", "at", "is_given")
        }
        if carried:
            before = len(carried["given_ms"])
            self.given_ms[:before] = carried["given_ms"]
            self.withdrawn_ms[:before] = carried["withdrawn_ms"]
            self.updated_ms[:before] = carried["updated_ms"]
            self.events = {name: carried[name] for name in self.events}
        self.old = len(self.events["at"])
        self._parts: list[Columns] = [self.events]
        self._join(lived, joined)
        for day in range(lived.first_day(HISTORY_DAYS), lived.today):
            self._live(lived, joined, day)
        self.events = {name: np.concatenate([p[name] for p in self._parts]) for name in self.events}
        kept = {"given_ms": self.given_ms, "withdrawn_ms": self.withdrawn_ms, "updated_ms": self.updated_ms}
        lived.carry("consents", {**kept, **self.events})

    def _join(self, lived: Lived, joined: np.ndarray) -> None:
        """What those who join are asked. Every second refusal leaves no line at all."""
        earliest = 0 if lived.is_history else lived.before_ms
        person = np.flatnonzero((joined >= earliest) & (joined < lived.now_ms))
        for purpose, share in enumerate(GIVEN_SHARES):
            answer = hashed(lived.seed, 82, person * len(PURPOSES) + purpose)
            says_yes = answer % np.uint64(1000) < np.uint64(int(share * 1000))
            is_told = says_yes | ((answer >> np.uint64(32)) % np.uint64(2) == 0)
            self.given_ms[person[says_yes], purpose] = joined[person[says_yes]]
            self.updated_ms[person[is_told], purpose] = joined[person[is_told]]
            self._parts.append(_events(person, purpose, joined[person], says_yes))

    def _live(self, lived: Lived, joined: np.ndarray, day: int) -> None:
        """Withdrawals and renewals of one day."""
        rng = np.random.default_rng([lived.seed, 31, day])
        is_in = (joined < day * DAY_MS) & (lived.people.dead_ms > day * DAY_MS)
        rate = max(WITHDRAWN_PER_WEEK, LEAST_WITHDRAWN_PER_WEEK / max(1, int(is_in.sum()))) / 7
        for purpose in range(len(PURPOSES)):
            given, withdrawn = self.given_ms[:, purpose], self.withdrawn_ms[:, purpose]
            draw = rng.random(len(joined))
            leaves = is_in & (given < NEVER) & (withdrawn == NEVER) & (draw < rate)
            returns = is_in & (withdrawn < (day - 3) * DAY_MS) & (draw < GIVEN_AGAIN_PER_WEEK / 7)
            at = day * DAY_MS + rng.integers(7 * HOUR_MS, 22 * HOUR_MS, len(joined))
            withdrawn[leaves] = at[leaves]
            given[returns], withdrawn[returns] = at[returns], NEVER
            changed = np.flatnonzero(leaves | returns)
            self.updated_ms[changed, purpose] = at[changed]
            self._parts.append(_events(changed, purpose, at[changed], returns[changed]))

    def lacking(self, person: np.ndarray, at: np.ndarray) -> np.ndarray:
        """For each person and instant: 0 with consent to care, 1 withdrawn, 2 never given."""
        e = {name: values[self.events["purpose"] == CARE] for name, values in self.events.items()}
        order = np.lexsort((e["at"], e["person"]))
        who, when, given = e["person"][order], e["at"][order], e["is_given"][order]
        # One ascending key of both; instants fit into 2^44 ms.
        keys, asked = (who << 44) + when, (person << 44) + at
        last = np.searchsorted(keys, asked, side="right") - 1
        has_event = (last >= 0) & (who[last] == person)
        is_given = has_event & (given[last] == 1)
        first = np.searchsorted(who, person)
        was_given = np.zeros(len(person), dtype=bool)
        if len(who):
            ever = np.concatenate([[0], np.cumsum(given)])
            was_given = ever[np.maximum(last + 1, first)] > ever[np.minimum(first, len(who))]
        return np.where(is_given, 0, np.where(was_given, 1, 2))


def _events(person: np.ndarray, purpose: int, at: np.ndarray, is_given: np.ndarray) -> Columns:
    return {
        "person": person.astype(np.int64),
        "purpose": np.full(len(person), purpose),
        "at": at.astype(np.int64),
        "is_given": is_given.astype(np.int64),
    }
