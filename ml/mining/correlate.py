"""Correlations of person-level variables: monotone ones, with intervals, as they are and given age and sex.

Spearman's rho of the people who have both variables. Interval: Fisher's z with the variance (1 + rho^2 / 2) / (n - 3)
(Bonett and Wright, Psychometrika 2000). p: Student's t on n - 2 degrees of freedom, two-sided. The partial correlation
is that of what ranks of age and sex leave over of both ranks, by least squares; its interval and p lose a degree of
freedom for each of them (Kim, Communications for Statistical Applications and Methods 2015). q: see ``chance``; all
pairs, the plain and the partial ones apart.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from ml.mining.chance import q_values

FEWEST = 30
COLUMNS = [
    *("variable", "other_variable", "people", "rho", "rho_low", "rho_high", "p", "q"),
    *("partial_rho", "partial_rho_low", "partial_rho_high", "partial_p", "partial_q"),
]
_Z = 1.959964

Array = np.ndarray


def correlate(values: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of columns of ``values`` that at least FEWEST people have both of. Columns: COLUMNS.

    values: a row per person. given: the same people's age and sex as numbers; a pair with one of these columns has no
    partial correlation.
    """
    rows = []
    for one, other in combinations(sorted(values), 2):
        known = values[[one, other]].notna().all(axis=1) & given.notna().all(axis=1)
        if known.sum() < FEWEST:
            continue
        x, y = (stats.rankdata(values.loc[known, name]) for name in (one, other))
        if min(np.ptp(x), np.ptp(y)) == 0:
            continue
        n = int(known.sum())
        row = {"variable": one, "other_variable": other, "people": n, **_told("", _pearson(x, y), n, 0)}
        if not {one, other} & set(given):
            covariates = np.column_stack([stats.rankdata(given.loc[known, name]) for name in given])
            left = _pearson(_residual(x, covariates), _residual(y, covariates))
            row |= _told("partial_", left, n, covariates.shape[1])
        rows.append(row)
    found = pd.DataFrame(rows, columns=COLUMNS).astype(
        {name: float for name in COLUMNS if name not in ("variable", "other_variable", "people")}
    )
    found["q"] = q_values(found["p"].to_numpy())
    found["partial_q"] = q_values(found["partial_p"].to_numpy())
    return found


def _told(prefix: str, rho: float, n: int, covariates: int) -> dict[str, float]:
    free = n - 2 - covariates
    half = _Z * np.sqrt((1 + rho**2 / 2) / (free - 1))
    z = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    t = rho * np.sqrt(free / max(1 - rho**2, 1e-12))
    return {
        f"{prefix}rho": rho,
        f"{prefix}rho_low": float(np.tanh(z - half)),
        f"{prefix}rho_high": float(np.tanh(z + half)),
        f"{prefix}p": float(2 * stats.t.sf(abs(t), free)),
    }


def _pearson(x: Array, y: Array) -> float:
    x, y = x - x.mean(), y - y.mean()
    spread = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / spread) if spread > 0 else 0.0


def _residual(x: Array, covariates: Array) -> Array:
    design = np.column_stack([np.ones(len(x)), covariates])
    solution, *_ = np.linalg.lstsq(design, x, rcond=None)
    return np.asarray(x - design @ solution)
