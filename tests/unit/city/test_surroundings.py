"""The truth around the hospitals: a function of seed and time, plausible, and felt by people as the answer key says."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from infra.city import rhythms
from infra.city.population import NEVER
from infra.city.simulation import World
from infra.city.surroundings import air, events, exposure, readings, traffic, weather
from infra.city.surroundings.clock import DAY_MS, berlin_offset, changes, date_of, day_of, instant
from infra.city.vocabulary import CHRONIC_KEYS, DISTRICTS, EMER, IMP, REASONS, ROUTINE
from tests.unit.city.test_population import key

FIRST, LAST = day_of(2024, 1, 1), day_of(2025, 12, 31)
YEARS = np.arange(FIRST * 24, (LAST + 1) * 24)


def test_local_time_is_that_of_berlin() -> None:
    zone = ZoneInfo("Europe/Berlin")
    hours = np.concatenate([np.arange(h - 3, h + 3) for year in range(2020, 2032) for h in changes(year)])
    offsets = [datetime.fromtimestamp(h * 3600, zone).utcoffset() for h in hours.tolist()]
    assert [o.total_seconds() / 3600 for o in offsets if o] == berlin_offset(hours).tolist()


@pytest.mark.parametrize("text", ["2025-12-31T23:00:00", "yesterday", "2025-13-01", ""])
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError, match=r"no offset|month|isoformat"):
        instant(text)


def test_any_stretch_of_time_is_the_same_however_it_is_asked_for() -> None:
    part = YEARS[5000:5200]
    for of_stretch in (air.at_stations, weather.at_stations, air.fine_particles):
        assert np.array_equal(of_stretch(7, YEARS)[5000:5200], of_stretch(7, part))
    assert np.array_equal(traffic.counts(7, YEARS)[1][5000:5200], traffic.counts(7, part)[1])
    assert not np.array_equal(air.at_stations(7, part), air.at_stations(8, part))
    runs, some = events.ambulance_runs(7, YEARS, 2000), events.ambulance_runs(7, part, 2000)
    inside = np.isin(runs.number // 8, part)
    assert np.array_equal(runs.hospital_at[inside], some.hospital_at)
    whole = exposure.daily(7, FIRST, LAST)
    assert np.allclose(whole.pm2_5[100:110], exposure.daily(7, FIRST + 100, FIRST + 109).pm2_5)


def test_the_weather_has_seasons_days_and_planted_spells() -> None:
    warmth = weather.climate(7, YEARS)["temperature"].reshape(-1, 24)
    months = np.array([date_of(d).month for d in range(FIRST, LAST + 1)])
    monthly = [warmth[months == m].mean() for m in range(1, 13)]
    assert 15 < max(monthly) - min(monthly) < 28
    assert np.argmax(monthly) in (5, 6, 7)
    assert warmth[:, 14].mean() > warmth[:, 4].mean() + 3
    assert np.corrcoef(warmth[:-1, 12], warmth[1:, 12])[0, 1] > 0.8
    planted = weather.spells(7, FIRST, LAST)
    assert {s.kind for s in planted} == {"heat_wave", "cold_spell"}
    usual = {m: warmth[months == m].mean() for m in range(1, 13)}
    for spell in planted:
        days = range(spell.first_day, spell.last_day + 1)
        shift = np.mean([warmth[d - FIRST].mean() - usual[date_of(d).month] for d in days])
        assert shift * spell.shift_cel > 0, spell
        assert abs(shift) > 2.5, spell


def test_the_air_follows_roads_wind_and_cold() -> None:
    values = dict(zip(air.SERIES, air.at_stations(7, YEARS).T, strict=True))
    city, busy = weather.climate(7, YEARS), traffic.rush(YEARS)
    assert np.corrcoef(values["A01", "no2"], busy)[0, 1] > 0.5
    assert values["A01", "no2"].mean() > 1.5 * values["A04", "no2"].mean()
    assert np.corrcoef(values["A05", "pm2_5"], city["wind_speed"])[0, 1] < -0.15
    assert (
        values["A06", "pm2_5"][city["temperature"] < 3].mean()
        > 1.2 * values["A06", "pm2_5"][city["temperature"] > 12].mean()
    )
    assert np.corrcoef(values["A04", "o3"], city["temperature"])[0, 1] > 0.5
    assert all((v > 0).all() for v in values.values())


def test_readings_go_wrong_at_the_stated_rates() -> None:
    rates = readings.Rates()
    truth = np.abs(10 + np.sin(YEARS / 24)[:, None] * np.arange(1, 21)[None])
    made = readings.readings(7, "test", YEARS, truth, np.arange(20), rates, np.ones(20))
    of = {name: (made.fate == n).mean() for n, name in enumerate(readings.FATE_NAMES)}
    for name in ("missing", "null", "sentinel", "spike"):
        assert of[name] == pytest.approx(getattr(rates, name), rel=0.15), name
    assert of["station_down"] == pytest.approx(rates.down * 17 / 24, rel=0.4)
    assert made.is_late.mean() == pytest.approx(rates.late, rel=0.15)
    good = made.fate == readings.GOOD
    assert (made.first != made.final)[good].mean() == pytest.approx(rates.changed, rel=0.15)
    assert np.array_equal(made.final[good], made.truth[good]), "what is validated is true"
    assert (made.first[made.fate == readings.BAD_SPIKE] >= 25_000).all(), (
        "beyond anything that can be measured"
    )
    assert (made.final_at > made.published).all()
    assert ((made.final_at - made.hour * 3_600_000) < readings.LONGEST_DELAY_DAYS * DAY_MS).all()


def test_without_dirt_nothing_goes_wrong() -> None:
    rates = readings.Rates().times(0)
    truth = np.ones((240, 3))
    made = readings.readings(7, "test", YEARS[:240], truth, np.arange(3), rates, np.ones(3))
    assert (made.fate == readings.GOOD).all()
    assert not made.is_late.any()
    assert not made.is_copied.any()
    assert np.array_equal(made.first, made.final)


def test_the_effects_of_exposure_are_recovered_by_a_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poisson regression of daily emergency visits and unplanned admissions on exposures, by Newton's method; without
    pneumonia, which has a season of its own, and divided by the weekday's factor. Visits of outbreaks and accidents,
    which follow no exposure, are left out."""
    monkeypatch.setattr("infra.city.unusual.extra_visits", lambda *_: iter(()))
    seed, days = 5, 1000
    world = World(seed, admission_factor=2.0, day=LAST + 1 - days)
    world.settle(4000)
    ill_before = world.people.has(world.day * DAY_MS)
    encounters, _ = world.live(days)
    lung = ill_before[:, [CHRONIC_KEYS.index(k) for k in ("copd", "asthma")]].any(axis=1)
    unplanned = (encounters["class_"] == EMER) | (
        (encounters["class_"] == IMP) & (encounters["priority"] > ROUTINE + 1)
    )
    is_seasonal = np.array([r.is_respiratory for r in REASONS])[encounters["reason"]]
    unplanned &= ~((encounters["class_"] == IMP) & is_seasonal)
    of_lung = np.isin(encounters["person"], np.flatnonzero(lung)) & unplanned
    first = LAST + 1 - days
    counts = np.bincount(encounters["start"][of_lung] // DAY_MS - first, minlength=days)[:days]
    weekday = np.array([rhythms.acute(day) for day in range(first, LAST + 1)])
    d = exposure.daily(seed, first - 2, LAST)
    pm = sum(w * d.pm2_5.mean(axis=1)[2 - n : 2 - n + days] for n, w in enumerate(exposure.LAGS)) / 10
    cold = np.maximum(exposure.COLD_BELOW - d.mean, 0)
    cold = sum(w * cold[2 - n : 2 - n + days] for n, w in enumerate(exposure.LAGS))
    x = np.stack([np.ones(days), pm, cold, np.arange(days) / days], axis=1)
    beta = np.array([np.log(counts.mean()), 0, 0, 0])
    for _ in range(25):
        mean = weekday * np.exp(x @ beta)
        beta = beta + np.linalg.solve((x.T * mean) @ x, x.T @ (counts - mean))
    spread = np.sqrt(np.diag(np.linalg.inv((x.T * weekday * np.exp(x @ beta)) @ x)))
    expected_pm = exposure.PM_LUNG + 0.3 * exposure.PM_HEART
    assert abs(beta[1] - expected_pm) < 3 * spread[1]
    assert beta[1] > 2 * spread[1], "and it is no accident"
    assert abs(beta[2] - exposure.COLD) < 3 * spread[2]


def test_the_effect_is_centred() -> None:
    world = World(seed=5, admission_factor=1.0, day=FIRST)
    world.settle(2000)
    mean = np.mean([exposure.strain(5, d, world.people).mean() for d in range(FIRST, LAST + 1, 3)])
    assert mean == pytest.approx(1.0, abs=0.02)
    july = [exposure.strain(5, d, world.people) for d in range(day_of(2024, 7, 1), day_of(2024, 8, 30))]
    young_and_well = (world.people.age_years(FIRST) < 60) & (world.people.onset_ms == NEVER).all(axis=1)
    assert all(np.allclose(s[young_and_well], 1.0) for s in july), "who is young and well feels nothing"


def test_the_answer_key_tells_exposures_and_effects(made_home: Path) -> None:
    days = key(made_home, "exposures")
    assert len(days) == 365 * len(DISTRICTS)
    first = exposure.daily(7, day_of(2025, 1, 1), day_of(2025, 1, 1))
    row = next(r for r in days if r["date"] == "2025-01-01" and r["postal_district"] == "C03")
    assert row["pm2_5_ug_m3"] == pytest.approx(float(first.pm2_5[0, 2]), abs=1e-3)
    assert {r["kind"] for r in key(made_home, "spells")} == {"heat_wave", "cold_spell"}
    terms = exposure.published()["terms"]
    assert [t["log_rate"] for t in terms] == [
        exposure.PM_LUNG,
        exposure.PM_HEART,
        exposure.COLD,
        exposure.HEAT,
    ]
    assert (made_home / "city/answer_key/exposure_effects.json").exists()
