"""The transport API: ``/transport/v1``. Needs the header ``X-Api-Key`` (``<home>/keys/city_transport.key``); pages by
the ``Link`` header (``rel="next"``); the body is a JSON array.

    GET /transport/v1/segments
    GET /transport/v1/traffic?updated_since=…&limit=5000
    GET /transport/v1/incidents?updated_since=…
    GET /transport/v1/transit?updated_since=…
    GET /transport/v1/ambulance-runs?updated_since=…

``X-Total-Count`` counts the items of all pages. Times are local with their offset. Newest version of each item, in
the order of ``updated_at``:

    {"id":"S01","name":"Market Street","lon":…,"lat":…,"length_m":820,"lanes":2,"free_speed_kmh":50,
     "postal_sector":"C06 6","updated_at":"2015-01-01T01:00:00+01:00"}
    {"segment":"S01","hour":"2025-12-31T23:00:00+01:00","vehicles":412,"speed_kmh":46.1,"updated_at":…}
    {"id":"IN-…","segment":"S10","kind":"collision","severity":2,"injured":1,"reported_at":…,"cleared_at":…,"updated_at":…}
    {"line":"T1","mode":"tram","date":"2025-12-31","planned":188,"run":186,"delayed":7,"passengers":12660,
     "status":"estimated","updated_at":…}
    {"id":"AR-…","district":"CW05","priority":1,"incident_at":…,"dispatched_at":…,"arrived_at":…,"left_at":…,"hospital_at":…,
     "hospital":"north","cancelled":false,"updated_at":…}

traffic       key segment, hour (its beginning). Gaps, nulls (both values), spikes, late and copied ones as with the
              air; no -999 and no reasons. Nothing appears twice but what is repaired (answer key: reading_* with
              source transport_city)
incidents     appear open (``cleared_at`` and ``injured`` null) and again when cleared. kind: collision, breakdown,
              obstacle, closure; severity 1 to 3
transit       the day before, at about 03:30 UTC, with estimated passengers; after a week ``"status":"counted"``
ambulance-runs   appear when over; times that did not come are null (called off: ``cancelled``; treated on the spot: no
              hospital). district: of the administration. No person is named. 2 % are entered two days late, with the
                 ``updated_at`` they should have had: who asks for changes needs an overlap of three days (answer
                 key: late_runs)
"""

from __future__ import annotations

import numpy as np

from infra.city.places import DISTRICT_CODES, HOSPITAL_PLACES
from infra.city.surroundings import events, traffic, transit
from infra.city.surroundings.chance import uniform
from infra.city.surroundings.clock import DAY_MS, HOUR_MS, date_texts, offset_texts
from infra.city.surroundings.listing import OPENED_MS, Listing, Setting, fixed, number
from infra.city.surroundings.readings import LONGEST_DELAY_DAYS, Rates, Readings, readings, served

SOURCE = "transport_city"
RATES = Rates(sentinel=0.0, changed=0.0, validated=False, repaired=0.5)
LATE_RUN_RATE, LATE_RUN_DAYS = 0.02, 2
_MINUTE_MS = 60_000


def segments() -> Listing:
    return fixed(
        [
            {
                "id": s.id,
                "name": s.name,
                "lon": s.place.lon,
                "lat": s.place.lat,
                "length_m": s.length_m,
                "lanes": s.lanes,
                "free_speed_kmh": s.kmh,
                "postal_sector": s.sector_code,
                "updated_at": offset_texts(np.array([OPENED_MS]))[0],
            }
            for s in traffic.SEGMENTS
        ]
    )


def counted(setting: Setting, hours: np.ndarray) -> Readings:
    """Vehicles of these hours by segment, with their fates."""
    vehicles, _ = traffic.counts(setting.seed, hours)
    number_of = np.arange(len(traffic.SEGMENTS))
    rates = RATES.times(setting.dirt)
    return readings(
        setting.seed, SOURCE, hours, vehicles, number_of, rates, np.zeros(len(number_of), dtype=np.int64)
    )


def counts(setting: Setting, as_of_ms: int, since_ms: int | None) -> Listing:
    hours = setting.hours(as_of_ms, since_ms, LONGEST_DELAY_DAYS)
    now = served(counted(setting, hours), as_of_ms, since_ms)
    heads = [f'{{"segment":"{s.id}","hour":"' for s in traffic.SEGMENTS]
    speeds = traffic.counts(setting.seed, hours)[1]
    speed = np.round(speeds[now.hour - hours[0], now.series], 1) if len(hours) else np.zeros(0)
    speed = np.where(np.isnan(now.value), np.nan, speed)

    def write(rows: np.ndarray) -> list[str]:
        return [
            f'{heads[s]}{hour}","vehicles":{number(v)},"speed_kmh":{number(kmh)},"updated_at":"{updated}"}}'
            for s, hour, v, kmh, updated in zip(
                now.series[rows].tolist(),
                offset_texts(now.hour[rows] * HOUR_MS),
                now.value[rows].tolist(),
                speed[rows].tolist(),
                offset_texts(now.updated[rows]),
                strict=True,
            )
        ]

    return Listing(now.updated, write)


