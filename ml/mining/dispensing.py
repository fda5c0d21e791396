"""Anomalies of dispensing: people who got far more packs of a watched class, from more pharmacies, than others who take
it.

One row is a person, a class and a month: the packs of the WINDOW_DAYS days that end with the month's fullest day, and
the pharmacies they came from. What is expected is what people who got any of the class in such a window get: mean and
dispersion of packs without the highest TRIMMED share of the rows, so that the odd ones do not set the norm. Packs
beyond one per window, and pharmacies beyond the first, are each taken as negative binomial; the score is -log10 of the
product of both tail probabilities. They are not independent (who buys more goes to more shops), so it ranks, and is no
p; LEAST_SCORE, of ours, is a product of one in a hundred thousand.

Classes are those that Germany's drug law watches or that are known to be misused: opioids (ATC N02A), cough opioids
(R05DA), benzodiazepines and Z-substances (N05BA, N05CD, N05CF), gabapentinoids (N02BF, formerly N03AX12 and N03AX16).
The number of prescribers and dispensers as a sign of misuse: Cepeda et al., Drug Safety 2012.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from ml.mining.budget import COLUMNS

KIND = "dispensing"
WATCHED: dict[str, str] = {
    "N02A": "opioids",
    "R05DA": "cough opioids",
    "N05BA": "benzodiazepines",
    "N05CD": "benzodiazepines for sleep",
    "N05CF": "Z-substances",
    "N02BF": "gabapentinoids",
    "N03AX12": "gabapentinoids",
    "N03AX16": "gabapentinoids",
}
"""ATC beginning -> name."""
WINDOW_DAYS = 90
TRIMMED = 0.05
LEAST_SCORE = 5.0
ALERTS_PER_1000_PEOPLE_MONTH = 0.5
FEWEST_ROWS = 50

Array = np.ndarray


def find(windows: pd.DataFrame, people: int) -> pd.DataFrame:
    """Persons whose windows are anomalous, the most striking ones of each month (ALERTS_PER_1000_PEOPLE_MONTH); of
    windows of a person and class that share days one alone. Columns: budget.COLUMNS.

    windows: ``person_key``, ``drug_class``, ``from_date``, ``to_date`` (the window's last day), ``packs``,
    ``pharmacies``; one per person, class and month. people: all people of the city. A class with fewer than FEWEST_ROWS
    rows has no norm and is left out.
    """
    judged = [
        _scored(rows) for _, rows in windows.groupby("drug_class", sort=True) if len(rows) >= FEWEST_ROWS
    ]
    if not judged:
        return pd.DataFrame(columns=COLUMNS)
    found = pd.concat(judged, ignore_index=True)
    found = _told(found[found["score"] >= LEAST_SCORE], round(ALERTS_PER_1000_PEOPLE_MONTH * people / 1000))
    told = found.rename(columns={"person_key": "subject", "drug_class": "what", "packs": "observed"})
    told = told.assign(kind=KIND, subject_kind="person", unit="packs in 90 days")
    told["words"] = [
        f"{packs:g} packs of {name} in {WINDOW_DAYS} days from {shops} pharmacies; {expected:.1f} packs are usual"
        for packs, name, shops, expected in zip(
            told["observed"], told["what"], told["pharmacies"], told["expected"], strict=True
        )
    ]
    return told[COLUMNS].reset_index(drop=True)


def _told(windows: pd.DataFrame, a_month: int) -> pd.DataFrame:
    """The most striking ones first, ``a_month`` of each month (at least one), none that shares days with one of the
    same person and class that is told already."""
    ranked = windows.sort_values(["score", "to_date", "person_key"], ascending=[False, True, True])
    ends: dict[tuple[str, str], list[pd.Timestamp]] = {}
    left: dict[pd.Period, int] = {}
    is_told = []
    for row in ranked.itertuples():
        end = pd.Timestamp(row.to_date)
        own, month = ends.setdefault((row.person_key, row.drug_class), []), end.to_period("M")
        is_apart = all(abs((end - other).days) >= WINDOW_DAYS for other in own)
        is_told.append(is_apart and left.get(month, max(1, a_month)) > 0)
        if is_told[-1]:
            own.append(end)
            left[month] = left.get(month, max(1, a_month)) - 1
    return ranked[np.array(is_told, dtype=bool)]


def _scored(rows: pd.DataFrame) -> pd.DataFrame:
    packs, shops = rows["packs"].to_numpy(dtype=float), rows["pharmacies"].to_numpy(dtype=float)
    mean, dispersion = norm(packs)
    tails = [_log_tail(packs, mean, dispersion), _log_tail(shops, *norm(shops))]
    return rows.assign(expected=mean, score=-(tails[0] + tails[1]) / np.log(10))


def norm(counts: Array) -> tuple[float, float]:
    """Mean, and variance by mean, of counts that are at least 1, without the highest TRIMMED share; what is beyond the
    1 is what varies, so the variance is that of counts less 1, by their mean. At least 1 (Poisson), which also stands
    where nothing varies."""
    usual = np.sort(counts)[: max(1, int(np.ceil((1 - TRIMMED) * len(counts))))]
    beyond = max(float(usual.mean()) - 1, 0.05)
    return beyond + 1, max(1.0, float(usual.var()) / beyond)


def _log_tail(counts: Array, mean: float, dispersion: float) -> Array:
    """Natural logarithm of the probability of as many or more."""
    share = 1 / max(dispersion, 1 + 1e-9)
    size = (mean - 1) * share / (1 - share)
    return np.asarray(stats.nbinom.logsf(counts - 2, size, share))
