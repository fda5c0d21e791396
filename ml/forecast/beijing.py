"""Real readings as a yardstick: fine particles in Beijing a day ahead (UCI "Beijing PM2.5", Liang and others 2015,
Proceedings of the Royal Society A 471:20150257).

**What is forecast.** Every day at local midnight, when the reading of hour 23 is there, the 24 hourly values of the day
that begins: horizons 1 to 24. Told beside it: every hour, the value 24 hours after the newest reading. Test is 2014;
intervals are calibrated on 2013 by a model of 2010 to 2012, and the model tested learns from 2010 to 2013.

**What is known.** Readings of particles and weather up to the issue, and the calendar. Nothing is filled in: a gap
stays NaN, which the trees take as such. The weather of the target hour is not used, nor any forecast of it.

**What must be beaten.** Persistence: the newest reading. Seasonal naive: the reading a day before the target (of a gap,
the newest one of that hour before it). At 24 hours the two are the same; there the week before is the seasonal one.

Readings are forecast as log(1 + x): absolute errors are smallest at the median, which the logarithm keeps. Intervals
are split-conformal on that scale, by horizon (Lei and others 2018, JASA 113:1094).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from jobs.errors import CitywellError
from ml.forecast import calendar
from ml.forecast.conformal import QUANTILES
from ml.forecast.features import trailing_mean
from ml.forecast.models import SEED, THREADS

FILE = "pollution.csv.gz"
HORIZON = 24
DAY, WEEK = 24, 168
WEATHER = ("TEMP", "DEWP", "PRES", "Iws", "Is", "Ir")
WINDS = ("NW", "NE", "SE", "cv")
TRAIN_FROM, CALIBRATE_FROM, TEST_FROM, TEST_UNTIL = 2010, 2013, 2014, 2015
ROUNDS = 500
HORIZONS_PER_ORIGIN = 3
"""Every hour is an origin to learn from, with so many of its horizons, spread evenly and in turn."""
BOOSTING: Mapping[str, Any] = {
    "objective": "l1",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "seed": SEED,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": THREADS,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Readings:
    """Hour by hour without a hole. hours: datetime64[h], local. particles: (hours,) ug/m3. weather: (hours, WEATHER),
    degrees Celsius, hPa, m/s and hours cumulated as the data do. wind: (hours, WINDS) of 0 and 1. Gaps are NaN."""

    hours: np.ndarray
    particles: np.ndarray
    weather: np.ndarray
    wind: np.ndarray

    def place(self, year: int) -> int:
        """Index of the year's first hour."""
        return int(np.searchsorted(self.hours, np.datetime64(f"{year}-01-01", "h")))

    def until(self, issue: int) -> Readings:
        """Those of the hours before index ``issue``."""
        return Readings(self.hours[:issue], self.particles[:issue], self.weather[:issue], self.wind[:issue])


@dataclass(frozen=True)
class Model:
    """offsets: (HORIZON, 5) to add to the median of log(1 + x) for each of QUANTILES; None before calibration."""

    booster: lgb.Booster
    offsets: np.ndarray | None = None

    def median(self, readings: Readings, issues: np.ndarray, horizons: np.ndarray) -> np.ndarray:
        """log(1 + ug/m3), (issues, horizons). issues: indices of the first hour that is not known."""
        rows = _table(readings, np.repeat(issues, len(horizons)), np.tile(horizons, len(issues)))
        found = np.asarray(self.booster.predict(rows, num_threads=THREADS))
        return found.reshape(len(issues), len(horizons))

    def quantiles(self, readings: Readings, issues: np.ndarray, horizons: np.ndarray) -> np.ndarray:
        """ug/m3, (5, issues, horizons), never below 0. Raises ValueError before calibration."""
        if self.offsets is None:
            raise ValueError("the model has not been calibrated")
        middle = self.median(readings, issues, horizons)
        return np.maximum(np.expm1(middle[None] + self.offsets[horizons - 1].T[:, None, :]), 0.0)


@dataclass(frozen=True)
class Result:
    """Mean absolute errors on the test year, ug/m3; coverage: share of readings from p05 to p95."""

    targets: int
    model: float
    persistence: float
    seasonal_naive: float
    coverage: float


def read(folder: Path) -> Readings:
    """The data set as UCI gives it. Raises CitywellError where it is not there."""
    path = folder / FILE
    if not path.is_file():
        raise CitywellError(
            "there are no air readings", where=str(folder), do=f"give a directory that holds {FILE}"
        )
    frame = pd.read_csv(path)
    hours = pd.to_datetime(frame[["year", "month", "day", "hour"]]).to_numpy().astype("datetime64[h]")
    whole = pd.DatetimeIndex(np.arange(hours.min(), hours.max() + 1))
    frame = frame.set_index(pd.DatetimeIndex(hours)).reindex(whole)
    return Readings(
        whole.to_numpy().astype("datetime64[h]"),
        frame["pm2.5"].to_numpy(dtype=float),
        frame[list(WEATHER)].to_numpy(dtype=float),
        np.stack([(frame["cbwd"] == wind).to_numpy(dtype=float) for wind in WINDS], axis=1),
    )


def fit(readings: Readings, rounds: int = ROUNDS) -> Model:
    """Learns from all readings given; not calibrated."""
    issues = np.arange(WEEK, len(readings.hours))
    issue, horizon = np.repeat(issues, HORIZONS_PER_ORIGIN), horizons_in_turn(issues).ravel()
    target = issue + horizon - 1
    is_in = target < len(readings.hours)
    issue, horizon, target = issue[is_in], horizon[is_in], target[is_in]
    is_known = ~np.isnan(readings.particles[target])
    rows = _table(readings, issue[is_known], horizon[is_known])
    data = lgb.Dataset(rows, np.log1p(readings.particles[target[is_known]]))
    return Model(lgb.train(dict(BOOSTING), data, num_boost_round=rounds))


