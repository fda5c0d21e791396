"""How many anomalies are told: the most striking ones, up to a number that people can look into."""

from __future__ import annotations

import pandas as pd

COLUMNS = [
    *("kind", "subject_kind", "subject", "what", "from_date", "to_date"),
    *("observed", "expected", "unit", "score", "words"),
]
"""Of every table of anomalies. ``score``: of dispensing and facility days -log10 of the tail probability, of readings
the robust z; compares within a kind."""


def within(candidates: pd.DataFrame, allowed: float, least_score: float) -> pd.DataFrame:
    """The ``allowed`` candidates of the highest score, if that is at least ``least_score``: a quiet time has fewer.

    allowed: may be a fraction; it is rounded, and at least 1. Ties are broken by subject, what and day.
    """
    most = max(1, round(allowed))
    striking = candidates[candidates["score"] >= least_score]
    order = ["score", "subject", "what", "from_date"]
    told = striking.sort_values(order, ascending=[False, True, True, True]).head(most)
    return told[COLUMNS].reset_index(drop=True)
