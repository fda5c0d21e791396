"""A small question with a known answer, for tests of the code that is the same for every question."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.question import Cases, Feature, Question

QUESTION = Question(
    name="toy",
    title="A toy event within 30 days",
    horizon_days=30,
    alert_budget=0.2,
    features=(
        Feature("age_years", "number", "age", "years"),
        Feature("sodium_mmol_l", "number", "sodium", "mmol/L"),
        Feature("visits", "count", "visits"),
        Feature("has_failure", "flag", "heart failure"),
        Feature("way_home", "category", "discharged to"),
    ),
)


def true_risk(x: pd.DataFrame) -> np.ndarray:
    logit = (
        -3.2
        + 0.03 * (x["age_years"] - 60)
        + 0.5 * x["visits"]
        + 1.2 * x["has_failure"]
        + 0.7 * (x["way_home"] == "snf")
    )
    return 1 / (1 + np.exp(-logit.to_numpy()))


def cases(count: int = 3000, seed: int = 0) -> Cases:
    """Discharges over two years, about two for each person; sodium is missing in one of five."""
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(
        {
            "age_years": rng.uniform(20, 95, count),
            "sodium_mmol_l": np.where(rng.random(count) < 0.2, np.nan, rng.normal(138, 4, count)),
            "visits": rng.poisson(1.0, count).astype(float),
            "has_failure": (rng.random(count) < 0.3).astype(float),
            "way_home": rng.choice(["home", "snf", None], count, p=[0.7, 0.2, 0.1]),
        }
    )
    person = np.array([f"p{number}" for number in rng.integers(0, count // 2, count)])
    return Cases(
        x=x,
        y=(rng.random(count) < true_risk(x)).astype(int),
        person=person,
        groups={
            "sex": np.where(rng.random(count) < 0.5, "female", "male"),
            "age": np.where(x["age_years"] < 65, "<65", "65+"),
        },
        at=np.datetime64("2024-01-01", "us") + (rng.random(count) * 730 * 86400e6).astype("timedelta64[us]"),
    )
