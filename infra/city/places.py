"""Where things are: the same map in every city of the simulator, whatever its seed.

Two area codings cut each other. *Postal districts* ``C01`` … ``C12`` lie on a grid of four columns and three rows over
14 x 10 km; each has nine *postal sectors* (``C05 4``: the district and the first digit after the space of a postal code
such as ``C05 47B``). *Districts* of the administration, ``CW01`` … ``CW08``, are made of whole sectors and cut postal
districts. Coordinates are WGS84 degrees (longitude, latitude).

Sectors are numbered 0 … 107: nine to a postal district, in the order of its digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.city.ids import hashed
from infra.city.population import postal_hashes
from infra.city.vocabulary import DISTRICTS

WIDTH_KM, HEIGHT_KM = 14.0, 10.0
WEST, SOUTH = 8.62, 52.31
KM_PER_DEGREE = 111.32
_COLUMNS, _ROWS, _SIDE = 4, 3, 3
SECTORS_PER_DISTRICT = _SIDE * _SIDE
SECTOR_COUNT = len(DISTRICTS) * SECTORS_PER_DISTRICT

POSTAL_NAMES = (
    "Harbour Front",
    "Old Docks",
    "Ferry Point",
    "Salt Marsh",
    "Weavers",
    "Market",
    "Lantern Hill",
    "Quarry Side",
    "Millbrook",
    "Orchards",
    "Linden Park",
    "High Meadow",
)
DISTRICT_CODES = tuple(f"CW{n:02d}" for n in range(1, 9))
DISTRICT_NAMES = (
    "Waterside",
    "Docklands",
    "Saltings",
    "Weaver Town",
    "Centre",
    "Stone Ridge",
    "Millfields",
    "Upper Meadows",
)
_DISTRICT_SEATS_KM = np.array(
    [(1.9, 8.6), (6.4, 9.1), (11.6, 8.0), (2.2, 4.9), (6.6, 5.4), (11.4, 3.9), (3.9, 1.5), (8.4, 1.2)]
)


@dataclass(frozen=True)
class Place:
    """A point on the map. kind: hospital, pharmacy, air_station, weather_station; ``site`` says what is around it."""

    id: str
    kind: str
    name: str
    x_km: float
    y_km: float
    site: str = ""
    elevation_m: int = 12

    @property
    def lon(self) -> float:
        return round(float(longitude(np.array(self.x_km))), 5)

    @property
    def lat(self) -> float:
        return round(float(latitude(np.array(self.y_km))), 5)

    @property
    def sector(self) -> int:
        """Number of the nearest sector."""
        return int(((SECTOR_KM - (self.x_km, self.y_km)) ** 2).sum(axis=1).argmin())


def longitude(x_km: np.ndarray) -> np.ndarray:
    """Degrees east of a distance from the map's western edge."""
    middle = np.deg2rad(SOUTH + HEIGHT_KM / 2 / KM_PER_DEGREE)
    return WEST + x_km / (KM_PER_DEGREE * np.cos(middle))


def latitude(y_km: np.ndarray) -> np.ndarray:
    """Degrees north of a distance from the map's southern edge."""
    return SOUTH + y_km / KM_PER_DEGREE


def _sector_km() -> np.ndarray:
    """Middle of each sector (sectors x 2): the cells of a grid, a little shifted."""
    number = np.arange(SECTOR_COUNT)
    district, digit = np.divmod(number, SECTORS_PER_DISTRICT)
    column = district % _COLUMNS * _SIDE + digit % _SIDE
    row = district // _COLUMNS * _SIDE + digit // _SIDE
    shift = hashed(0, 77, np.stack([number, number + SECTOR_COUNT])) % np.uint64(1000)
    x = (column + 0.5 + (shift[0].astype(float) / 1000 - 0.5) * 0.4) * WIDTH_KM / (_COLUMNS * _SIDE)
    y = HEIGHT_KM - (row + 0.5 + (shift[1].astype(float) / 1000 - 0.5) * 0.4) * HEIGHT_KM / (_ROWS * _SIDE)
    return np.stack([x, y], axis=1)


SECTOR_KM = _sector_km()
SECTOR_CODES = tuple(f"{d} {n}" for d in DISTRICTS for n in range(1, SECTORS_PER_DISTRICT + 1))
SECTOR_DISTRICT = ((SECTOR_KM[:, None, :] - _DISTRICT_SEATS_KM[None]) ** 2).sum(axis=2).argmin(axis=1)
"""Index into DISTRICT_CODES of each sector: the nearest seat."""
SECTOR_LON, SECTOR_LAT = longitude(SECTOR_KM[:, 0]), latitude(SECTOR_KM[:, 1])
POSTAL_KM = SECTOR_KM.reshape(len(DISTRICTS), SECTORS_PER_DISTRICT, 2).mean(axis=1)
"""Middle of each postal district (12 x 2, km)."""

HOSPITAL_PLACES = (
    Place("hospital_north", "hospital", "North General Hospital", 7.9, 8.3),
    Place("hospital_harbour", "hospital", "Harbour Hospital", 2.6, 7.4),
    Place("hospital_university", "hospital", "University Hospital", 9.6, 3.1),
)
PHARMACIES = (
    Place("marktplatz", "pharmacy", "Marktplatz Pharmacy", 6.2, 5.3),
    Place("bahnhof", "pharmacy", "Bahnhof Pharmacy", 7.4, 6.3),
    Place("hafen", "pharmacy", "Hafen Pharmacy", 1.8, 8.9),
    Place("klinik", "pharmacy", "Klinik Pharmacy", 9.4, 3.3),
    Place("linden", "pharmacy", "Linden Pharmacy", 8.9, 1.9),
    Place("anker", "pharmacy", "Anker Pharmacy", 2.9, 2.2),
)
"""By the names under which they sell (``pharmacies``)."""
AIR_STATIONS = (
    Place("A01", "air_station", "Market Street", 6.1, 5.2, "traffic"),
    Place("A02", "air_station", "Ring Road East", 11.2, 5.9, "traffic"),
    Place("A03", "air_station", "Harbour Quay", 1.6, 8.8, "port"),
    Place("A04", "air_station", "Linden Park", 8.7, 1.7, "background"),
    Place("A05", "air_station", "Lantern Hill", 9.4, 7.1, "suburban", 88),
    Place("A06", "air_station", "Mill School", 2.9, 2.4, "residential"),
)
WEATHER_STATIONS = (
    Place("W1", "weather_station", "Harbour Mole", 1.1, 9.4, "coast", 4),
    Place("W2", "weather_station", "High Meadow Airfield", 12.6, 1.3, "open land", 96),
)
FACILITIES = (*HOSPITAL_PLACES, *PHARMACIES)


def sectors_of(seed: int, numbers: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Sector number of the address people have after so many moves (see ``population.identities``)."""
    district, two_digits = postal_hashes(seed, numbers, moves)
    return district * SECTORS_PER_DISTRICT + two_digits // 10 - 1


def nearness(from_km: np.ndarray, places: tuple[Place, ...]) -> np.ndarray:
    """Inverse square distance weights (points x places), rows sum to 1; a place nearer than 300 m counts as so far."""
    at = np.array([(p.x_km, p.y_km) for p in places])
    squared = np.maximum(((from_km[:, None, :] - at[None]) ** 2).sum(axis=2), 0.09)
    weights = 1.0 / squared
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
