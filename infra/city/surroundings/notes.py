"""What was planted in the surroundings, for the answer key. ``source``: air_city, weather_city, transport_city,
housing_city, energy_grid; ``thing``: pollutant, parameter, or vehicles; ``station``: a road segment for traffic;
``hour_at``: the hour's beginning.

reading_gaps        station, thing, hour_at, kind (missing | station_down | null), visible_at
reading_bad_values  station, thing, hour_at, kind (sentinel | spike), served_value, true_value, repaired_at (null if
                    never)
reading_revisions   station, thing, hour_at, first_value, final_value (the true one), visible_at (of the second version)
reading_late        station, thing, hour_at, visible_at
reading_duplicates  station, thing, hour_at, visible_at: the item is there twice
weather_dst         station, kind (skipped: an hour that does not exist | repeated), local_time, mark, hour_at,
                    visible_at
late_runs           run_id, updated_at, visible_at: ambulance runs that are entered late under an earlier time
spells              kind (heat_wave | cold_spell), first_date, last_date, shift_cel, visible_at (when it is over)
exposures           date, postal_district, pm2_5_ug_m3, temperature_mean_cel, _min_, _max_: of that UTC day
energy_corrections  date, district, first_kwh, true_kwh, visible_at (of the corrected file)
residence_errors    residence_id, person_id, kind (wrong_date | phantom), first_date, true_date, visible_at, ended_at
residences          person_id, residence_id, dwelling_id, postal_sector, district, moved_in, moved_out: the truth, by
                    person
exposure_effects.json   see ``exposure``
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from infra.city.places import DISTRICT_CODES, SECTOR_CODES, SECTOR_DISTRICT, WEATHER_STATIONS
from infra.city.population import NEVER
from infra.city.surroundings import (
    air,
    air_feed,
    energy,
    events,
    exposure,
    housing,
    housing_feed,
    traffic,
    transport_feed,
    weather,
    weather_feed,
)
from infra.city.surroundings.clock import DAY_MS, HOUR_MS, changes, date_of, date_texts, local_texts, years_of
from infra.city.surroundings.listing import Setting
from infra.city.surroundings.readings import (
    BAD_SENTINEL,
    BAD_SPIKE,
    DOWN,
    FATE_NAMES,
    MISSING,
    NULL,
    Readings,
)
from infra.city.vocabulary import DISTRICTS

_TEXT, _AT, _NUMBER, _DATE = pa.string(), pa.timestamp("ms", tz="UTC"), pa.float64(), pa.string()
_READING = [("source", _TEXT), ("station", _TEXT), ("thing", _TEXT), ("hour_at", _AT)]
SCHEMAS: dict[str, pa.Schema] = {
    "reading_gaps": pa.schema([*_READING, ("kind", _TEXT), ("visible_at", _AT)]),
    "reading_bad_values": pa.schema(
        [
            *_READING,
            ("kind", _TEXT),
            ("served_value", _NUMBER),
            ("true_value", _NUMBER),
            ("visible_at", _AT),
            ("repaired_at", _AT),
        ]
    ),
    "reading_revisions": pa.schema(
        [*_READING, ("first_value", _NUMBER), ("final_value", _NUMBER), ("visible_at", _AT)]
    ),
    "reading_late": pa.schema([*_READING, ("visible_at", _AT)]),
    "reading_duplicates": pa.schema([*_READING, ("visible_at", _AT)]),
    "weather_dst": pa.schema(
        [
            ("station", _TEXT),
            ("kind", _TEXT),
            ("local_time", _TEXT),
            ("mark", _TEXT),
            ("hour_at", _AT),
            ("visible_at", _AT),
        ]
    ),
    "late_runs": pa.schema([("run_id", _TEXT), ("updated_at", _AT), ("visible_at", _AT)]),
    "spells": pa.schema(
        [
            ("kind", _TEXT),
            ("first_date", _DATE),
            ("last_date", _DATE),
            ("shift_cel", _NUMBER),
            ("visible_at", _AT),
        ]
    ),
    "exposures": pa.schema(
        [
            ("date", _DATE),
            ("postal_district", _TEXT),
            ("pm2_5_ug_m3", _NUMBER),
            ("temperature_mean_cel", _NUMBER),
            ("temperature_min_cel", _NUMBER),
            ("temperature_max_cel", _NUMBER),
            ("visible_at", _AT),
        ]
    ),
    "energy_corrections": pa.schema(
        [
            ("date", _DATE),
            ("district", _TEXT),
            ("first_kwh", _NUMBER),
            ("true_kwh", _NUMBER),
            ("visible_at", _AT),
        ]
    ),
}
PEOPLE_SCHEMAS: dict[str, pa.Schema] = {
    "residences": pa.schema(
        [
            ("person_id", pa.int64()),
            ("residence_id", _TEXT),
            ("dwelling_id", _TEXT),
            ("postal_sector", _TEXT),
            ("district", _TEXT),
            ("moved_in", _DATE),
            ("moved_out", _DATE),
        ]
    ),
    "residence_errors": pa.schema(
        [
            ("residence_id", _TEXT),
            ("person_id", pa.int64()),
            ("kind", _TEXT),
            ("first_date", _DATE),
            ("true_date", _DATE),
            ("visible_at", _AT),
            ("ended_at", _AT),
        ]
    ),
}
Note = tuple[str, dict[str, Any]]


def notes(setting: Setting, before_ms: int, now_ms: int) -> Iterator[Note]:
    """Table and row of everything that became visible in (before, now]; times in ms."""
    hours = np.arange(max(setting.first_day * 24, before_ms // HOUR_MS - 9 * 24), now_ms // HOUR_MS)
    window = (before_ms, now_ms)
    for source, made, things in (
        (air_feed.SOURCE, air_feed.made(setting, hours), air.SERIES),
        (weather_feed.SOURCE, weather_feed.made(setting, hours), weather_feed.SERIES),
        (
            transport_feed.SOURCE,
            transport_feed.counted(setting, hours),
            tuple((s.id, "vehicles") for s in traffic.SEGMENTS),
        ),
    ):
        yield from _of_readings(source, made, things, window)
    yield from _of_late_runs(setting, hours, window)
    first_day = max(setting.first_day, before_ms // DAY_MS)
    yield from _of_clock_changes(first_day, now_ms // DAY_MS - 1)
    yield from _of_weather(setting.seed, first_day, now_ms // DAY_MS - 1)
    yield from _of_energy(setting, first_day, now_ms // DAY_MS - 1)


def _of_readings(
    source: str, r: Readings, things: tuple[tuple[str, str], ...], window: tuple[int, int]
) -> Iterator[Note]:
    def rows(mask: np.ndarray, at: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
        for n in np.flatnonzero(mask & (at > window[0]) & (at <= window[1])).tolist():
            station, thing = things[r.series[n]]
            yield (
                n,
                {
                    "source": source,
                    "station": station,
                    "thing": thing,
                    "hour_at": int(r.hour[n]) * HOUR_MS,
                    "visible_at": int(at[n]),
                },
            )

    for n, row in rows(np.isin(r.fate, (MISSING, DOWN, NULL)), r.published):
        yield "reading_gaps", {**row, "kind": FATE_NAMES[r.fate[n]]}
    is_bad = np.isin(r.fate, (BAD_SENTINEL, BAD_SPIKE))
    is_revised = (r.final_at >= 0) & (r.first != r.final) & ~np.isnan(r.first)
    for n, row in rows(is_bad, r.published):
        repaired = int(r.final_at[n]) if is_revised[n] else None
        yield (
            "reading_bad_values",
            {
                **row,
                "kind": FATE_NAMES[r.fate[n]],
                "served_value": float(r.first[n]),
                "true_value": float(r.truth[n]),
                "repaired_at": repaired,
            },
        )
    for n, row in rows(is_revised, r.final_at):
        yield "reading_revisions", {**row, "first_value": float(r.first[n]), "final_value": float(r.final[n])}
    for _, row in rows(r.is_late, r.published):
        yield "reading_late", row
    there = (r.fate != MISSING) & (r.fate != DOWN)
    for _, row in rows(r.is_copied & there, r.published):
        yield "reading_duplicates", row


def _of_late_runs(setting: Setting, hours: np.ndarray, window: tuple[int, int]) -> Iterator[Note]:
    runs = events.ambulance_runs(setting.seed, hours, setting.population)
    updated, seen = transport_feed.run_times(setting, runs)
    ids = events.public_ids(setting.seed, "AR", runs.number)
    for n in np.flatnonzero((seen > updated) & (seen > window[0]) & (seen <= window[1])).tolist():
        yield "late_runs", {"run_id": ids[n], "updated_at": int(updated[n]), "visible_at": int(seen[n])}


def _of_clock_changes(first_day: int, last_day: int) -> Iterator[Note]:
    for year in years_of(first_day, last_day):
        begin, end = changes(year)
        odd = WEATHER_STATIONS[weather_feed.ODD_LOGGER].id
        marked = [(odd, "skipped", begin, "")] + [
            (s.id, "repeated", hour, mark)
            for s in WEATHER_STATIONS
            for hour, mark in ((end - 1, "A"), (end, "B"))
        ]
        for station, kind, hour, mark in marked:
            if first_day <= hour // 24 <= last_day:
                text = local_texts(np.array([hour * HOUR_MS]))[0]
                local = text.replace("T03:", "T02:") if kind == "skipped" else text
                yield (
                    "weather_dst",
                    {
                        "station": station,
                        "kind": kind,
                        "local_time": local,
                        "mark": mark,
                        "hour_at": hour * HOUR_MS,
                        "visible_at": (hour + 2) * HOUR_MS,
                    },
                )


def _of_weather(seed: int, first_day: int, last_day: int) -> Iterator[Note]:
    for spell in weather.spells(seed, first_day, last_day):
        if spell.last_day >= first_day and spell.last_day <= last_day:
            yield (
                "spells",
                {
                    "kind": spell.kind,
                    "first_date": str(date_of(spell.first_day)),
                    "last_date": str(date_of(spell.last_day)),
                    "shift_cel": spell.shift_cel,
                    "visible_at": (spell.last_day + 1) * DAY_MS,
                },
            )
    daily = exposure.daily(seed, first_day, last_day)
    for n, day in enumerate(range(first_day, last_day + 1)):
        for d, code in enumerate(DISTRICTS):
            yield (
                "exposures",
                {
                    "date": str(date_of(day)),
                    "postal_district": code,
                    "pm2_5_ug_m3": round(float(daily.pm2_5[n, d]), 3),
                    "temperature_mean_cel": round(float(daily.mean[n]), 3),
                    "temperature_min_cel": round(float(daily.low[n]), 3),
                    "temperature_max_cel": round(float(daily.high[n]), 3),
                    "visible_at": (day + 1) * DAY_MS,
                },
            )


def _of_energy(setting: Setting, first_day: int, last_day: int) -> Iterator[Note]:
    """Corrections delivered in these days; those within the first history were never served wrong."""
    supply = setting.supply
    if first_day == setting.first_day:
        return
    days = np.arange(max(setting.first_day, first_day - 10), last_day)
    is_wrong, area, after = energy.misread(supply, days)
    true, told = energy.consumption(supply, days)[0], energy.first_told(supply, days)
    for n in np.flatnonzero(is_wrong & (days + after >= first_day) & (days + after <= last_day)).tolist():
        yield (
            "energy_corrections",
            {
                "date": str(date_of(days[n])),
                "district": DISTRICT_CODES[area[n]],
                "first_kwh": float(told[n, area[n]]),
                "true_kwh": float(true[n, area[n]]),
                "visible_at": int(days[n] + after[n] + 1) * DAY_MS,
            },
        )


def residence_tables(setting: Setting, now_ms: int) -> dict[str, list[dict[str, Any]]]:
    """The address history as it is in truth, and the register's errors that can be seen by now."""
    homes, found = housing_feed.true_residences(setting)
    true = found.take(np.flatnonzero(~found.phantom))
    today = now_ms // DAY_MS
    ended = true.end < today
    sector = homes.sector[true.dwelling]
    rows = [
        {
            "person_id": person,
            "residence_id": id_,
            "dwelling_id": home,
            "postal_sector": SECTOR_CODES[s],
            "district": DISTRICT_CODES[SECTOR_DISTRICT[s]],
            "moved_in": moved_in,
            "moved_out": moved_out if is_over else None,
        }
        for person, id_, home, s, moved_in, moved_out, is_over in zip(
            true.person.tolist(),
            housing.residence_ids(setting.seed, true),
            homes.ids(true.dwelling),
            sector.tolist(),
            date_texts(true.start),
            date_texts(np.where(ended, true.end, 0)),
            ended.tolist(),
            strict=True,
        )
    ]
    wrong = found.take(np.flatnonzero((found.phantom | (found.corrected < NEVER)) & (found.told <= now_ms)))
    over = np.where(wrong.phantom, wrong.deleted, wrong.corrected)
    errors = [
        {
            "residence_id": id_,
            "person_id": person,
            "kind": "phantom" if phantom else "wrong_date",
            "first_date": first,
            "true_date": None if phantom else true_date,
            "visible_at": told,
            "ended_at": end if end <= now_ms else None,
        }
        for id_, person, phantom, first, true_date, told, end in zip(
            housing.residence_ids(setting.seed, wrong),
            wrong.person.tolist(),
            wrong.phantom.tolist(),
            date_texts(wrong.wrong_start),
            date_texts(wrong.start),
            wrong.told.tolist(),
            over.tolist(),
            strict=True,
        )
    ]
    return {"residences": rows, "residence_errors": errors}
