"""Real readings served beside the generated ones: ``--air-data DIR`` with the Beijing PM2.5 data.

DIR holds ``pollution.csv`` (or ``.csv.gz``): No,year,month,day,hour,pm2.5,DEWP,TEMP,PRES,cbwd,Iws,Is,Ir (UCI Machine
Learning Repository, Liang and others 2015), hours in local time of Beijing (UTC+8, no summer time). It is served by
the two APIs of the city below ``/beijing``, by their rules, with nothing planted: ``/beijing/air/v1`` (station
``embassy``, pm2_5) and ``/beijing/weather/v1`` (station ``airport``: temperature and dew_point in Cel, pressure in
hPa, wind_run in m/s as cumulated in the data, snow_hours and rain_hours in h; the wind's direction is left out). A
gap stays one: ``"value":null,"reason":"not_measured"``. Every reading changed an hour after its own.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infra.city.surroundings.clock import HOUR_MS, day_of, utc_texts
from infra.city.surroundings.listing import Listing, fixed, since
from jobs.errors import CitywellError

_ZONE_HOURS = 8
_WEATHER = {
    "temperature": ("TEMP", "Cel"),
    "dew_point": ("DEWP", "Cel"),
    "pressure": ("PRES", "hPa"),
    "wind_run": ("Iws", "m/s"),
    "snow_hours": ("Is", "h"),
    "rain_hours": ("Ir", "h"),
}
_STATION = {"since": "2010-01-01", "updated_at": "2010-01-01T00:00:00Z"}


@dataclass(frozen=True)
class GivenAir:
    """hours: UTC hour numbers, ascending; values: by column of the file, NaN for NA."""

    hours: np.ndarray
    values: dict[str, np.ndarray]

    @classmethod
    def read(cls, folder: Path) -> GivenAir:
        """Raises CitywellError where there is no such file, or it is another one."""
        paths = [p for p in (folder / "pollution.csv", folder / "pollution.csv.gz") if p.is_file()]
        if not paths:
            raise CitywellError(
                "there are no air readings",
                where=str(folder),
                do="give a directory that holds pollution.csv or pollution.csv.gz",
            )
        opening = gzip.open if paths[0].suffix == ".gz" else open
        with opening(paths[0], "rt") as file:
            rows = list(csv.DictReader(file))
        wanted = {"pm2.5", *(column for column, _ in _WEATHER.values())}
        try:
            at = [
                day_of(int(r["year"]), int(r["month"]), int(r["day"])) * 24 + int(r["hour"]) - _ZONE_HOURS
                for r in rows
            ]
            values = {c: np.array([np.nan if r[c] == "NA" else float(r[c]) for r in rows]) for c in wanted}
        except (KeyError, ValueError, TypeError) as error:
            raise CitywellError(
                f"the air readings are not those of Beijing: {error}",
                where=str(paths[0]),
                do="give the file of the UCI Machine Learning Repository, unchanged",
            ) from None
        hours = np.array(at, dtype=np.int64)
        order = np.argsort(hours, kind="stable")
        return cls(hours[order], {c: v[order] for c, v in values.items()})

    @property
    def end_ms(self) -> int:
        """The moment by which everything is there."""
        return int(self.hours.max(initial=0) + 2) * HOUR_MS

    def air_stations(self) -> Listing:
        place = {"id": "embassy", "name": "Embassy", "site": "background", "lon": 116.466, "lat": 39.955}
        return fixed([{**place, "elevation_m": 50, "pollutants": ["pm2_5"], **_STATION}], 0)

    def weather_stations(self) -> Listing:
        place = {"id": "airport", "name": "Airport", "site": "open land", "lon": 116.584, "lat": 40.08}
        return fixed([{**place, "elevation_m": 35, "time_zone": "Asia/Shanghai", **_STATION}], 0)

    def air_readings(self, as_of_ms: int, since_ms: int | None) -> Listing:
        values = self.values["pm2.5"]

        def write(rows: np.ndarray) -> list[str]:
            return [
                f'{{"station":"embassy","pollutant":"pm2_5","hour":"{hour}","value":{_value(v)},"unit":"ug/m3",'
                f'"status":"validated","updated_at":"{updated}"}}'
                for hour, v, updated in zip(
                    utc_texts(self.hours[rows] * HOUR_MS),
                    values[rows].tolist(),
                    utc_texts((self.hours[rows] + 1) * HOUR_MS),
                    strict=True,
                )
            ]

        there = int(np.searchsorted((self.hours + 1) * HOUR_MS, as_of_ms, side="right"))
        return since(Listing((self.hours[:there] + 1) * HOUR_MS, write), since_ms)

    def weather_readings(self, as_of_ms: int, since_ms: int | None) -> Listing:
        count = len(_WEATHER)
        table = np.stack([self.values[column] for column, _ in _WEATHER.values()], axis=1).ravel()
        heads = [f'{{"station":"airport","parameter":"{p}","local_time":"' for p in _WEATHER]
        tails = [f',"unit":"{unit}","quality":1,"updated_at":"' for _, unit in _WEATHER.values()]

        def write(rows: np.ndarray) -> list[str]:
            hour, nth = np.divmod(rows, count)
            hours = self.hours[hour]
            return [
                f'{heads[n]}{local[:-1]}","value":{_value(v)}{tails[n]}{updated}"}}'
                for n, local, v, updated in zip(
                    nth.tolist(),
                    utc_texts((hours + _ZONE_HOURS) * HOUR_MS),
                    table[rows].tolist(),
                    utc_texts((hours + 1) * HOUR_MS),
                    strict=True,
                )
            ]

        there = int(np.searchsorted((self.hours + 1) * HOUR_MS, as_of_ms, side="right"))
        return since(Listing(np.repeat((self.hours[:there] + 1) * HOUR_MS, count), write), since_ms)


def _value(value: float) -> str:
    return 'null,"reason":"not_measured"' if value != value else repr(value)
