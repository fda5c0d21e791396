"""Control of chance findings, for every table of mining that says ``p`` and ``q``."""

from __future__ import annotations

import numpy as np
from scipy import stats

Array = np.ndarray


def q_values(p: Array, tests: int | None = None) -> Array:
    """The false discovery rate at which each finding of ``p`` is let through, whatever the tests depend on.

    tests: how many hypotheses there were, where some were not tested because they could not have been told from chance;
    they count as found by nobody. Source: Benjamini and Yekutieli, Annals of Statistics 2001 (theorem 1.3). Missing
    values of ``p`` stay missing and count as no test.
    """
    known = ~np.isnan(p)
    untested = 0 if tests is None else tests - int(known.sum())
    if untested < 0:
        raise ValueError("fewer hypotheses than values of p")
    q = np.full(len(p), np.nan)
    if known.any():
        padded = np.concatenate([p[known], np.ones(untested)])
        q[known] = stats.false_discovery_control(padded, method="by")[: int(known.sum())]
    return q
