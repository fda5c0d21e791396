"""Cases of a made-up question, with every kind of feature."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.monitoring.profile import Profile, counted, from_json, profile, to_json
from ml.question import Feature

FEATURES = (
    *(Feature(f"level_{i}", "number", f"level {i}", "mmol/L") for i in range(10)),
    *(Feature(f"visits_{i}", "count", f"visits {i}") for i in range(4)),
    *(Feature(f"has_{i}", "flag", f"illness {i}") for i in range(4)),
    Feature("way_home", "category", "discharged to"),
    Feature("ward", "category", "ward"),
)
"""Twenty features; some levels are often missing, some visits and illnesses are rare."""
WHEN = "2026-01-01T00:00:00+00:00"


def frame(cases: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    level = {
        f"level_{i}": np.where(rng.random(cases) < i / 12, np.nan, rng.normal(100, 10, cases))
        for i in range(10)
    }
    visits = {
        f"visits_{i}": rng.poisson(mean, cases).astype(float) for i, mean in enumerate((0.03, 0.2, 1, 5))
    }
    has = {
        f"has_{i}": (rng.random(cases) < share).astype(float)
        for i, share in enumerate((0.003, 0.02, 0.2, 0.5))
    }
    codes = {
        "way_home": rng.choice(["home", "snf", "rehab", None], cases, p=[0.7, 0.25, 0.02, 0.03]),
        "ward": rng.choice(list("abcdefgh"), cases),
    }
    return pd.DataFrame({**level, **visits, **has, **codes})


def reference(rows: pd.DataFrame) -> Profile:
    """As it is kept: with counts as they may be shown."""
    return from_json(to_json(profile(rows, FEATURES, len(rows), WHEN)))


def now(rows: pd.DataFrame, like: Profile) -> Profile:
    return counted(rows, like, len(rows), WHEN)
