"""Public transport: what each line planned, ran, delayed and carried on each local day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.city.surroundings.chance import normal, uniform
from infra.city.surroundings.weather import climate


@dataclass(frozen=True)
class Line:
    """runs: planned on a working day; carried: usual passengers of a run."""

    id: str
    name: str
    mode: str
    runs: int
    carried: int


LINES = (
    Line("T1", "Harbour Front - Market - High Meadow", "tram", 188, 74),
    Line("T2", "Ferry Point - University Hospital", "tram", 164, 66),
    Line("B10", "Ring", "bus", 142, 38),
    Line("B11", "Orchards - Market", "bus", 118, 31),
    Line("B12", "Salt Marsh - Lantern Hill", "bus", 96, 27),
    Line("B20", "Millbrook - Linden Park", "bus", 84, 22),
    Line("F1", "Old Docks - Ferry Point", "ferry", 36, 18),
)


@dataclass(frozen=True)
class Service:
    """Each array days x LINES. counted: passengers as first estimated; passengers: as counted a week later."""

    planned: np.ndarray
    run: np.ndarray
    delayed: np.ndarray
    counted: np.ndarray
    passengers: np.ndarray


def service(seed: int, days: np.ndarray) -> Service:
    hours = (days[:, None] * 24 + np.arange(24)[None]).ravel()
    weather = climate(seed, hours)
    wet = weather["precipitation"].reshape(-1, 24).sum(axis=1)[:, None]
    icy = (weather["temperature"].reshape(-1, 24).min(axis=1) < -3)[:, None]
    windy = weather["wind_speed"].reshape(-1, 24).max(axis=1)[:, None]
    d, n = days[:, None], np.arange(len(LINES))[None]
    weekend = (d + 3) % 7 >= 5
    usual, carried = (np.array([getattr(line, name) for line in LINES]) for name in ("runs", "carried"))
    is_ferry = np.array([line.mode == "ferry" for line in LINES])[None]
    planned = np.where(weekend, (usual * 0.62).astype(np.int64), usual)
    lost = 0.008 + 0.03 * icy + 0.25 * is_ferry * (windy > 11) + 0.03 * uniform(seed, "crew", d, n) ** 6
    strike = uniform(seed, "strike", days)[:, None] < 0.004
    run = np.round(planned * (1 - np.clip(np.where(strike, 0.85, lost), 0, 1))).astype(np.int64)
    late = np.clip(
        0.05 + 0.006 * np.minimum(wet, 15) + 0.09 * icy + 0.02 * normal(seed, "late runs", d, n), 0.005, 0.6
    )
    passengers = np.round(
        run * carried * np.where(weekend, 0.7, 1.0) * np.exp(0.08 * normal(seed, "riders", d, n))
    )
    counted = np.round(passengers * (1 + 0.04 * normal(seed, "estimate", d, n)) / 10) * 10
    return Service(
        planned=planned,
        run=run,
        delayed=np.round(run * late).astype(np.int64),
        counted=np.maximum(counted, 0).astype(np.int64),
        passengers=passengers.astype(np.int64),
    )
