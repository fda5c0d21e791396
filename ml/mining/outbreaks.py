"""Outbreaks in daily syndromic counts: a postal district in which more people come today than its past explains.

Each day is judged as it could be on the next morning: by what was known then, of it and of the days before. What comes
to be known of a day later counts in the windows of the days that follow.

After the improved Farrington method (Noufaily et al., Statistics in Medicine 2013), made fit for days instead of weeks:
counts of one district and day are too sparse for a model each, so that all districts share one.

1. **Expected.** Counts follow a multiplicative model: a Poisson regression of the whole city's daily count on weekday,
   and on season (one harmonic) once a year has passed; times each district's share, shrunk towards its share of
   residents; times the city's level of the last LEVEL_DAYS, so that a wave that rises everywhere is no outbreak.
2. **The past alone.** Each block of BLOCK_DAYS is judged by a model of the days that ended GUARD_DAYS before it: an
   outbreak that is beginning does not raise what is expected of it. Days of the past that were themselves outbreaks
   (Anscombe residual above UNUSUAL, ibid.) count as if they were just unusual.
3. **Delay.** Of a day's people only some are known on the next morning. What is expected is multiplied by the share of
   them that is, by days passed: that of the past, mostly of its last LEVEL_DAYS (the reporting delays of Salmon,
   Schumacher, Stark and Höhle, Biometrical Journal 2015, without their uncertainty).
4. **Threshold.** Negative binomial with the regression's dispersion, and the uncertainty of share and level on top. The
   day alone is tested, and the WINDOW_DAYS days that end with it; p is the smaller of both times two (Bonferroni). An
   alarm is p at most ALARM_P and at least FEWEST_PEOPLE people: by chance FALSE_ALARMS_PER_DISTRICT_YEAR.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats

DAYS_PER_YEAR, DAYS_PER_WEEK = 365.25, 7
LEAST_PAST_DAYS = 56
BLOCK_DAYS = 7
GUARD_DAYS = 7
LEVEL_DAYS = 28
WINDOW_DAYS = 3
KNOWN_AFTER_DAYS = (*range(WINDOW_DAYS), GUARD_DAYS)
"""Counts are asked for as they were known so many days after the next morning; after the last a day is past."""
FALSE_ALARMS_PER_DISTRICT_YEAR = 0.25
"""By chance, of each syndrome. One of all of them is what people bear; of the two there are, half of that is left for
what the model does not know, such as holidays."""
ALARM_P = FALSE_ALARMS_PER_DISTRICT_YEAR / DAYS_PER_YEAR
FEWEST_PEOPLE = 3
UNUSUAL, ODD = 2.58, 4.0
"""Residuals at which counts of the past are capped: where the mean is learnt (ibid.), and where the dispersion is,
which the lower cap would make too small."""
PRIOR_PEOPLE = 10.0
"""How many people's weight the prior has: a district's share is that of its residents, the city's level is as ever."""
COLUMNS = [
    *("area_code", "date", "observed", "expected", "threshold"),
    *("window_observed", "window_expected", "p", "is_alarm"),
]

Array = np.ndarray


@dataclass(frozen=True)
class Baseline:
    """What the past expects of a block of days: mean (days x districts), ``dispersion`` (variance by mean, at least 1)
    and ``doubt``, the squared relative error of the mean by district."""

    mean: Array
    dispersion: float
    doubt: Array


def known_after(days: int) -> str:
    """The column of how many people were known so many days after the morning that follows the day."""
    return f"known_after_{days}"


