"""True road traffic: vehicles and speed by road segment and hour, the same every week but for weather and chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.city.places import SECTOR_CODES, Place
from infra.city.surroundings.chance import normal
from infra.city.surroundings.clock import berlin_offset
from infra.city.surroundings.weather import climate

_WORKDAY = (
    np.array([8, 5, 4, 4, 8, 24, 58, 96, 100, 72, 60, 62, 66, 64, 66, 78, 94, 100, 84, 58, 42, 32, 24, 14])
    / 100.0
)
_WEEKEND = (
    np.array([18, 14, 11, 9, 8, 9, 12, 18, 28, 42, 54, 60, 62, 60, 58, 56, 56, 54, 50, 42, 36, 30, 26, 20])
    / 100.0
)


@dataclass(frozen=True)
class Segment:
    """A counted stretch of road. vehicles: at the busiest hour; kmh: when it is empty."""

    id: str
    name: str
    x_km: float
    y_km: float
    length_m: int
    lanes: int
    kmh: int
    vehicles: int

    @property
    def place(self) -> Place:
        return Place(self.id, "road", self.name, self.x_km, self.y_km)

    @property
    def sector_code(self) -> str:
        return SECTOR_CODES[self.place.sector]


SEGMENTS = (
    Segment("S01", "Market Street", 6.0, 5.1, 820, 2, 50, 1150),
    Segment("S02", "Ring Road East", 11.3, 5.8, 2100, 4, 80, 3300),
    Segment("S03", "Ring Road West", 1.2, 5.2, 2300, 4, 80, 2900),
    Segment("S04", "Harbour Bridge", 3.1, 8.2, 640, 2, 50, 1600),
    Segment("S05", "Quay Road", 1.7, 8.7, 1400, 2, 50, 900),
    Segment("S06", "North Avenue", 7.6, 8.9, 1750, 3, 60, 1850),
    Segment("S07", "University Hill", 9.5, 3.3, 980, 2, 50, 1050),
    Segment("S08", "Mill Lane", 2.8, 2.3, 760, 1, 30, 310),
    Segment("S09", "Orchard Way", 5.2, 1.4, 1350, 2, 50, 740),
    Segment("S10", "South Motorway", 8.3, 0.5, 4200, 6, 110, 4700),
    Segment("S11", "Lantern Tunnel", 9.1, 6.7, 1250, 4, 70, 2600),
    Segment("S12", "Salt Road", 12.1, 8.3, 1900, 2, 60, 980),
)


def rush(hours: np.ndarray) -> np.ndarray:
    """How busy the roads are, 0 to 1, by local hour and day of the week (Thursday was the first day of 1970)."""
    local = hours + berlin_offset(hours)
    weekend = (local // 24 + 3) % 7 >= 5
    return np.where(weekend, _WEEKEND[local % 24], _WORKDAY[local % 24])


def counts(seed: int, hours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True vehicles in the hour and mean speed (km/h), each hours x SEGMENTS."""
    busy, weather = rush(hours), climate(seed, hours)
    slick = np.minimum(weather["precipitation"], 2) * 0.06 + (weather["temperature"] < 0) * 0.08
    number = np.arange(len(SEGMENTS))
    noise = normal(seed, "traffic", hours[:, None], number[None])
    most, free = (np.array([getattr(s, n) for s in SEGMENTS], dtype=float) for n in ("vehicles", "kmh"))
    vehicles = np.round(most * busy[:, None] * np.exp(0.09 * noise) * (1 - slick[:, None]))
    load = vehicles / (most * 1.12)
    speed = free * (0.97 - 0.42 * load**3) * (1 - slick[:, None]) * np.exp(0.03 * noise[:, ::-1])
    return vehicles, np.maximum(speed, 6.0)
