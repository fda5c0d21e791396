"""Anomalies of facility days: a hospital to which far more, or far fewer, people came than on such a day.

Two counts are judged: unplanned arrivals, which a closed department lacks, and those with an injury, which an accident
brings: on most days few come with one, so that it shows where it would be lost among all arrivals. Expected numbers by
a quasi-Poisson regression on weekday, season (one harmonic) and trend, fitted twice: the second time without the days
whose Pearson residual is above UNUSUAL, which would bend it (as Farrington et al., JRSS A 1996 weight them down).
Unlike outbreaks these are judged when all is known: a day is compared with days before and after it. The score is
-log10 of the two-sided tail probability, negative binomial.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats

from ml.mining.budget import COLUMNS, within

KIND = "facility_day"
DAYS_PER_YEAR, DAYS_PER_WEEK = 365.25, 7
LEAST_DAYS = 90
UNUSUAL = 3.0
LEAST_SCORE = 2.5
ALERTS_PER_FACILITY_YEAR = 6.0

RETURNING_SHARE = 0.08
"""Of unplanned arrivals, about those whom a closed department does not keep out: readmitted within 30 days of a
discharge from the hospital, or sent by another one."""
EMERGENCY_SHARE = 0.7
"""Of unplanned arrivals, those that are an emergency visit, about."""

COUNTS = {"arrivals": "unplanned arrivals", "injuries": "arrivals with an injury"}
"""Column -> what it counts."""

Array = np.ndarray


def find(arrivals: pd.DataFrame) -> pd.DataFrame:
    """The most anomalous days of each facility and calendar year, ALERTS_PER_FACILITY_YEAR of a whole one. Columns:
    budget.COLUMNS.

    arrivals: ``facility_key``, ``date``, ``arrivals`` (unplanned), ``injuries`` (of these); a day without a row between
    a facility's first and last one had none. Facilities of fewer than LEAST_DAYS days are left out.
    """
    found = []
    for key, rows in arrivals.groupby("facility_key", sort=True):
        daily = by_day(rows)
        if len(daily) >= LEAST_DAYS:
            counts = [count for count in COUNTS if daily[count].any()]
            scored = pd.concat([score(str(key), daily[count], COUNTS[count]) for count in counts])
            for _, year in scored.groupby(pd.to_datetime(scored["from_date"]).dt.year):
                days = year["from_date"].nunique()
                found.append(within(year, ALERTS_PER_FACILITY_YEAR * days / DAYS_PER_YEAR, LEAST_SCORE))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=COLUMNS)


def score(facility_key: str, daily: pd.Series, words: str) -> pd.DataFrame:
    """Every day of one count of a facility with what was expected and its score, as candidates.

    daily: the count by day, every day. words: what is counted.
    """
    observed, days = daily.to_numpy(), pd.DatetimeIndex(daily.index)
    expected, usual = _usual(daily)
    more = usual.logsf(observed - 1)
    fewer = usual.logcdf(observed)
    tail = np.minimum(0, np.log(2) + np.minimum(more, fewer))
    return pd.DataFrame(
        {
            "kind": KIND,
            "subject_kind": "facility",
            "subject": facility_key,
            "what": np.where(observed > expected, f"more {words}", f"fewer {words}"),
            "from_date": days.date,
            "to_date": days.date,
            "observed": observed,
            "expected": expected,
            "unit": words,
            "score": -tail / np.log(10),
            "words": [
                f"{n:.0f} {words} where {e:.1f} were to be expected"
                for n, e in zip(observed, expected, strict=True)
            ],
        }
    )


def power(daily: pd.DataFrame, factor: pd.Series) -> pd.Series:
    """Chance that a day is told on which there were ``factor`` times the usual emergency visits, by date.

    daily: ``arrivals`` and ``injuries`` of a facility by day, every day. factor: by date; 0 of a closed department,
    which lacks all arrivals but RETURNING_SHARE; more than 1 of an accident, all of whose visits are for an injury.
    What comes is taken as Poisson. A date that ``daily`` does not have cannot be told.
    """
    (arrivals, usual), (injuries, usual_injuries) = (_usual(daily[count]) for count in COUNTS)
    tail = 10**-LEAST_SCORE / 2
    fewest = usual.ppf(tail)
    at_most = fewest - (usual.cdf(fewest) > tail)
    at_least = usual_injuries.isf(tail) + 1
    found = pd.Series(0.0, index=factor.index)
    place = pd.DatetimeIndex(daily.index).get_indexer(pd.DatetimeIndex(factor.index))
    for nth, (day, times) in enumerate(zip(place, factor, strict=True)):
        if day >= 0 and times < 1:
            found.iloc[nth] = stats.poisson.cdf(at_most[day], RETURNING_SHARE * arrivals[day])
        elif day >= 0:
            extra = (times - 1) * EMERGENCY_SHARE * arrivals[day]
            found.iloc[nth] = stats.poisson.sf(at_least[day] - 1, injuries[day] + extra)
    return found


def by_day(arrivals: pd.DataFrame) -> pd.DataFrame:
    """COUNTS by day from the first to the last one with arrivals: of rows of one facility, as ``find`` takes them."""
    daily = arrivals.set_index(pd.DatetimeIndex(arrivals["date"]))[list(COUNTS)].astype(float)
    return daily.reindex(pd.date_range(daily.index.min(), daily.index.max(), freq="D")).fillna(0)


def _usual(daily: pd.Series) -> tuple[Array, Any]:
    """What is expected of each day, and its distribution: negative binomial, one for each day."""
    expected, dispersion = _expected(daily.to_numpy(), pd.DatetimeIndex(daily.index))
    share = 1 / max(dispersion, 1 + 1e-9)
    return expected, stats.nbinom(expected * share / (1 - share), share)


def _expected(observed: Array, days: pd.DatetimeIndex) -> tuple[Array, float]:
    """Expected number by day, and variance by mean of the usual days, at least 1. Each weekday has half an arrival more
    in all (the mean of Jeffreys' prior): of one on which nobody has come yet it is not known that nobody does."""
    weekday = (days.dayofweek.to_numpy()[:, None] == np.arange(DAYS_PER_WEEK)).astype(float)
    passed = np.arange(len(days)) / DAYS_PER_YEAR
    angle = 2 * np.pi * passed
    design = np.column_stack([weekday, np.sin(angle), np.cos(angle), passed - passed.mean()])
    prior = 0.5 * DAYS_PER_WEEK / len(days)
    is_usual = np.ones(len(days), dtype=bool)
    for _ in range(2):
        model = sm.GLM(observed[is_usual] + prior, design[is_usual], family=sm.families.Poisson()).fit()
        expected = model.predict(design)
        spread = (observed - expected) ** 2 / expected
        dispersion = max(1.0, float(spread[is_usual].sum() / max(is_usual.sum() - design.shape[1], 1)))
        is_usual = np.sqrt(spread / dispersion) <= UNUSUAL
    return expected, dispersion
