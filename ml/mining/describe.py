"""Descriptive statistics of people: how many, how missing, mean, spread and quartiles, each with a 95 % interval.

Each person counts once, with one value of each variable, so that values are independent and intervals honest.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95
FEWEST = 10
"""A group with fewer values is left out: its statistics would be noise, and could tell of a person."""
COLUMNS = [
    *("variable", "division", "group_name", "people", "missing", "mean", "mean_low", "mean_high"),
    *("sd", "sd_low", "sd_high", "quartile_1", "quartile_1_low", "quartile_1_high"),
    *("median", "median_low", "median_high", "quartile_3", "quartile_3_low", "quartile_3_high"),
]
_QUARTILES = {"quartile_1": 0.25, "median": 0.5, "quartile_3": 0.75}

Array = np.ndarray


def describe(values: pd.DataFrame, divisions: Mapping[str, Array]) -> pd.DataFrame:
    """One row per variable, division and group of it. Columns: COLUMNS.

    values: a row per person, a column per variable, in its own unit. divisions: name (``sex``) -> each person's group;
    all people together are the group ``all`` of the division ``all``. people: those with a value; missing: those
    without.
    """
    groups = {("all", "all"): np.ones(len(values), dtype=bool)}
    for division, of in divisions.items():
        groups |= {(division, group): of == group for group in sorted(set(of.tolist()))}
    rows = [
        {"variable": variable, "division": division, "group_name": group, **of_values(column[rows])}
        for variable, column in ((name, values[name].to_numpy(dtype=float)) for name in sorted(values))
        for (division, group), rows in groups.items()
        if np.isfinite(column[rows]).sum() >= FEWEST
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def of_values(values: Array) -> dict[str, float]:
    """Statistics of one group's values (NaN: missing), at least FEWEST of them, with their intervals.

    Of the mean by Student's t, of quartiles by order statistics (Conover 1999, Practical Nonparametric Statistics,
    section 3.2), of the standard deviation by Bonett (Computational Statistics and Data Analysis 2006), which asks for
    no normal distribution.
    """
    known = np.sort(values[np.isfinite(values)])
    found: dict[str, float] = {"people": len(known), "missing": len(values) - len(known)}
    mean, error = known.mean(), stats.sem(known)
    half = stats.t.ppf((1 + LEVEL) / 2, len(known) - 1) * error
    found |= {"mean": mean, "mean_low": mean - half, "mean_high": mean + half}
    low, high = sd_interval(known)
    found |= {"sd": known.std(ddof=1), "sd_low": low, "sd_high": high}
    for name, share in _QUARTILES.items():
        interval = stats.quantile_test(known, p=share).confidence_interval(LEVEL)
        found |= {name: np.quantile(known, share), f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {name: float(value) for name, value in found.items()}


def sd_interval(values: Array) -> tuple[float, float]:
    """95 % interval of the standard deviation (Bonett 2006, formula 4); (0, 0) where all values are equal."""
    n, variance = len(values), float(np.var(values, ddof=1))
    if variance == 0:
        return 0.0, 0.0
    z = stats.norm.ppf((1 + LEVEL) / 2)
    middle = stats.trim_mean(values, 1 / (2 * np.sqrt(n - 4)))
    kurtosis = n * ((values - middle) ** 4).sum() / ((values - values.mean()) ** 2).sum() ** 2
    factor = n / (n - z)
    error = factor * np.sqrt(max(kurtosis - (n - 3) / n, 0) / (n - 1))
    scaled = np.log(factor * variance)
    return float(np.exp((scaled - z * error) / 2)), float(np.exp((scaled + z * error) / 2))