def watch(counts: pd.DataFrame, residents: pd.Series, *, until: dt.date) -> pd.DataFrame:
    """Every district and day that can be judged, up to ``until``. Columns: COLUMNS.

    counts: ``area_code``, ``date`` (days), and of each of KNOWN_AFTER_DAYS the people with one syndrome
    (:func:`known_after`); days without a row are 0, from the first day of any district on. residents: by ``area_code``,
    all above 0. observed, expected: as known on the next morning; window_observed, window_expected: in the WINDOW_DAYS
    that end with the day, likewise. threshold: how many people on the day alone would have been an alarm. The first
    LEAST_PAST_DAYS and GUARD_DAYS are not judged.
    """
    areas = sorted(residents.index[residents > 0])
    told = counts[counts["area_code"].isin(areas)]
    if told.empty:
        return pd.DataFrame(columns=COLUMNS)
    days = pd.date_range(told["date"].min(), until, freq="D")
    told = told.assign(date=pd.to_datetime(told["date"]))
    *newest, settled = (
        told.pivot_table(index="date", columns="area_code", values=known_after(n), aggfunc="sum")
        .reindex(index=days, columns=areas)
        .fillna(0)
        .to_numpy()
        for n in KNOWN_AFTER_DAYS
    )
    known = np.stack(newest)
    shares = residents.reindex(areas).to_numpy(dtype=float)
    shares = shares / shares.sum()
    judged = []
    for start in range(LEAST_PAST_DAYS + GUARD_DAYS, len(days), BLOCK_DAYS):
        stop = min(start + BLOCK_DAYS, len(days))
        first, past = start - WINDOW_DAYS + 1, start - GUARD_DAYS
        baseline = expect(settled[:past], shares, days, first, stop)
        share_known = known_shares(known[:, :past], settled[:past])
        judged.append(_judge(known[:, first:stop], share_known, baseline, areas, days[start:stop]))
    return pd.concat(judged, ignore_index=True) if judged else pd.DataFrame(columns=COLUMNS)


def known_shares(known: Array, settled: Array) -> Array:
    """The share of a day's people that is known 0, 1 … days after the next morning.

    known: days after x days x districts; settled: days x districts. That of all of the past counts as PRIOR_PEOPLE do
    beside the last LEVEL_DAYS. Half a person more is known in each (the mean of Jeffreys' prior): never is nobody.
    """
    in_all = known.sum(axis=(1, 2)) / max(settled.sum(), 1)
    lately, of = known[:, -LEVEL_DAYS:].sum(axis=(1, 2)), settled[-LEVEL_DAYS:].sum()
    return np.asarray((lately + PRIOR_PEOPLE * in_all + 0.5) / (of + PRIOR_PEOPLE + 0.5))


def expect(past: Array, shares: Array, days: pd.DatetimeIndex, start: int, stop: int) -> Baseline:
    """The baseline of days ``start`` to ``stop`` (places in ``days``) by ``past``, the counts of the first days.

    past: days x districts. shares: of the residents, by district.
    """
    design = _design(days[: len(past)], days[0], has_season=len(past) >= DAYS_PER_YEAR)
    usual = past
    for _ in range(2):
        city = _city(usual, design)
        share = (usual.sum(axis=0) + PRIOR_PEOPLE * shares) / (usual.sum() + PRIOR_PEOPLE)
        mean = city.predict(design)[:, None] * share
        free = max(past.size - design.shape[1] - len(shares), 1)
        spread = (_capped(past, mean, ODD) - mean) ** 2 / mean
        dispersion = max(1.0, float(spread.sum() / free))
        usual = _capped(past, mean, UNUSUAL * np.sqrt(dispersion))
    recent, expected = usual[-LEVEL_DAYS:].sum(), mean[-LEVEL_DAYS:].sum()
    level = (recent + PRIOR_PEOPLE) / (expected + PRIOR_PEOPLE)
    ahead = _design(days[start:stop], days[0], has_season=len(past) >= DAYS_PER_YEAR)
    doubt = 1 / (usual.sum(axis=0) + PRIOR_PEOPLE * shares) + 1 / (recent + PRIOR_PEOPLE)
    return Baseline(level * city.predict(ahead)[:, None] * share, dispersion, doubt)


def tail(observed: Array, mean: Array, dispersion: float, doubt: Array) -> Array:
    """Mid-p of as many as ``observed`` or more (Lancaster, JASA 1961: small counts have few possible p, and half of the
    last step keeps its mean at one half), negative binomial of variance dispersion * mean + doubt * mean^2."""
    size, share = _negative_binomial(mean, dispersion, doubt)
    return np.asarray(
        stats.nbinom.sf(observed - 1, size, share) - stats.nbinom.pmf(observed, size, share) / 2
    )


