"""The true air at the stations, hour by hour: what the weather, the traffic and the stoves make of it.

Fine particles (pm2_5) have a share that comes from outside the city (the same everywhere, in episodes of days) and a
share of the place: exhaust near roads, wood smoke near homes in the cold, ships at the quay. Calm air keeps the local
share.
"""

from __future__ import annotations

import numpy as np

from infra.city.places import AIR_STATIONS
from infra.city.surroundings.chance import normal, smooth
from infra.city.surroundings.traffic import rush
from infra.city.surroundings.weather import climate

UNITS = {"pm2_5": "ug/m3", "pm10": "ug/m3", "no2": "ug/m3", "o3": "ug/m3", "so2": "ug/m3", "co": "mg/m3"}
DECIMALS = {"pm2_5": 1, "pm10": 1, "no2": 1, "o3": 1, "so2": 1, "co": 2}
MEASURED: dict[str, tuple[str, ...]] = {
    "A01": ("pm2_5", "pm10", "no2", "co"),
    "A02": ("pm2_5", "pm10", "no2", "co"),
    "A03": ("pm2_5", "pm10", "no2", "so2"),
    "A04": ("pm2_5", "pm10", "no2", "o3"),
    "A05": ("pm2_5", "no2", "o3"),
    "A06": ("pm2_5", "pm10", "no2", "o3"),
}
SERIES = tuple((station, pollutant) for station, measured in MEASURED.items() for pollutant in measured)
"""What is measured where; the columns of ``at_stations``."""
_ROADS = {"traffic": 1.0, "port": 0.45, "background": 0.15, "suburban": 0.2, "residential": 0.3}
_STOVES = {"traffic": 0.35, "port": 0.2, "background": 0.4, "suburban": 0.5, "residential": 1.0}


def fine_particles(seed: int, hours: np.ndarray) -> np.ndarray:
    """True pm2_5 (ug/m3) at AIR_STATIONS: hours x stations."""
    return np.stack([s["pm2_5"] for s in _stations(seed, hours)], axis=1)


def at_stations(seed: int, hours: np.ndarray) -> np.ndarray:
    """True values of SERIES: hours x series, in their units."""
    values = {p.id: v for p, v in zip(AIR_STATIONS, _stations(seed, hours), strict=True)}
    return np.stack([values[station][pollutant] for station, pollutant in SERIES], axis=1)


def _stations(seed: int, hours: np.ndarray) -> list[dict[str, np.ndarray]]:
    city = climate(seed, hours)
    busy = rush(hours)
    heating = np.clip((14 - city["temperature"]) / 16, 0, 1.6)
    kept = 0.45 + 1.5 * city["calm"]
    washed = 1 - 0.35 * np.minimum(city["precipitation"], 1)
    sun = np.clip(np.cos(2 * np.pi * ((hours + 0.6) % 24 - 13.5) / 24), 0, 1)
    warm = np.clip((city["temperature"] - 4) / 20, 0, 1.4)
    outside = (
        np.exp(0.5 * smooth(seed, "long-range", hours, 84)) * (7.5 + 3.5 * heating) * (0.75 + 0.25 * kept)
    )
    found = []
    for n, place in enumerate(AIR_STATIONS):
        roads, stoves = _ROADS[place.site], _STOVES[place.site]
        ships = (0.4 + 0.6 * np.abs(smooth(seed, "ships", hours, 14))) if place.site == "port" else 0.0
        jitter = [np.exp(0.10 * normal(seed, "air noise", hours, n, k)) for k in range(4)]
        pm2_5 = (
            (outside + (4.2 * roads * busy + 4.5 * stoves * heating + 1.5 * ships) * kept)
            * washed
            * jitter[0]
        )
        no2 = (6 + (24 * roads * busy + 3.5 * stoves * heating + 6 * ships) * kept) * jitter[1]
        ozone = 34 + 62 * sun * warm + 16 * warm - 0.5 * (no2 - 8) - 8 * city["calm"]
        found.append(
            {
                "pm2_5": np.maximum(pm2_5, 0.8),
                "pm10": np.maximum(pm2_5 * 1.32 + 5.5 * roads * busy * washed * jitter[2], 1.5),
                "no2": np.maximum(no2, 1.0),
                "o3": np.maximum(ozone * jitter[3], 2.0),
                "so2": np.maximum((1.2 + 5 * ships * kept) * jitter[2], 0.3),
                "co": np.maximum((0.18 + (0.28 * roads * busy + 0.1 * heating) * kept) * jitter[2], 0.05),
            }
        )
    return found