def horizons_in_turn(issues: np.ndarray) -> np.ndarray:
    """Horizons to learn from at each issue, (issues, HORIZONS_PER_ORIGIN): from day to day each hour's are the next."""
    step = HORIZON // HORIZONS_PER_ORIGIN
    turn = issues + issues // DAY
    return (turn[:, None] + step * np.arange(HORIZONS_PER_ORIGIN)[None, :]) % HORIZON + 1


def calibrate(model: Model, readings: Readings, first: int, last: int) -> np.ndarray:
    """Offsets (HORIZON, 5) from the errors at the hourly issues ``first`` to ``last``, which the model has not seen."""
    issues, horizons = np.arange(first, last - HORIZON), np.arange(1, HORIZON + 1)
    actual = np.log1p(readings.particles[issues[:, None] + horizons[None, :] - 1])
    errors = actual - model.median(readings, issues, horizons)
    return np.nanquantile(errors, QUANTILES, axis=0).T


def model_to_test(readings: Readings, rounds: int = ROUNDS) -> Model:
    """The model that the test year is forecast with."""
    first = readings.place(CALIBRATE_FROM)
    offsets = calibrate(fit(readings.until(first), rounds), readings, first, readings.place(TEST_FROM))
    return Model(fit(readings.until(readings.place(TEST_FROM)), rounds).booster, offsets)


def day_ahead(model: Model, readings: Readings) -> Result:
    """The 24 hours of each day of the test year, issued at its midnight."""
    issues = np.arange(readings.place(TEST_FROM), readings.place(TEST_UNTIL), DAY)
    horizons = np.arange(1, HORIZON + 1)
    return _result(model, readings, issues, horizons, DAY)


def hour_in_24_hours(model: Model, readings: Readings) -> Result:
    """Each hour of the test year, forecast when the reading 24 hours before it was the newest."""
    issues = np.arange(readings.place(TEST_FROM), readings.place(TEST_UNTIL)) - HORIZON + 1
    return _result(model, readings, issues, np.array([HORIZON]), WEEK)


def _result(
    model: Model, readings: Readings, issues: np.ndarray, horizons: np.ndarray, season: int
) -> Result:
    target = issues[:, None] + horizons[None, :] - 1
    actual = readings.particles[target]
    quantiles = model.quantiles(readings, issues, horizons)
    newest = _newest(readings.particles)[issues - 1]
    is_known = ~np.isnan(actual)
    return Result(
        int(is_known.sum()),
        float(np.nanmean(np.abs(actual - quantiles[2]))),
        float(np.nanmean(np.abs(actual - newest[:, None]))),
        float(np.nanmean(np.abs(actual - _before(readings.particles, target, season)))),
        float(((actual >= quantiles[0]) & (actual <= quantiles[4]))[is_known].mean()),
    )


def _newest(values: np.ndarray) -> np.ndarray:
    """Each value, or the newest known before it."""
    return pd.Series(values).ffill().to_numpy()


def _before(values: np.ndarray, target: np.ndarray, season: int) -> np.ndarray:
    """Value a season before each target, or whole seasons before that where it is not known."""
    found = values[target - season]
    for back in range(2, 8):
        found = np.where(np.isnan(found), values[np.maximum(target - back * season, 0)], found)
    return found


def _table(readings: Readings, issues: np.ndarray, horizons: np.ndarray) -> np.ndarray:
    """Features (rows, columns) of the forecasts at ``issues`` for ``horizons`` hours later, one row each.

    All are of hours before the issue, or of the calendar.
    """
    newest = issues - 1
    target = readings.hours[newest] + horizons.astype("timedelta64[h]")
    angle = calendar.year_angle(target)
    log = np.log1p(readings.particles)
    same_hour = np.stack([_lagged(log, newest + horizons - back * DAY) for back in (1, 2, 3)])
    columns = [
        *(_lagged(log, newest - lag) for lag in (0, 1, 2, 3, 6, 12, 23, 47)),
        *(trailing_mean(log, hours)[newest] for hours in (3, 6, 12, 24, 48, 72, WEEK, 30 * DAY)),
        *same_hour,
        trailing_mean(np.moveaxis(same_hour, 0, -1), len(same_hour))[:, -1],
        *(readings.weather[newest, column] for column in range(len(WEATHER))),
        *(
            readings.weather[newest, column] - _lagged(readings.weather[:, column], newest - lag)
            for column in range(3)
            for lag in (1, 3, 6, 12, 24, 48)
        ),
        *(trailing_mean(readings.weather[:, column], DAY)[newest] for column in range(len(WEATHER))),
        *(_lagged(readings.weather[:, 3], newest - lag) for lag in (3, 6, 12)),
        *(
            trailing_mean(readings.wind[:, column], hours)[newest]
            for column in range(4)
            for hours in (1, 6, DAY)
        ),
        readings.weather[newest, 0] - readings.weather[newest, 1],
        horizons,
        calendar.hour(target),
        calendar.weekday(target),
        calendar.is_holiday(target),
        np.sin(angle),
        np.cos(angle),
    ]
    return np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)


def _lagged(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Values at ``index``, NaN before the first."""
    return np.where(index >= 0, values[np.maximum(index, 0)], np.nan)