def _negative_binomial(mean: Array, dispersion: float, doubt: Array) -> tuple[Array, Array]:
    """scipy's size and share."""
    share = 1 / (dispersion + doubt * mean)
    return mean * share / (1 - share), share


def _judge(
    known: Array, share_known: Array, baseline: Baseline, areas: list[str], days: pd.DatetimeIndex
) -> pd.DataFrame:
    """known (days after x days x districts) and the baseline's mean begin WINDOW_DAYS - 1 days before ``days``."""
    extra = WINDOW_DAYS - 1
    before = [slice(extra - n, known.shape[1] - n) for n in range(WINDOW_DAYS)]
    alone, mean = known[0, extra:], share_known[0] * baseline.mean[extra:]
    window = np.sum([known[n, of] for n, of in enumerate(before)], axis=0)
    window_mean = np.sum([share_known[n] * baseline.mean[of] for n, of in enumerate(before)], axis=0)
    news = window - np.sum([known[n, of] for n, of in enumerate(before[1:])], axis=0)
    p_alone = tail(alone, mean, baseline.dispersion, baseline.doubt)
    p_window = tail(window, window_mean, baseline.dispersion, baseline.doubt)
    # Somebody of the window's people must have become known today: yesterday's outbreak is no alarm of a day without.
    p_window = np.where(news > 0, p_window, 1.0)
    p = np.minimum(1.0, 2 * np.minimum(p_alone, p_window))
    is_enough = np.where(p_alone <= p_window, alone, window) >= FEWEST_PEOPLE
    threshold = _first_alarm(mean, baseline)
    return pd.DataFrame(
        {
            "area_code": np.tile(areas, len(days)),
            "date": np.repeat(days.date, len(areas)),
            "observed": alone.ravel().astype(int),
            "expected": mean.ravel(),
            "threshold": threshold.ravel(),
            "window_observed": window.ravel().astype(int),
            "window_expected": window_mean.ravel(),
            "p": p.ravel(),
            "is_alarm": ((p <= ALARM_P) & is_enough).ravel(),
        }
    )


def _first_alarm(mean: Array, baseline: Baseline) -> Array:
    """The fewest people that would be an alarm by the day alone."""
    size, share = _negative_binomial(mean, baseline.dispersion, baseline.doubt)
    fewest = np.maximum(stats.nbinom.isf(ALARM_P / 2, size, share), FEWEST_PEOPLE)
    is_enough = 2 * tail(fewest, mean, baseline.dispersion, baseline.doubt) <= ALARM_P
    return np.where(is_enough, fewest, fewest + 1).astype(int)


def _design(days: pd.DatetimeIndex, first: pd.Timestamp, *, has_season: bool) -> Array:
    """Weekday, and season where there is one."""
    weekday = (days.dayofweek.to_numpy()[:, None] == np.arange(DAYS_PER_WEEK)).astype(float)
    if not has_season:
        return weekday
    angle = 2 * np.pi * (days - first).days.to_numpy() / DAYS_PER_YEAR
    return np.column_stack([weekday, np.sin(angle), np.cos(angle)])


def _city(usual: Array, design: Array) -> sm.GLM:
    """Poisson regression of the city's daily count. Each weekday has half a person more in all (the mean of Jeffreys'
    prior): of one on which nobody has come yet it is not known that nobody does."""
    total = usual.sum(axis=1) + 0.5 * DAYS_PER_WEEK / len(usual)
    return sm.GLM(total, design, family=sm.families.Poisson()).fit()


def _capped(observed: Array, mean: Array, residual: float) -> Array:
    """Counts, those of a larger Anscombe residual (Poisson; Noufaily et al. 2013, section 3.2) as what would just have
    it: an outbreak raises neither what is expected nor what counts as usual spread."""
    return np.minimum(observed, (mean ** (2 / 3) + residual * mean ** (1 / 6) / 1.5) ** 1.5)
