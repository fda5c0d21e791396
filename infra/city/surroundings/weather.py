"""The true weather: a temperate climate with fronts, and the heat waves and cold spells that are planted in it.

All functions take UTC hour numbers and give one value per hour (``climate``: the city's) or hours x stations
(``at_stations``): temperature (Cel), humidity (%), wind_speed (m/s), precipitation (mm in the hour), pressure (hPa).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from infra.city.places import WEATHER_STATIONS
from infra.city.surroundings.chance import normal, smooth, uniform
from infra.city.surroundings.clock import day_of, years_of

PARAMETERS = ("temperature", "humidity", "wind_speed", "precipitation", "pressure")
UNITS = {"temperature": "Cel", "humidity": "%", "wind_speed": "m/s", "precipitation": "mm", "pressure": "hPa"}
DECIMALS = {"temperature": 1, "humidity": 0, "wind_speed": 1, "precipitation": 1, "pressure": 1}
_RAMP_HOURS = 12.0
_HOTTEST_DAY_OF_YEAR = 201.0
_OFFSETS = {"W1": (0.2, 4.0, 1.25), "W2": (-0.6, -3.0, 1.1)}
"""Of each station against the city: Cel, % humidity, times wind."""


@dataclass(frozen=True)
class Spell:
    """A planted heat wave or cold spell: whole days, both ends included. shift_cel is added to the temperature."""

    kind: str
    first_day: int
    last_day: int
    shift_cel: float


def spells(seed: int, first_day: int, last_day: int) -> list[Spell]:
    """Those that touch the days asked for: one to three heat waves a summer, one or two cold spells a winter."""
    found = [s for year in years_of(first_day - 20, last_day + 20) for s in _spells_of(seed, year)]
    return sorted(
        (s for s in found if s.last_day >= first_day and s.first_day <= last_day), key=lambda s: s.first_day
    )


@lru_cache(maxsize=512)
def _spells_of(seed: int, year: int) -> tuple[Spell, ...]:
    """Those that begin in that year."""
    found = []
    u = uniform(seed, "spells", np.arange(4)[:, None], year, np.arange(5)[None])
    for n, (start, length, shift, chance) in enumerate(u.T.tolist()):
        days = 3 + int(length * 6)
        if n < 3:
            first, is_there = day_of(year, 6, 1) + int(start * 82), n == 0 or chance < 0.45
            spell = Spell("heat_wave", first, first + days, round(8 + 3.5 * shift, 1))
        else:
            month, day, span = ((1, 4, 40), (12, 1, 20))[n - 3]
            first, is_there = day_of(year, month, day) + int(start * span), n == 3 or chance < 0.4
            spell = Spell("cold_spell", first, first + days, round(-7 - 4 * shift, 1))
        if is_there:
            found.append(spell)
    return tuple(found)


def climate(seed: int, hours: np.ndarray) -> dict[str, np.ndarray]:
    """The city's weather; ``calm`` (0 to 1) beside it says how badly the air is mixed."""
    warmth, heat, cold = _spell_shift(seed, hours)
    season = np.cos(2 * np.pi * (hours / 24 % 365.2425 - _HOTTEST_DAY_OF_YEAR) / 365.2425)
    solar_hour = (hours + 0.6) % 24
    daily = np.cos(2 * np.pi * (solar_hour - 15) / 24)
    front = smooth(seed, "front", hours, 46)
    rain = np.maximum(0.0, 0.9 * front + 0.5 * smooth(seed, "shower", hours, 5) - 1.05)
    rain = np.round(np.where(heat + cold > 0.2, 0.0, 2.2 * rain**1.5), 1)
    cloud = 1 / (1 + np.exp(-2.0 * front))
    drift = 2.9 * smooth(seed, "air mass", hours, 124) + 1.2 * smooth(seed, "weather", hours, 31)
    temperature = (
        10.4
        + 9.0 * season
        + (2.1 + 2.2 * (season + 1) / 2) * (1 - 0.5 * cloud) * daily
        + drift * (1 - 0.65 * (heat + cold))
        + 0.3 * smooth(seed, "puff", hours, 3)
        + warmth
    )
    wind = np.exp(1.0 + 0.42 * smooth(seed, "wind", hours, 40) + 0.18 * smooth(seed, "gust", hours, 4))
    wind = wind * (1 + 0.22 * daily + 0.12 * cloud) * (1 - 0.45 * (heat + cold))
    humidity = 76 - 9 * daily * (1.2 - cloud) + 9 * np.minimum(rain, 2) - 5 * season - 9 * heat
    pressure = 1014.5 + 8.5 * smooth(seed, "pressure", hours, 118) - 3.5 * front + 6 * (heat + cold)
    still = np.clip(1.15 - wind / 3.2, 0, 1)
    return {
        "temperature": temperature,
        "humidity": np.clip(humidity + 4 * smooth(seed, "damp", hours, 9), 18, 100),
        "wind_speed": np.maximum(wind, 0.2),
        "precipitation": rain,
        "pressure": pressure,
        "calm": np.clip(0.7 * still + 0.3 * still * (daily < 0) * (season < 0.2) + 0.15 * cold, 0, 1),
    }


def at_stations(seed: int, hours: np.ndarray) -> np.ndarray:
    """True values at WEATHER_STATIONS: hours x (stations x PARAMETERS), station by station, in the units above."""
    city = climate(seed, hours)
    columns = []
    for n, station in enumerate(WEATHER_STATIONS):
        warmer, damper, windier = _OFFSETS[station.id]
        noise = {p: normal(seed, f"station {p}", hours, n) for p in ("temperature", "humidity", "wind_speed")}
        columns += [
            city["temperature"] + warmer + 0.25 * noise["temperature"],
            np.clip(city["humidity"] + damper + 1.5 * noise["humidity"], 15, 100),
            np.maximum(city["wind_speed"] * windier * np.exp(0.06 * noise["wind_speed"]), 0.1),
            city["precipitation"] * (1.0 if n == 0 else 1.2),
            city["pressure"] - station.elevation_m / 8.3,
        ]
    return np.stack(columns, axis=1)


def _spell_shift(seed: int, hours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What spells add to the temperature, and how far (0 to 1) each hour lies in a heat wave or a cold spell."""
    warmth, heat, cold = np.zeros(len(hours)), np.zeros(len(hours)), np.zeros(len(hours))
    if not len(hours):
        return warmth, heat, cold
    for spell in spells(seed, int(hours.min()) // 24 - 1, int(hours.max()) // 24 + 1):
        into = np.clip((hours - spell.first_day * 24 + _RAMP_HOURS) / _RAMP_HOURS, 0, 1)
        out = np.clip(((spell.last_day + 1) * 24 + _RAMP_HOURS - hours) / _RAMP_HOURS, 0, 1)
        inside = into * out
        stronger = inside * abs(spell.shift_cel) > np.abs(warmth)
        warmth = np.where(stronger, inside * spell.shift_cel, warmth)
        if spell.kind == "heat_wave":
            heat = np.maximum(heat, inside)
        else:
            cold = np.maximum(cold, inside)
    return warmth, heat, cold
