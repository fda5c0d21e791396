"""Answered forms: perceived stress (PSS-10) and depression (PHQ-9)."""

from __future__ import annotations

import numpy as np

from infra.city.dirt import pick
from infra.city.local_time import utc, with_offset
from infra.city.population import DAY_MS
from infra.city.vocabulary import CHRONIC_KEYS
from infra.city.wearables.health import trait
from infra.city.wearables.lines import Lines, marks, send
from infra.city.wearables.members import HOUR_MS, SOURCE
from infra.city.wearables.stretch import Stretch

NOT_REVERSED_RATE, INCOMPLETE_RATE = 0.02, 0.05
_REVERSED = (3, 4, 6, 7)


def add_questionnaires(of: Stretch, into: Lines) -> None:
    """PSS-10 (ten items of 0 to 4; 4, 5, 7 and 8 count backwards) and PHQ-9 (nine items of 0 to 3), about monthly."""
    lived, rng, days, how, ids = of.lived, of.rng, of.days, of.how, of.ids
    seed, who = lived.seed, days.person
    asked = (days.date + who) % 28
    names: list[str] = []
    lines: list[str] = []
    chosen_rows: list[np.ndarray] = []
    low = lived.people.has(lived.now_ms)[:, CHRONIC_KEYS.index("depression")]
    for kind, items, top, day in (("PSS-10", 10, 4, 3), ("PHQ-9", 9, 3, 17)):
        rows = np.flatnonzero((asked == day) & (rng.random(len(who)) < 0.7))
        p = who[rows]
        burden = 0.9 * low[p] + 0.25 * trait(seed, 91, p) + 0.5 * how.decline[days.row[rows], days.day[rows]]
        share = np.clip((0.36 if kind == "PSS-10" else 0.14) + 0.25 * burden, 0.02, 0.97)
        points = rng.binomial(top, share[:, None], (len(rows), items))
        shown = points.copy()
        if kind == "PSS-10":
            shown[:, _REVERSED] = top - points[:, _REVERSED]
        is_left = np.zeros(shown.shape, dtype=bool)
        incomplete = pick(rng, np.arange(len(rows)), INCOMPLETE_RATE * lived.dirt)
        is_left[incomplete, rng.integers(0, items, len(incomplete))] = True
        totals = np.where(is_left, 0, points).sum(axis=1)
        naive = np.zeros(len(rows), dtype=bool)
        if kind == "PSS-10":
            naive[
                pick(rng, np.setdiff1d(np.arange(len(rows)), incomplete), NOT_REVERSED_RATE * lived.dirt)
            ] = True
        sums = np.where(naive, shown.sum(axis=1), totals)
        answered = days.date[rows] * DAY_MS + rng.integers(8 * HOUR_MS, 21 * HOUR_MS, len(rows))
        responses = marks(0x0F0A, seed, p, days.date[rows] * 2 + (kind == "PHQ-9"))
        texts = zip(
            ids[p].tolist(), responses, shown.tolist(), is_left.tolist(), sums.tolist(), with_offset(answered),
            utc(days.sync[rows]), strict=True,
        )  # fmt: skip
        for i, m, answers, left, total, a, u in texts:
            said = ",".join(
                f'"item_{n}":{"null" if gone else answer}'
                for n, (answer, gone) in enumerate(zip(answers, left, strict=True), 1)
            )
            lines.append(
                f'{{"response_id":"{m}","participant_id":"{i}","kind":"{kind}",{said},"total":{total},'
                f'"answered_at":"{a}","updated_at":"{u}"}}'
            )
        for n in incomplete.tolist():
            lived.truth.plant(
                SOURCE, "questionnaires", responses[n], "incomplete", int(days.sync[rows[n]]), int(sums[n])
            )
        for n in np.flatnonzero(naive).tolist():
            lived.truth.plant(
                SOURCE,
                "questionnaires",
                responses[n],
                "not_reversed",
                int(days.sync[rows[n]]),
                int(sums[n]),
                int(totals[n]),
            )
        names += responses
        chosen_rows.append(rows)
    rows = np.concatenate(chosen_rows)
    keys = who[rows] * 1_000_000 + days.date[rows]
    send(lived, rng, "questionnaires", keys, days.sync[rows], lines, names, who[rows], into)
