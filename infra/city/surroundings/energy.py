"""Energy supply as files that the grid company drops into ``<home>/city/drops/energy/``: ISO-8859-15, semicolons,
decimal commas, CRLF, German headers, local dates (``31.12.2025``) and times (``31.12.2025 14:05``).

    consumption_20251231.csv      Netzgebiet;Datum;Strom_kWh;Wärme_kWh;Zählpunkte                          trailer
    outages_20251231.csv          Störung;Beginn;Ende;Netzgebiet;Kunden;Heimgeräte;Ursache                 sidecar
    home_devices_202512.csv       Netzgebiet;Stichtag;Beatmung;Sauerstoff;Heimdialyse                      sidecar
    stress_warnings_20251231.csv  Datum;Netzgebiet;Art;Stufe;Gefühlte_Temperatur_C                         trailer

A *trailer* is the last line, ``#ENDE;8``: the number of data rows. A *sidecar* is ``<name>.ok`` with one line,
``rows=3``, written after the file. Netzgebiet is a district of the administration (``CW01`` … ``CW08``).

consumption   electricity and heat of the day by area; key Netzgebiet, Datum. One day in ten is delivered again,
              corrected, 3 to 9 days later as ``consumption_20251231_v2.csv`` (answer key: energy_corrections)
outages       key Störung, once a file. Those of the day, and the end of those that were still open; ``Ende`` is empty
              while one lasts. Kunden: customers without power; Heimgeräte: households with a home medical device
              among them
home_devices  on the first of each month: households with a ventilator, oxygen, home dialysis; key Netzgebiet, Stichtag
stress        heat (Hitze) and cold (Kälte) warnings for the day, level 1 or 2; key Datum, Netzgebiet. No rows on most
              days

Files of a day appear when it has been lived, those of the history as one file per kind and month
(``consumption_202512.csv``, corrected already where that was due). A day is a local day but for the midnight it
begins and ends at, which is that of UTC.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infra.city.places import DISTRICT_CODES, SECTOR_COUNT, SECTOR_DISTRICT
from infra.city.surroundings.chance import normal, uniform
from infra.city.surroundings.clock import DAY_MS, HOUR_MS, date_of, local_texts
from infra.city.surroundings.events import OUTAGE_CAUSES, Outages, outages, public_ids
from infra.city.surroundings.weather import climate

SOURCE = "energy_grid"
ENCODING = "iso-8859-15"
CORRECTION_RATE = 0.1
HEADERS = {
    "consumption": "Netzgebiet;Datum;Strom_kWh;Wärme_kWh;Zählpunkte",
    "outages": "Störung;Beginn;Ende;Netzgebiet;Kunden;Heimgeräte;Ursache",
    "home_devices": "Netzgebiet;Stichtag;Beatmung;Sauerstoff;Heimdialyse",
    "stress_warnings": "Datum;Netzgebiet;Art;Stufe;Gefühlte_Temperatur_C",
}
_TRAILED = ("consumption", "stress_warnings")
HOUSEHOLDS_PER_PERSON = 0.5


@dataclass(frozen=True)
class Supply:
    """What the files follow from. first_day: of the history, before which nothing was delivered."""

    seed: int
    population: int
    first_day: int
    dirt: float

    @property
    def households(self) -> np.ndarray:
        """Of each district."""
        sectors = np.bincount(SECTOR_DISTRICT, minlength=len(DISTRICT_CODES))
        return np.round(self.population * HOUSEHOLDS_PER_PERSON * sectors / SECTOR_COUNT).astype(np.int64)


def consumption(supply: Supply, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True electricity and heat (kWh), each days x districts."""
    warmth = _daily_warmth(supply.seed, days)[0][:, None]
    d, n = days[:, None], np.arange(len(DISTRICT_CODES))[None]
    homes = supply.households[None]
    weekend = np.where((d + 3) % 7 >= 5, 0.93, 1.0)
    cooling = 0.25 * np.maximum(warmth - 22, 0)
    dark = 1 + 0.12 * np.cos(2 * np.pi * (d % 365.2425 - 5) / 365.2425)
    electricity = homes * (7.6 * weekend * dark + cooling) * np.exp(0.03 * normal(supply.seed, "kwh", d, n))
    heat = (
        homes * (3.2 + 2.35 * np.maximum(15 - warmth, 0)) * np.exp(0.04 * normal(supply.seed, "heat", d, n))
    )
    return np.round(electricity, 1), np.round(heat, 1)