def incidents(setting: Setting, as_of_ms: int, since_ms: int | None) -> Listing:
    found = events.incidents(setting.seed, setting.hours(as_of_ms, since_ms, 2))
    reported = found.at + 3 * _MINUTE_MS
    is_over = found.cleared + _MINUTE_MS <= as_of_ms
    updated = np.where(is_over, found.cleared + _MINUTE_MS, reported)
    order = _order(updated, (reported <= as_of_ms) & (updated > _floor(since_ms)))

    def write(rows: np.ndarray) -> list[str]:
        r = order[rows]
        return [
            f'{{"id":"{id_}","segment":"{traffic.SEGMENTS[s].id}","kind":"{events.INCIDENT_KINDS[k]}",'
            f'"severity":{severity},"injured":{hurt if over else "null"},"reported_at":"{at}",'
            f'"cleared_at":{_text(cleared, over)},"updated_at":"{u}"}}'
            for id_, s, k, severity, hurt, at, cleared, over, u in zip(
                events.public_ids(setting.seed, "IN", found.number[r]),
                found.segment[r].tolist(),
                found.kind[r].tolist(),
                found.severity[r].tolist(),
                found.injured[r].tolist(),
                offset_texts(found.at[r]),
                offset_texts(found.cleared[r]),
                is_over[r].tolist(),
                offset_texts(updated[r]),
                strict=True,
            )
        ]

    return Listing(updated[order], write)


def transit_days(setting: Setting, as_of_ms: int, since_ms: int | None) -> Listing:
    hours = setting.hours(as_of_ms, since_ms, 10)
    days = np.unique(hours // 24)
    found = transit.service(setting.seed, days)
    lines = len(transit.LINES)
    day, line = np.repeat(days, lines), np.tile(np.arange(lines), len(days))
    estimated_at, counted_at = (
        day * DAY_MS + 27 * HOUR_MS + 30 * _MINUTE_MS,
        day * DAY_MS + 8 * DAY_MS + 11 * HOUR_MS,
    )
    is_counted = counted_at <= as_of_ms
    updated = np.where(is_counted, counted_at, estimated_at)
    passengers = np.where(is_counted, found.passengers.ravel(), found.counted.ravel())
    order = _order(updated, (estimated_at <= as_of_ms) & (updated > _floor(since_ms)))

    def write(rows: np.ndarray) -> list[str]:
        r = order[rows]
        return [
            f'{{"line":"{transit.LINES[n].id}","mode":"{transit.LINES[n].mode}","date":"{date}",'
            f'"planned":{planned},"run":{run},"delayed":{delayed},"passengers":{carried},'
            f'"status":"{"counted" if done else "estimated"}","updated_at":"{u}"}}'
            for n, date, planned, run, delayed, carried, done, u in zip(
                line[r].tolist(),
                date_texts(day[r]),
                found.planned.ravel()[r].tolist(),
                found.run.ravel()[r].tolist(),
                found.delayed.ravel()[r].tolist(),
                passengers[r].tolist(),
                is_counted[r].tolist(),
                offset_texts(updated[r]),
                strict=True,
            )
        ]

    return Listing(updated[order], write)


def ambulance_runs(setting: Setting, as_of_ms: int, since_ms: int | None) -> Listing:
    found = events.ambulance_runs(setting.seed, setting.hours(as_of_ms, since_ms, 4), setting.population)
    updated, seen = run_times(setting, found)
    order = _order(updated, (seen <= as_of_ms) & (updated > _floor(since_ms)))
    names = [p.id.removeprefix("hospital_") for p in HOSPITAL_PLACES]

    def write(rows: np.ndarray) -> list[str]:
        r = order[rows]
        columns = {
            name: [
                _text(t, is_there)
                for t, is_there in zip(offset_texts(ms[r]), (ms[r] >= 0).tolist(), strict=True)
            ]
            for name, ms in (
                ("incident_at", found.at),
                ("dispatched_at", found.dispatched),
                ("arrived_at", found.arrived),
                ("left_at", found.left),
                ("hospital_at", found.hospital_at),
            )
        }
        times = [",".join(f'"{name}":{texts[n]}' for name, texts in columns.items()) for n in range(len(r))]
        return [
            f'{{"id":"{id_}","district":"{DISTRICT_CODES[d]}","priority":{priority},{when},'
            f'"hospital":{_text(names[h], h >= 0)},"cancelled":{"true" if off else "false"},"updated_at":"{u}"}}'
            for id_, d, priority, when, h, off, u in zip(
                events.public_ids(setting.seed, "AR", found.number[r]),
                found.district[r].tolist(),
                found.priority[r].tolist(),
                times,
                found.hospital[r].tolist(),
                found.cancelled[r].tolist(),
                offset_texts(updated[r]),
                strict=True,
            )
        ]

    return Listing(updated[order], write)


def run_times(setting: Setting, runs: events.Runs) -> tuple[np.ndarray, np.ndarray]:
    """``updated_at`` of each run, and when it can first be seen (ms): late ones are entered under the time they
    ended."""
    last = np.stack([runs.dispatched, runs.arrived, runs.left, runs.hospital_at]).max(axis=0)
    updated = last + 20 * _MINUTE_MS
    is_late = uniform(setting.seed, "run late", runs.number) < LATE_RUN_RATE * setting.dirt
    return updated, updated + is_late * LATE_RUN_DAYS * DAY_MS


def _order(updated: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(wanted)
    return np.asarray(rows[np.argsort(updated[rows], kind="stable")])


def _floor(since_ms: int | None) -> int:
    return -1 if since_ms is None else since_ms


def _text(text: str, is_there: bool) -> str:
    return f'"{text}"' if is_there else "null"
