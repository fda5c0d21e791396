"""What the lines of health of a stretch are made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.city.lived import Lived
from infra.city.wearables.days import Days
from infra.city.wearables.health import Course


@dataclass(frozen=True)
class Stretch:
    """A stretch as devices see it: the days on which they are worn, and how their wearers fare. ids: each person's
    participant id. rng: the feeds draw from it one after another."""

    lived: Lived
    rng: np.random.Generator
    days: Days
    how: Course
    ids: np.ndarray
