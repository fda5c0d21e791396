"""The air quality API: ``/air/v1``. Open to everybody; pages by cursor.

    GET /air/v1/stations
    GET /air/v1/readings?updated_since=2025-12-31T00:00:00Z&limit=10000&cursor=…

    {"generated_at":"2026-01-01T00:00:00Z","total":401903,"items":[…],"next_cursor":"…"}     (null on the last page)

``total`` counts the items of all pages of the query. A cursor keeps the moment and the ``updated_since`` of its first
page. A reading, once, in its newest version, in the order of ``updated_at``:

    {"station":"A01","pollutant":"pm2_5","hour":"2025-12-31T22:00:00Z","value":12.4,"unit":"ug/m3","status":"provisional",
     "updated_at":"2025-12-31T23:31:07Z"}

Key: station, pollutant, hour (UTC, its beginning). pollutants: pm2_5, pm10, no2, o3, so2 (ug/m3), co (mg/m3). Every
reading appears within the hour as ``provisional`` and again on the fourth day after at about 09:00 UTC as
``validated``, 2 % of them with another value. What is planted (answer key: reading_gaps, reading_revisions,
reading_bad_values, reading_late, reading_duplicates): hours that are missing;
``"value":null,"reason":"maintenance|calibration|quality_control"``; -999 and spikes, of which validation repairs 60
%; readings that come 5 to 60 hours late; items that are there twice, word for word (counted twice in ``total``).

    {"id":"A01","name":"Market Street","site":"traffic","lon":8.70972,"lat":52.35671,"elevation_m":12,
     "postal_sector":"C06 6","district":"CW05","pollutants":["pm2_5","pm10","no2","co"],"since":"2015-01-01",
     "updated_at":"2015-01-01T00:00:00Z"}
"""

from __future__ import annotations

import numpy as np

from infra.city.places import AIR_STATIONS, DISTRICT_CODES, SECTOR_CODES, SECTOR_DISTRICT, Place
from infra.city.surroundings import air
from infra.city.surroundings.chance import uniform
from infra.city.surroundings.clock import HOUR_MS, utc_texts
from infra.city.surroundings.listing import Listing, Setting, fixed, number
from infra.city.surroundings.readings import LONGEST_DELAY_DAYS, REASONS, Rates, Readings, readings, served

SOURCE = "air_city"
RATES = Rates()


def place_object(place: Place) -> dict[str, object]:
    return {
        "id": place.id,
        "name": place.name,
        "site": place.site,
        "lon": place.lon,
        "lat": place.lat,
        "elevation_m": place.elevation_m,
        "postal_sector": SECTOR_CODES[place.sector],
        "district": DISTRICT_CODES[SECTOR_DISTRICT[place.sector]],
    }


def stations() -> Listing:
    return fixed(
        [
            {
                **place_object(place),
                "pollutants": list(air.MEASURED[place.id]),
                "since": "2015-01-01",
                "updated_at": "2015-01-01T00:00:00Z",
            }
            for place in AIR_STATIONS
        ]
    )


def made(setting: Setting, hours: np.ndarray) -> Readings:
    """Every reading of these hours with its fate; series are ``air.SERIES``."""
    ids = [p.id for p in AIR_STATIONS]
    station = np.array([ids.index(s) for s, _ in air.SERIES])
    decimals = np.array([air.DECIMALS[p] for _, p in air.SERIES])
    truth = air.at_stations(setting.seed, hours)
    return readings(setting.seed, SOURCE, hours, truth, station, RATES.times(setting.dirt), decimals)


def listing(setting: Setting, as_of_ms: int, since_ms: int | None) -> Listing:
    """Readings that changed after ``since_ms``, as they stood at ``as_of_ms``."""
    hours = setting.hours(as_of_ms, since_ms, LONGEST_DELAY_DAYS)
    now = served(made(setting, hours), as_of_ms, since_ms)
    heads = [f'{{"station":"{s}","pollutant":"{p}","hour":"' for s, p in air.SERIES]
    tails = [f',"unit":"{air.UNITS[p]}","status":"' for _, p in air.SERIES]

    def write(rows: np.ndarray) -> list[str]:
        return [
            f'{heads[s]}{hour}","value":{value}{tails[s]}{"validated" if final else "provisional"}'
            f'","updated_at":"{updated}"}}'
            for s, hour, value, final, updated in zip(
                now.series[rows].tolist(),
                utc_texts(now.hour[rows] * HOUR_MS),
                values(setting.seed, now.hour[rows], now.series[rows], now.value[rows]),
                now.is_final[rows].tolist(),
                utc_texts(now.updated[rows]),
                strict=True,
            )
        ]

    return Listing(now.updated, write)


def values(seed: int, hour: np.ndarray, series: np.ndarray, value: np.ndarray) -> list[str]:
    """Each value as JSON; a null followed by its reason."""
    texts = [number(v) for v in value.tolist()]
    nulls = np.flatnonzero(np.isnan(value))
    why = (uniform(seed, "reason", hour[nulls], series[nulls]) * len(REASONS)).astype(np.int64)
    for row, reason in zip(nulls.tolist(), why.tolist(), strict=True):
        texts[row] = f'null,"reason":"{REASONS[reason]}"'
    return texts
