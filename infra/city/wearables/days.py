"""On which days devices are worn, and when they sync: mostly in the next morning, sometimes days later."""

from __future__ import annotations

import numpy as np

from infra.city.lived import Lived
from infra.city.population import DAY_MS
from infra.city.wearables.health import trait
from infra.city.wearables.members import HOUR_MS


class Days:
    """The person-days of the stretch: ``row`` of ``person``, ``day`` (index into ``days``), and when each syncs (ms).
    Nobody syncs before joining or after death."""

    def __init__(
        self, lived: Lived, rng: np.random.Generator, person: np.ndarray, first: int, joined: np.ndarray
    ) -> None:
        days = np.arange(first, lived.today)
        is_in = (days + 1) * DAY_MS > joined[person][:, None]
        is_in &= (days + 1) * DAY_MS <= lived.people.dead_ms[person][:, None]
        wears = 0.97 - 0.12 * (trait(lived.seed, 83, person) > 1)
        is_in &= rng.random(is_in.shape) < wears[:, None]
        self.row, self.day = np.nonzero(is_in)
        self.person, self.date = person[self.row], days[self.day]
        count = len(self.row)
        delay = np.where(rng.random(count) < 0.86, 0, rng.geometric(0.45, count))
        delay = np.where(rng.random(count) < 0.02, rng.integers(5, 12, count), delay)
        self.sync = (self.date + 1 + np.minimum(delay, 12)) * DAY_MS + rng.integers(
            5 * 60_000, 9 * HOUR_MS, count
        )
