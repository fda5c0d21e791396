"""A day in one line: steps, pulse, sleep, food, exercise."""

from __future__ import annotations

import numpy as np

from infra.city.local_time import dates, utc
from infra.city.vocabulary import CHRONIC_KEYS
from infra.city.wearables.health import trait
from infra.city.wearables.lines import Lines, send
from infra.city.wearables.stretch import Stretch


def add_daily(of: Stretch, into: Lines) -> None:
    """One line per person and day."""
    lived, rng, days, how, ids = of.lived, of.rng, of.days, of.how, of.ids
    seed, people, who = lived.seed, lived.people, days.person
    decline, ward, recovery = (a[days.row, days.day] for a in (how.decline, how.ward, how.recovery))
    count = len(who)
    ill = people.has(lived.now_ms)[who]
    failing, lung, low = (ill[:, CHRONIC_KEYS.index(k)] for k in ("heart_failure", "copd", "depression"))
    age = (days.date - people.birth_day[who]) / 365.25
    fit = trait(seed, 84, who)
    usual = 8200 - 70 * np.maximum(age - 45, 0) + 1500 * fit - 1800 * failing - 1500 * lung - 700 * low
    steps = np.clip(usual, 900, None) * np.exp(rng.normal(0, 0.28, count))
    steps *= (1 - 0.55 * decline) * (1 - 0.5 * recovery) * np.where(ward, 0.06, 1.0)
    pulse = 64 - 3 * fit + 4 * failing + 0.05 * np.maximum(age - 50, 0) + rng.normal(0, 2, count)
    pulse += 11 * decline + 7 * ward + 4 * recovery
    sleep = 430 - 25 * low + 20 * trait(seed, 85, who) + rng.normal(0, 45, count) - 70 * decline - 60 * ward
    servings = np.clip(rng.poisson(np.clip(3.2 + 0.9 * trait(seed, 86, who), 0.3, None)), 0, 12)
    score = np.clip(52 + 9 * trait(seed, 86, who) + 4 * (servings - 3) + rng.normal(0, 5, count), 0, 100)
    active = np.clip(steps / 220 * np.exp(rng.normal(0, 0.2, count)), 0, 600)
    sessions = np.where(ward, 0, rng.poisson(np.clip(0.3 + 0.15 * fit, 0.02, None) * (1 - decline)))
    minutes = sessions * rng.integers(15, 60, count)
    texts = utc(days.sync)
    rows = zip(
        ids[who].tolist(),
        dates(days.date),
        steps.astype(np.int64).tolist(),
        np.clip(pulse, 38, 150).round().astype(np.int64).tolist(),
        active.astype(np.int64).tolist(),
        np.clip(sleep, 0, 900).astype(np.int64).tolist(),
        score.astype(np.int64).tolist(),
        servings.tolist(),
        sessions.tolist(),
        minutes.tolist(),
        texts,
        strict=True,
    )
    lines = [
        f'{{"participant_id":"{i}","date":"{d}","steps":{s},"resting_heart_rate":{h},"active_minutes":{a},'
        f'"sleep_minutes":{z},"diet_score":{q},"fruit_vegetable_servings":{f},"exercise_sessions":{n},'
        f'"exercise_minutes":{m},"updated_at":"{u}"}}'
        for i, d, s, h, a, z, q, f, n, m, u in rows
    ]
    names = [f"{i}/{d}" for i, d in zip(ids[who].tolist(), dates(days.date), strict=True)]
    keys = who * 1_000_000 + days.date
    send(lived, rng, "daily", keys, days.sync, lines, names, who, into)
