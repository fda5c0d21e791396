"""Things that happen at an instant: road incidents, ambulance runs, outages. Drawn hour by hour from seed and time.

Each function gives the events that *begin* in the hours asked for, in the order of time, as arrays of one length.
``number`` is the event's own (hour times 8 plus its place in the hour), the same however the event is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.city.places import (
    DISTRICT_CODES,
    HOSPITAL_PLACES,
    SECTOR_DISTRICT,
    SECTOR_KM,
)
from infra.city.surroundings.chance import draws, poisson, uniform
from infra.city.surroundings.clock import HOUR_MS, berlin_offset
from infra.city.surroundings.traffic import SEGMENTS, rush
from infra.city.surroundings.weather import climate

INCIDENT_KINDS = ("collision", "breakdown", "obstacle", "closure")
OUTAGE_CAUSES = ("Kabelfehler", "Sturmschaden", "Bauarbeiten", "Überlast", "unbekannt")
AMBULANCE_RUNS_PER_PERSON_AND_YEAR = 0.2
INCIDENTS_PER_DAY = 5.0
OUTAGES_PER_DAY = 0.35
DEVICE_SHARE = 0.02
"""Households with a home medical device (ventilator, oxygen, dialysis)."""


@dataclass(frozen=True)
class Incidents:
    number: np.ndarray
    at: np.ndarray
    cleared: np.ndarray
    segment: np.ndarray
    kind: np.ndarray
    severity: np.ndarray
    injured: np.ndarray


@dataclass(frozen=True)
class Runs:
    """Ambulance runs. Times in ms, -1 where there is none; hospital indexes HOSPITAL_PLACES, -1 for none taken
    there."""

    number: np.ndarray
    at: np.ndarray
    district: np.ndarray
    priority: np.ndarray
    dispatched: np.ndarray
    arrived: np.ndarray
    left: np.ndarray
    hospital_at: np.ndarray
    hospital: np.ndarray
    cancelled: np.ndarray


@dataclass(frozen=True)
class Outages:
    number: np.ndarray
    start: np.ndarray
    end: np.ndarray
    district: np.ndarray
    customers: np.ndarray
    devices: np.ndarray
    cause: np.ndarray


def incidents(seed: int, hours: np.ndarray) -> Incidents:
    """More of them when roads are busy or slick."""
    weather = climate(seed, hours)
    slick = 1 + np.minimum(weather["precipitation"], 3) * 0.5 + (weather["temperature"] < 0) * 0.8
    number, at = _events(
        seed, "incident", hours, INCIDENTS_PER_DAY / 24 * (0.25 + 1.5 * rush(hours)) * slick / 1.1
    )
    u = _attributes(seed, "incident", number, 5)
    traffic = np.cumsum([s.vehicles * s.length_m for s in SEGMENTS])
    kind = np.searchsorted([0.45, 0.75, 0.92, 1.0], u[1], side="right")
    minutes = 12 + 90 * u[2] ** 2 + 240 * (kind == 3) * u[3]
    injured = np.where((kind == 0) & (u[3] < 0.35), 1 + (u[4] * 2.6).astype(np.int64), 0)
    return Incidents(
        number=number,
        at=at,
        cleared=at + (minutes * 60).astype(np.int64) * 1000,
        segment=np.searchsorted(traffic, u[0] * traffic[-1], side="right"),
        kind=kind,
        severity=1 + (injured > 0) + (injured > 1),
        injured=injured,
    )


def ambulance_runs(seed: int, hours: np.ndarray, population: int) -> Runs:
    """Of a city of so many people: more by day, in heat and in cold; a tenth is called off on the way."""
    warmth = climate(seed, hours)["temperature"]
    local = (hours + berlin_offset(hours)) % 24
    by_hour = 0.6 + 0.7 * np.sin(np.clip((local - 6) / 16, 0, 1) * np.pi)
    pressed = 1 + 0.03 * np.maximum(warmth - 26, 0) + 0.015 * np.maximum(-warmth, 0)
    yearly = population * AMBULANCE_RUNS_PER_PERSON_AND_YEAR
    number, at = _events(seed, "ambulance", hours, yearly / 8766 * by_hour * pressed)
    u = _attributes(seed, "ambulance", number, 7)
    sector = (u[0] * len(SECTOR_KM)).astype(np.int64)
    site = np.array([(p.x_km, p.y_km) for p in HOSPITAL_PLACES])
    distance = (
        np.sqrt(((SECTOR_KM[sector][:, None] - site[None]) ** 2).sum(axis=2))
        if len(number)
        else np.zeros((0, 3))
    )
    hospital = (distance * (0.7 + 0.6 * np.stack([u[1], u[2], u[3]], axis=1))).argmin(axis=1)
    way = np.take_along_axis(distance, hospital[:, None], axis=1)[:, 0]
    priority = 1 + np.searchsorted([0.3, 0.75], u[4], side="right")
    slow = 1 + 0.5 * rush(at // HOUR_MS) + 0.35 * (priority == 3)
    dispatched = at + _ms(40 + 100 * u[5] + 400 * (priority == 3) * u[6])
    arrived = dispatched + _ms((150 + 70 * way + 200 * u[1]) * slow)
    left = arrived + _ms(600 + 1500 * u[2])
    cancelled = u[3] < 0.1
    at_hospital = (u[6] < 0.78) & ~cancelled
    return Runs(
        number=number,
        at=at,
        district=SECTOR_DISTRICT[sector],
        priority=priority,
        dispatched=dispatched,
        arrived=np.where(cancelled, -1, arrived),
        left=np.where(at_hospital, left, -1),
        hospital_at=np.where(at_hospital, left + _ms((120 + 80 * way) * slow), -1),
        hospital=np.where(at_hospital, hospital, -1),
        cancelled=cancelled,
    )


def outages(seed: int, hours: np.ndarray, population: int) -> Outages:
    """Of electricity: more of them in storms, in heat and in hard frost."""
    weather = climate(seed, hours)
    harsh = (
        1 + 1.2 * np.maximum(weather["wind_speed"] - 7, 0) + 0.15 * np.maximum(weather["temperature"] - 28, 0)
    )
    harsh = harsh + 0.1 * np.maximum(-6 - weather["temperature"], 0)
    number, at = _events(seed, "outage", hours, OUTAGES_PER_DAY / 24 * harsh / 1.05)
    u = _attributes(seed, "outage", number, 5)
    households = population / 2 / len(DISTRICT_CODES)
    customers = np.maximum(1, np.round(households * (0.04 + 0.8 * u[1] ** 3))).astype(np.int64)
    minutes = 15 + 60 * u[2] + 900 * u[2] ** 8
    return Outages(
        number=number,
        start=at - at % 60_000,
        end=at - at % 60_000 + (minutes.astype(np.int64) * 60_000),
        district=(u[0] * len(DISTRICT_CODES)).astype(np.int64),
        customers=customers,
        devices=np.floor(customers * DEVICE_SHARE + u[3]).astype(np.int64),
        cause=(u[4] * len(OUTAGE_CAUSES)).astype(np.int64),
    )


def _events(seed: int, name: str, hours: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and instants (ms, whole seconds) of events with that mean per hour, in the order of time."""
    count = poisson(seed, name, mean, hours)
    hour = np.repeat(hours, count)
    nth = np.arange(len(hour)) - np.repeat(count.cumsum() - count, count)
    number = hour * 8 + nth
    at = hour * HOUR_MS + (uniform(seed, f"{name} at", number) * 3600).astype(np.int64) * 1000
    order = np.lexsort((number, at))
    return number[order], at[order]


def _attributes(seed: int, name: str, number: np.ndarray, count: int) -> np.ndarray:
    """count x events: uniform numbers."""
    return uniform(seed, f"{name} attribute", np.arange(count)[:, None], number[None])


def _ms(seconds: np.ndarray) -> np.ndarray:
    return seconds.astype(np.int64) * 1000


def public_ids(seed: int, prefix: str, number: np.ndarray) -> list[str]:
    """Ids that tell nothing: ``AR-5f0c2a9e41d3``."""
    return [f"{prefix}-{h >> 16:012x}" for h in draws(seed, f"id {prefix}", number).tolist()]
