"""The weather API: ``/weather/v1``. Open to everybody; numbered pages; local time without offset.

    GET /weather/v1/stations
    GET /weather/v1/readings?updated_since=2025-12-31T00:00:00Z&page=1&per_page=5000

    {"page":1,"pages":36,"per_page":5000,"count":175440,"results":[…]}

``count`` counts the items of all pages. Pages are not kept: what changes between two requests moves the later ones,
unless each asks for ``updated_until=`` the same instant. A reading, once, in its newest version, in the order of
``updated_at``:

    {"station":"W1","parameter":"temperature","local_time":"2025-12-31T23:00:00","value":3.4,"unit":"Cel","quality":1,
     "updated_at":"2025-12-31T23:29:11Z"}

Key: station, parameter, local_time, mark. ``local_time`` is the beginning of the hour in Europe/Berlin, without offset.
When summer time ends, the hour from 02:00 comes twice and has ``"mark":"A"`` (the first, summer time) or
``"mark":"B"``. When it begins, the logger of W1 writes the hour 02:00 that did not exist, with the values of 03:00
(answer key: weather_dst). parameters: temperature (Cel), humidity (%), wind_speed (m/s), precipitation (mm in the
hour), pressure (hPa). quality: 1 as it came, 3 corrected after three days (no other reading appears twice). Gaps,
nulls, -999, spikes, late and copied items as with the air (answer key: reading_* with source weather_city).

    {"id":"W1","name":"Harbour Mole","site":"coast","lon":…,"lat":…,"elevation_m":4,"postal_sector":"C01 1",
     "district":"CW01","time_zone":"Europe/Berlin","updated_at":"2015-01-01T00:00:00Z"}
"""

from __future__ import annotations

import numpy as np

from infra.city.places import WEATHER_STATIONS
from infra.city.surroundings import weather
from infra.city.surroundings.air_feed import place_object, values
from infra.city.surroundings.clock import HOUR_MS, changes, local_texts, utc_texts, years_of
from infra.city.surroundings.listing import Listing, Setting, fixed
from infra.city.surroundings.readings import LONGEST_DELAY_DAYS, Rates, Readings, readings, served

SOURCE = "weather_city"
RATES = Rates(changed=0.01, validated=False)
SERIES = tuple((station.id, p) for station in WEATHER_STATIONS for p in weather.PARAMETERS)
ODD_LOGGER = 0
"""The station (by number) that writes an hour that does not exist."""


def stations() -> Listing:
    return fixed(
        [
            {**place_object(p), "time_zone": "Europe/Berlin", "updated_at": "2015-01-01T00:00:00Z"}
            for p in WEATHER_STATIONS
        ]
    )


def made(setting: Setting, hours: np.ndarray) -> Readings:
    """Every reading of these hours with its fate; series are SERIES."""
    station = np.repeat(np.arange(len(WEATHER_STATIONS)), len(weather.PARAMETERS))
    decimals = np.array([weather.DECIMALS[p] for _, p in SERIES])
    truth = weather.at_stations(setting.seed, hours)
    return readings(setting.seed, SOURCE, hours, truth, station, RATES.times(setting.dirt), decimals)


def repeated_hours(hours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of all changes of the clock in these years: the UTC hours marked A, those marked B, and those from which an hour
    that does not exist is copied."""
    if not len(hours):
        return (np.zeros(0, dtype=np.int64),) * 3
    years = [changes(year) for year in years_of(int(hours.min()) // 24, int(hours.max()) // 24)]
    ends = np.array([end for _, end in years])
    return ends - 1, ends, np.array([begin for begin, _ in years])


def listing(setting: Setting, as_of_ms: int, since_ms: int | None) -> Listing:
    """Readings that changed after ``since_ms``, as they stood at ``as_of_ms``."""
    now = served(made(setting, setting.hours(as_of_ms, since_ms, LONGEST_DELAY_DAYS)), as_of_ms, since_ms)
    first, second, skipped = repeated_hours(now.hour)
    ghosts = np.flatnonzero(
        np.isin(now.hour, skipped) & (now.series // len(weather.PARAMETERS) == ODD_LOGGER)
    )
    ghosts = ghosts[~_is_copy(now.hour[ghosts], now.series[ghosts])]
    source = np.concatenate([np.arange(len(now.hour)), ghosts])
    is_ghost = np.arange(len(source)) >= len(now.hour)
    order = np.argsort(now.updated[source], kind="stable")
    source, is_ghost = source[order], is_ghost[order]
    heads = [f'{{"station":"{s}","parameter":"{p}","local_time":"' for s, p in SERIES]
    units = [f',"unit":"{weather.UNITS[p]}","quality":' for _, p in SERIES]

    def write(rows: np.ndarray) -> list[str]:
        taken = source[rows]
        hour, series = now.hour[taken], now.series[taken]
        marks = np.where(
            np.isin(hour, first), ',"mark":"A"', np.where(np.isin(hour, second), ',"mark":"B"', "")
        )
        return [
            f'{heads[s]}{local}"{mark},"value":{value}{units[s]}{3 if final else 1},"updated_at":"{updated}"}}'
            for s, local, mark, value, final, updated in zip(
                series.tolist(),
                _local(hour, is_ghost[rows]),
                marks.tolist(),
                values(setting.seed, hour, series, now.value[taken]),
                now.is_final[taken].tolist(),
                utc_texts(now.updated[taken]),
                strict=True,
            )
        ]

    return Listing(now.updated[source], write)


def _local(hour: np.ndarray, is_ghost: np.ndarray) -> list[str]:
    """Local time; a ghost's is the hour before, which the change of the clock leaves out."""
    texts = local_texts(hour * HOUR_MS)
    for row in np.flatnonzero(is_ghost).tolist():
        texts[row] = texts[row].replace("T03:", "T02:")
    return texts


def _is_copy(hour: np.ndarray, series: np.ndarray) -> np.ndarray:
    """Mask of rows whose hour and series have come before."""
    key = hour * len(SERIES) + series
    seen = np.unique(key, return_index=True)[1]
    copy = np.ones(len(key), dtype=bool)
    copy[seen] = False
    return copy