def misread(supply: Supply, days: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each day: whether its first file is wrong, the area that is, and after how many days it is corrected."""
    is_wrong = uniform(supply.seed, "misread", days) < CORRECTION_RATE * supply.dirt
    area = (uniform(supply.seed, "misread area", days) * len(DISTRICT_CODES)).astype(np.int64)
    return is_wrong, area, 3 + (uniform(supply.seed, "misread for", days) * 7).astype(np.int64)


def first_told(supply: Supply, days: np.ndarray) -> np.ndarray:
    """Electricity as first delivered (days x districts): a misread area has a tenth of what it used."""
    electricity, _ = consumption(supply, days)
    is_wrong, area, _ = misread(supply, days)
    rows = np.flatnonzero(is_wrong)
    electricity[rows, area[rows]] = np.round(electricity[rows, area[rows]] / 10, 1)
    return electricity


def warnings(seed: int, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level (-2 … 2: cold below 0, heat above) and felt temperature (Cel) of each day, the same in all districts."""
    _, low, felt = _daily_warmth(seed, days)
    level = np.where(felt >= 34, 2, np.where(felt >= 30, 1, 0)) - np.where(
        low <= -12, 2, np.where(low <= -7, 1, 0)
    )
    return level, np.where(level < 0, low, felt)


def deliver(folder: Path, supply: Supply, first_day: int, last_day: int, *, by_month: bool) -> None:
    """Write the files of the days (both ends included), whole or not at all; what is there already is written again.

    A file's time of change is the city's: the midnight after the last day it tells of, for a correction that of its
    delivery.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind, rows, day in _files(supply, first_day, last_day, by_month):
        body = [HEADERS[kind], *rows, *([f"#ENDE;{len(rows)}"] if kind in _TRAILED else [])]
        at_s = (day + 1) * 86_400
        _write(folder / name, "\r\n".join(body) + "\r\n", at_s)
        if kind not in _TRAILED:
            _write(folder / f"{name}.ok", f"rows={len(rows)}\n", at_s)


def _files(
    supply: Supply, first_day: int, last_day: int, by_month: bool
) -> Iterator[tuple[str, str, list[str], int]]:
    """Name, kind and rows of each file, and the day on which it is delivered."""
    days = np.arange(first_day, last_day + 1)
    labels = [f"{date_of(d):%Y%m}" if by_month else f"{date_of(d):%Y%m%d}" for d in days.tolist()]
    for label in dict.fromkeys(labels):
        some = days[[n for n, text in enumerate(labels) if text == label]]
        consumed = _consumption_rows(supply, some, last_day, by_month)
        yield f"consumption_{label}.csv", "consumption", consumed, int(some[-1])
        yield f"outages_{label}.csv", "outages", _outage_rows(supply, some), int(some[-1])
        yield (
            f"stress_warnings_{label}.csv",
            "stress_warnings",
            _warning_rows(supply.seed, some),
            int(some[-1]),
        )
        for first in (d for d in some.tolist() if date_of(d).day == 1):
            yield (
                f"home_devices_{date_of(first):%Y%m}.csv",
                "home_devices",
                _device_rows(supply, first),
                first,
            )
    if not by_month:
        earlier = np.arange(max(supply.first_day, first_day - 10), last_day)
        is_wrong, _, after = misread(supply, earlier)
        due = earlier + after
        for day in earlier[is_wrong & (due >= first_day) & (due <= last_day)].tolist():
            rows = _written(np.array([day]), supply, consumption(supply, np.array([day]))[0])
            yield f"consumption_{date_of(day):%Y%m%d}_v2.csv", "consumption", rows, last_day


def _consumption_rows(supply: Supply, days: np.ndarray, last_day: int, corrected: bool) -> list[str]:
    told = first_told(supply, days)
    if corrected:
        _, _, after = misread(supply, days)
        told = np.where((days + after <= last_day)[:, None], consumption(supply, days)[0], told)
    return _written(days, supply, told)


def _written(days: np.ndarray, supply: Supply, electricity: np.ndarray) -> list[str]:
    heat, homes = consumption(supply, days)[1], supply.households
    return [
        f"{code};{date_of(day):%d.%m.%Y};{_comma(electricity[n, a])};{_comma(heat[n, a])};{homes[a]}"
        for n, day in enumerate(days.tolist())
        for a, code in enumerate(DISTRICT_CODES)
    ]


def _outage_rows(supply: Supply, days: np.ndarray) -> list[str]:
    """Those that began or ended in these days, as known at their end."""
    hours = np.arange((days[0] - 3) * 24, (days[-1] + 1) * 24)
    found = outages(supply.seed, hours, supply.population)
    ids = public_ids(supply.seed, "ST", found.number)
    begins, ends = days[0] * DAY_MS, (days[-1] + 1) * DAY_MS
    touched = ((found.start >= begins) & (found.start < ends)) | ((found.end >= begins) & (found.end < ends))
    return [
        _outage_row(ids[n], found, n, is_over=bool(found.end[n] < ends))
        for n in np.flatnonzero(touched).tolist()
    ]


def _outage_row(id_: str, found: Outages, n: int, is_over: bool) -> str:
    start, end = (_german_time(int(ms)) for ms in (found.start[n], found.end[n]))
    return (
        f"{id_};{start};{end if is_over else ''};{DISTRICT_CODES[found.district[n]]};{found.customers[n]};"
        f"{found.devices[n]};{OUTAGE_CAUSES[found.cause[n]]}"
    )


def _device_rows(supply: Supply, day: int) -> list[str]:
    rows = []
    for a, code in enumerate(DISTRICT_CODES):
        u = uniform(supply.seed, "devices", np.arange(3), a, day // 30)
        counts = np.floor(supply.households[a] * np.array([0.003, 0.013, 0.004]) + u).astype(np.int64)
        rows.append(f"{code};{date_of(day):%d.%m.%Y};{counts[0]};{counts[1]};{counts[2]}")
    return rows


def _warning_rows(seed: int, days: np.ndarray) -> list[str]:
    level, felt = warnings(seed, days)
    return [
        f"{date_of(day):%d.%m.%Y};{code};{'Hitze' if of > 0 else 'Kälte'};{abs(of)};{_comma(warm)}"
        for day, of, warm in zip(days.tolist(), level.tolist(), felt.tolist(), strict=True)
        if of
        for code in DISTRICT_CODES
    ]


def _daily_warmth(seed: int, days: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, lowest and highest felt temperature (Cel) of each day; damp heat feels warmer."""
    hours = (days[:, None] * 24 + np.arange(24)[None]).ravel()
    weather = climate(seed, hours)
    warmth = weather["temperature"].reshape(-1, 24)
    felt = warmth + 0.06 * np.maximum(weather["humidity"].reshape(-1, 24) - 40, 0)
    return warmth.mean(axis=1), warmth.min(axis=1), np.round(felt.max(axis=1), 1)


def _comma(value: float) -> str:
    return f"{value:.1f}".replace(".", ",")


def _german_time(ms: int) -> str:
    text = local_texts(np.array([ms // HOUR_MS * HOUR_MS]))[0]
    return f"{text[8:10]}.{text[5:7]}.{text[:4]} {text[11:13]}:{ms // 60_000 % 60:02d}"


def _write(path: Path, text: str, at_s: int) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(text.encode(ENCODING))
    os.utime(part, (at_s, at_s))
    part.replace(path)
