"""What is known of any day beforehand: its weekday, its place in the year, and whether it is a public holiday.

Public holidays are those that most countries of Europe keep by the Gregorian calendar: New Year, Good Friday, Easter
Monday, 1 May, Christmas Day and the day after. Easter is reckoned by pandas (``pandas.tseries.offsets.Easter``). Where
a city keeps others, HOLIDAYS is the place to name them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.tseries.holiday import AbstractHolidayCalendar, EasterMonday, GoodFriday, Holiday

from jobs.sources import load_all

HOLIDAYS = (
    Holiday("New Year", month=1, day=1),
    GoodFriday,
    EasterMonday,
    Holiday("Labour Day", month=5, day=1),
    Holiday("Christmas Day", month=12, day=25),
    Holiday("Second Day of Christmas", month=12, day=26),
)
_YEAR_DAYS = 365.2425


class _CityCalendar(AbstractHolidayCalendar):
    rules = list(HOLIDAYS)  # noqa: RUF012 (as pandas declares it)


def city_zone() -> str:
    """The time zone of the city: that of the housing register, as in gold; UTC without one."""
    zones = {e.name: e.time_zone for source in load_all().values() for e in source.endpoints.values()}
    return zones.get("housing_city", "UTC")


def local(instants: np.ndarray, zone: str) -> np.ndarray:
    """What the clocks of ``zone`` show at each instant (datetime64, UTC): datetime64, shape as given."""
    clocks = pd.DatetimeIndex(instants.ravel()).tz_localize("UTC").tz_convert(zone).tz_localize(None)
    return clocks.to_numpy().reshape(instants.shape)


def is_holiday(moments: np.ndarray) -> np.ndarray:
    """Whether the day of each moment (datetime64, local) is a public holiday; shape as given."""
    days = moments.astype("datetime64[D]")
    if not days.size:
        return np.zeros(days.shape, dtype=bool)
    found = _CityCalendar().holidays(pd.Timestamp(days.min()), pd.Timestamp(days.max()))
    return np.isin(days, found.to_numpy().astype("datetime64[D]"))


def weekday(moments: np.ndarray) -> np.ndarray:
    """0 Monday … 6 Sunday of each moment (local)."""
    return (moments.astype("datetime64[D]").astype(np.int64) + 3) % 7


def hour(moments: np.ndarray) -> np.ndarray:
    """0 … 23 of each moment (local)."""
    return moments.astype("datetime64[h]").astype(np.int64) % 24


def year_angle(moments: np.ndarray) -> np.ndarray:
    """How far the year has gone, in radians."""
    days = moments.astype("datetime64[D]")
    since = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64)
    return 2 * np.pi * since / _YEAR_DAYS
