"""Anomalies of readings: a person's value that is far from the same person's own earlier values.

Robust z: (value - median of the HISTORY_DAYS before) / (1.4826 * MAD), the factor making the median absolute deviation
that of a normal distribution (Hampel, JASA 1974; Iglewicz and Hoaglin 1993). A person of few values can have a MAD near
0 by chance; the scale is therefore never below the middle person's. Values at home and at a hospital are judged apart,
as they differ by place. Told is the most striking value of each person and concept in the NEW_DAYS before the run.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.mining.budget import COLUMNS, within

KIND = "reading"
HISTORY_DAYS = 365
NEW_DAYS = 28
LEAST_EARLIER = 6
LEAST_Z = 5.0
ALERTS_PER_1000_PEOPLE_MONTH = 2.0
TO_NORMAL = 1.4826
DAYS_PER_MONTH = 365.25 / 12


def find(new: pd.DataFrame, history: pd.DataFrame, people: int) -> pd.DataFrame:
    """One row per person, concept and place whose newest values leave the person's own range. Columns: budget.COLUMNS.

    new: ``person_key``, ``concept``, ``place`` (home or hospital), ``date``, ``value``, ``unit``: values of the
    NEW_DAYS before the run. history: ``person_key``, ``concept``, ``place``, ``earlier`` (count), ``median``, ``mad``
    of the HISTORY_DAYS before those. people: all people of the city.
    """
    keys = ["person_key", "concept", "place"]
    known = history[history["earlier"] >= LEAST_EARLIER].copy()
    pooled = known.groupby(["concept", "place"])["mad"].transform("median")
    known["scale"] = TO_NORMAL * np.maximum(known["mad"], pooled)
    judged = new.merge(known[known["scale"] > 0], on=keys)
    judged["score"] = (judged["value"] - judged["median"]).abs() / judged["scale"]
    judged = judged.sort_values(["score", *keys, "date"], ascending=[False, True, True, True, True])
    judged = judged.drop_duplicates(keys)
    words = [
        f"{concept.replace('_', ' ')} at {where} {value:.4g} {unit} where {middle:.4g} is the person's own middle"
        for concept, where, value, unit, middle in zip(
            judged["concept"], judged["place"], judged["value"], judged["unit"], judged["median"], strict=True
        )
    ]
    candidates = pd.DataFrame(
        {
            "kind": KIND,
            "subject_kind": "person",
            "subject": judged["person_key"],
            "what": judged["concept"] + " at " + judged["place"],
            "from_date": judged["date"],
            "to_date": judged["date"],
            "observed": judged["value"],
            "expected": judged["median"],
            "unit": judged["unit"],
            "score": judged["score"],
            "words": words,
        },
        columns=COLUMNS,
    )
    allowed = ALERTS_PER_1000_PEOPLE_MONTH * people / 1000 * NEW_DAYS / DAYS_PER_MONTH
    return within(candidates, allowed, LEAST_Z)
