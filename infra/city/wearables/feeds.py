"""The platform's records as JSON lines: consents, participants, daily summaries, readings, questionnaires.

A day's summary and readings reach the platform when the device syncs: mostly in the next morning, sometimes days later.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from infra.city.dirt import pick
from infra.city.ids import mix
from infra.city.known_as import known_as
from infra.city.lived import Lived, chosen, stacked
from infra.city.local_time import dates, utc, with_offset
from infra.city.population import DAY_MS, NEVER
from infra.city.simulation import Columns
from infra.city.store import write_segment_file
from infra.city.vocabulary import CHRONIC_KEYS
from infra.city.wearables.health import Course, course, note_declines, trait
from infra.city.wearables.members import (
    HISTORY_DAYS,
    HOUR_MS,
    PURPOSES,
    SOURCE,
    Consents,
    joined_ms,
    participant_ids,
)

FEEDS = ("consents", "participants", "daily", "readings", "questionnaires")
_OF_HEALTH = ("daily", "readings", "questionnaires")
FOLDER = "wearables"
SENT_TWICE_RATE, WRONG_CLOCK_RATE, UNIT_SLIP_RATE, NOT_REVERSED_RATE, INCOMPLETE_RATE = (
    0.004,
    0.003,
    0.004,
    0.02,
    0.05,
)
MG_PER_MMOL, LB_PER_KG = 18.016, 2.2046226
_READINGS = ("blood_pressure", "pulse", "glucose", "weight")
_REVERSED = (3, 4, 6, 7)
_TWICE = np.int64(1) << np.int64(61)


class _Lines:
    """Lines of one feed: their key (a later line of the key replaces the earlier), when they are sent, whose they are
    and the record's name."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.names: list[bytes] = []
        self.columns: list[Columns] = []

    def add(
        self,
        keys: np.ndarray,
        sent: np.ndarray,
        person: np.ndarray,
        lines: Sequence[str],
        names: Sequence[str],
    ) -> None:
        columns = {"keys": keys, "sent": sent, "person": person}
        self.columns.append({name: values.astype(np.int64) for name, values in columns.items()})
        self.lines += [line.encode() for line in lines]
        self.names += [name.encode() for name in names]

    def add_carried(self, carried: Columns, feed: str) -> None:
        """What the segment before left to be sent."""
        if carried:
            self.columns.append({n: carried[f"{feed}.{n}"] for n in ("keys", "sent", "person")})
            self.lines += carried[f"{feed}.lines"].tobytes().split(b"\n")[:-1]
            self.names += carried[f"{feed}.names"].tobytes().split(b"\n")[:-1]


def write_feeds(lived: Lived) -> None:
    """Write the stretch's lines of every feed, and carry those that are sent later."""
    joined = joined_ms(lived)
    consents = Consents(lived, joined)
    first = lived.first_day(HISTORY_DAYS)
    person = np.flatnonzero((joined < lived.now_ms) & (lived.people.dead_ms > first * DAY_MS))
    ids = participant_ids(lived.seed, np.arange(len(joined)))
    how = course(lived, person, first)
    note_declines(lived, person, first)
    made = {name: _Lines() for name in FEEDS}
    carried = lived.carried("feeds")
    for name, lines in made.items():
        lines.add_carried(carried, name)
    _consents(lived, consents, ids, made["consents"])
    _participants(lived, joined, ids, made["participants"])
    rng = lived.rng(32)
    days = _Days(lived, rng, person, first, joined)
    _daily(lived, rng, days, how, ids, made["daily"])
    _readings(lived, rng, days, how, ids, made["readings"])
    _questionnaires(lived, rng, days, how, ids, made["questionnaires"])
    _save(lived, made, consents, ids)


def _save(lived: Lived, made: dict[str, _Lines], consents: Consents, ids: np.ndarray) -> None:
    """Lines sent in the stretch into the segment, the others into what is carried; and which of those sent are of
    people who had not consented to care."""
    kept: Columns = {}
    for feed, lines in made.items():
        t = stacked(lines.columns)
        is_now = t["sent"] < lived.now_ms
        now, later = np.flatnonzero(is_now), np.flatnonzero(~is_now)
        if len(now):
            text = [lines.lines[i] for i in now.tolist()]
            write_segment_file(lived.folder / FOLDER, feed, t["sent"][now], t["keys"][now], text, [])
        if feed in _OF_HEALTH:
            _note_unconsented(
                lived, feed, chosen(t, now), [lines.names[i] for i in now.tolist()], consents, ids
            )
        kept |= {f"{feed}.{name}": values for name, values in chosen(t, later).items()}
        for name, texts in (("lines", lines.lines), ("names", lines.names)):
            waiting = b"".join(texts[i] + b"\n" for i in later.tolist())
            kept[f"{feed}.{name}"] = np.frombuffer(waiting, dtype=np.uint8)
    lived.carry("feeds", kept)


def _note_unconsented(
    lived: Lived, feed: str, t: Columns, names: list[bytes], consents: Consents, ids: np.ndarray
) -> None:
    why = consents.lacking(t["person"], t["sent"])
    rows = np.flatnonzero(why > 0)
    lived.truth.add(
        "unconsented",
        source=SOURCE,
        table=feed,
        record_id=[names[i].decode() for i in rows.tolist()],
        participant_id=ids[t["person"][rows]],
        reason=np.array(["", "withdrawn", "never"], dtype=object)[why[rows]],
        sent_at=t["sent"][rows],
        visible_at=t["sent"][rows],
    )


def _consents(lived: Lived, consents: Consents, ids: np.ndarray, into: _Lines) -> None:
    """A line for each person and purpose that changed in the stretch, as it is now."""
    earliest = 0 if lived.is_history else lived.before_ms
    person, purpose = np.nonzero((consents.updated_ms < NEVER) & (consents.updated_ms >= earliest))
    given, withdrawn = consents.given_ms[person, purpose], consents.withdrawn_ms[person, purpose]
    updated = consents.updated_ms[person, purpose]
    rows = zip(
        ids[person].tolist(),
        [PURPOSES[p] for p in purpose.tolist()],
        _maybe(given),
        _maybe(withdrawn),
        utc(updated),
        strict=True,
    )
    lines = [
        f'{{"participant_id":"{i}","purpose":"{p}","given_at":{g},"withdrawn_at":{w},"updated_at":"{u}"}}'
        for i, p, g, w, u in rows
    ]
    into.add(person * len(PURPOSES) + purpose, updated, person, lines, ids[person].tolist())
    e = {name: values[consents.old :] for name, values in consents.events.items()}
    lived.truth.add(
        "consents",
        participant_id=ids[e["person"]],
        person_id=e["person"],
        purpose=np.array(PURPOSES, dtype=object)[e["purpose"]],
        is_given=e["is_given"] == 1,
        at=e["at"],
        visible_at=e["at"],
    )


def _maybe(ms: np.ndarray) -> list[str]:
    """JSON of instants, null for NEVER."""
    texts = utc(np.where(ms < NEVER, ms, 0))
    return [f'"{t}"' if there else "null" for t, there in zip(texts, (ms < NEVER).tolist(), strict=True)]


def _participants(lived: Lived, joined: np.ndarray, ids: np.ndarray, into: _Lines) -> None:
    """Those who joined in the stretch, and those who moved."""
    people, (who, every_birth) = lived.people, known_as(lived, SOURCE)
    before = lived.carried("moves").get("moves", np.zeros(0, dtype=np.int64))
    lived.carry("moves", {"moves": people.moves})
    moved = np.zeros(len(joined), dtype=bool)
    moved[: len(before)] = people.moves[: len(before)] != before
    is_new = (joined >= (0 if lived.is_history else lived.before_ms)) & (joined < lived.now_ms)
    person = np.flatnonzero(is_new | (moved & (joined < lived.before_ms)))
    updated = np.where(is_new[person], joined[person], lived.now_ms - 3 * HOUR_MS + person * 100 % HOUR_MS)
    births = [every_birth[n] for n in person.tolist()]
    rows = zip(ids[person].tolist(), births, utc(joined[person]), utc(updated), person.tolist(), strict=True)
    lines = [
        f'{{"participant_id":"{i}","given_name":"{who.given[n]}","family_name":"{who.family[n]}","birth_date":"{b}",'
        f'"email":"{who.email[n]}","phone":"{who.phone[n]}","joined_at":"{j}","updated_at":"{u}"}}'
        for i, b, j, u, n in rows
    ]
    into.add(person, updated, person, lines, ids[person].tolist())
    new = np.flatnonzero(is_new)
    lived.truth.add("identities", person_id=new, source=SOURCE, source_id=ids[new], visible_at=joined[new])


class _Days:
    """The person-days of the stretch: ``row`` of ``person``, ``day`` (index into ``days``), and when each syncs (ms).
    Nobody syncs before joining or after death."""

    def __init__(
        self, lived: Lived, rng: np.random.Generator, person: np.ndarray, first: int, joined: np.ndarray
    ) -> None:
        days = np.arange(first, lived.today)
        is_in = (days + 1) * DAY_MS > joined[person][:, None]
        is_in &= (days + 1) * DAY_MS <= lived.people.dead_ms[person][:, None]
        wears = 0.97 - 0.12 * (trait(lived.seed, 83, person) > 1)
        is_in &= rng.random(is_in.shape) < wears[:, None]
        self.row, self.day = np.nonzero(is_in)
        self.person, self.date = person[self.row], days[self.day]
        count = len(self.row)
        delay = np.where(rng.random(count) < 0.86, 0, rng.geometric(0.45, count))
        delay = np.where(rng.random(count) < 0.02, rng.integers(5, 12, count), delay)
        self.sync = (self.date + 1 + np.minimum(delay, 12)) * DAY_MS + rng.integers(
            5 * 60_000, 9 * HOUR_MS, count
        )


def _daily(
    lived: Lived,
    rng: np.random.Generator,
    days: _Days,
    how: Course,
    ids: np.ndarray,
    into: _Lines,
) -> None:
    """One line per person and day."""
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
    _send(lived, rng, "daily", keys, days.sync, lines, names, who, into)


def _readings(
    lived: Lived,
    rng: np.random.Generator,
    days: _Days,
    how: Course,
    ids: np.ndarray,
    into: _Lines,
) -> None:
    """Home measurements: who has which device is a trait; the ill measure more often."""
    seed, people, who = lived.seed, lived.people, days.person
    decline, ward = how.decline[days.row, days.day], how.ward[days.row, days.day]
    ill = people.has(lived.now_ms)[who]
    failing, diabetes, pressure = (
        ill[:, CHRONIC_KEYS.index(k)] for k in ("heart_failure", "diabetes", "hypertension")
    )
    has_cuff = trait(seed, 87, who) > np.where(pressure | failing, -0.8, 1.1)
    has_scales = trait(seed, 88, who) > np.where(failing, -1.2, 0.6)
    chance = {
        "blood_pressure": np.where(has_cuff, np.where(pressure | failing, 0.6, 0.15), 0.0),
        "glucose": np.where(diabetes, 0.75, 0.0),
        "weight": np.where(has_scales, np.where(failing, 0.8, 0.3), 0.0),
    }
    parts: list[Columns] = []
    for kind in ("blood_pressure", "glucose", "weight"):
        rows = np.flatnonzero(~ward & (rng.random(len(who)) < chance[kind]))
        p, g = who[rows], decline[rows]
        that_day = days.date[rows] * DAY_MS
        first, second = np.zeros(len(rows)), np.zeros(len(rows))
        if kind == "blood_pressure":
            first = people.usual_systolic(p, that_day) + 9 * g * failing[rows] + rng.normal(0, 7, len(rows))
            second = first * 0.6 + rng.normal(6, 4, len(rows))
        elif kind == "glucose":
            first = np.clip(
                people.usual_glucose(p, that_day) + 25 * g + rng.normal(0, 24, len(rows)), 40, 500
            )
        else:
            first = (
                people.usual_weight(p, that_day)
                + np.where(failing[rows], 3.8, 0.2) * g
                + rng.normal(0, 0.5, len(rows))
            )
        at = that_day + rng.integers(6 * HOUR_MS, 20 * HOUR_MS, len(rows))
        parts.append(_reading_rows(_READINGS.index(kind), rows, at, first, second))
        if kind == "blood_pressure":
            beats = 70 - 3 * trait(seed, 84, p) + 11 * g + rng.normal(0, 5, len(rows))
            parts.append(_reading_rows(_READINGS.index("pulse"), rows, at + 1000, beats, second))
    t = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    _reading_lines(lived, rng, t, days, ids, into)


def _reading_rows(
    kind: int, rows: np.ndarray, at: np.ndarray, first: np.ndarray, second: np.ndarray
) -> Columns:
    return {"kind": np.full(len(rows), kind), "row": rows, "at": at, "first": first, "second": second}


def _reading_lines(
    lived: Lived,
    rng: np.random.Generator,
    t: Columns,
    days: _Days,
    ids: np.ndarray,
    into: _Lines,
) -> None:
    """Lines of readings, in the unit of the device or the user's locale; some with a wrong unit or a wrong clock."""
    seed, who, sync = lived.seed, days.person[t["row"]], days.sync[t["row"]]
    kind, count = t["kind"], len(t["kind"])
    in_mmol = (kind == 2) & (trait(seed, 89, who) > 0.25)
    in_lb = (kind == 3) & (trait(seed, 90, who) > 1.0)
    slips = np.zeros(count, dtype=bool)
    slips[pick(rng, np.flatnonzero((kind == 2) | (kind == 3)), UNIT_SLIP_RATE * lived.dirt)] = True
    value = np.where(in_mmol != (slips & (kind == 2)), t["first"] / MG_PER_MMOL, t["first"])
    value = np.where(in_lb != (slips & (kind == 3)), t["first"] * LB_PER_KG, value)
    decimals = np.where(kind == 3, 1, np.where((kind == 2) & (value < 40), 1, 0))
    units = np.select(
        [kind == 0, kind == 1, in_mmol, kind == 2, in_lb], ["mmHg", "/min", "mmol/L", "mg/dL", "lb"], "kg"
    )
    at = t["at"]
    is_off = np.zeros(count, dtype=bool)
    is_off[pick(rng, np.arange(count), WRONG_CLOCK_RATE * lived.dirt)] = True
    wrong = np.where(rng.random(count) < 0.5, at % (30 * DAY_MS), at + 365 * DAY_MS)
    shown = np.where(is_off, wrong, at)
    reading = _marks(0x4EAD, seed, who, t["at"] * 4 + kind)
    lines = []
    texts = zip(
        ids[who].tolist(),
        reading,
        kind.tolist(),
        value.tolist(),
        t["second"].tolist(),
        decimals.tolist(),
        units.tolist(),
        with_offset(shown),
        utc(sync),
        strict=True,
    )
    for i, r, k, v, w, d, unit, a, u in texts:
        numbers = f'"systolic":{v:.0f},"diastolic":{w:.0f}' if k == 0 else f'"value":{v:.{d}f}'
        lines.append(
            f'{{"reading_id":"{r}","participant_id":"{i}","kind":"{_READINGS[k]}",{numbers},"unit":"{unit}",'
            f'"device":"{_DEVICES[k]}","measured_at":"{a}","updated_at":"{u}"}}'
        )
    for n in np.flatnonzero(slips).tolist():
        unit = units[n]
        true = _in_unit(float(t["first"][n]), unit)
        served = f"{value[n]:.{decimals[n]}f} {unit}"
        lived.truth.plant(SOURCE, "readings", reading[n], "unit_slip", int(sync[n]), served, f"{true} {unit}")
    for n, true in zip(np.flatnonzero(is_off).tolist(), with_offset(at[is_off]), strict=True):
        lived.truth.plant(
            SOURCE,
            "readings",
            reading[n],
            "wrong_clock",
            int(sync[n]),
            with_offset(shown[n : n + 1])[0],
            true,
        )
    keys = (mix((who.astype(np.uint64) << np.uint64(44)) ^ (t["at"] * 4 + kind).astype(np.uint64))).astype(
        np.int64
    )
    _send(lived, rng, "readings", keys & (_TWICE - 1), sync, lines, reading, who, into)


def _in_unit(value: float, unit: str) -> str:
    """A glucose in mg/dL or weight in kg as it should have been written in the unit."""
    if unit == "mmol/L":
        return f"{value / MG_PER_MMOL:.1f}"
    if unit == "lb":
        return f"{value * LB_PER_KG:.1f}"
    return f"{value:.0f}" if unit == "mg/dL" else f"{value:.1f}"


_DEVICES = ("cuff", "cuff", "glucose meter", "scales")


def _questionnaires(
    lived: Lived,
    rng: np.random.Generator,
    days: _Days,
    how: Course,
    ids: np.ndarray,
    into: _Lines,
) -> None:
    """PSS-10 (ten items of 0 to 4; 4, 5, 7 and 8 count backwards) and PHQ-9 (nine items of 0 to 3), about monthly."""
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
        marks = _marks(0x0F0A, seed, p, days.date[rows] * 2 + (kind == "PHQ-9"))
        texts = zip(
            ids[p].tolist(), marks, shown.tolist(), is_left.tolist(), sums.tolist(), with_offset(answered),
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
                SOURCE, "questionnaires", marks[n], "incomplete", int(days.sync[rows[n]]), int(sums[n])
            )
        for n in np.flatnonzero(naive).tolist():
            lived.truth.plant(
                SOURCE,
                "questionnaires",
                marks[n],
                "not_reversed",
                int(days.sync[rows[n]]),
                int(sums[n]),
                int(totals[n]),
            )
        names += marks
        chosen_rows.append(rows)
    rows = np.concatenate(chosen_rows)
    keys = who[rows] * 1_000_000 + days.date[rows]
    _send(lived, rng, "questionnaires", keys, days.sync[rows], lines, names, who[rows], into)


def _marks(salt: int, seed: int, person: np.ndarray, number: np.ndarray) -> list[str]:
    """An id for each of a person's records."""
    mixed = mix(mix(person.astype(np.uint64) ^ np.uint64(salt << 32 | seed)) ^ number.astype(np.uint64))
    return [f"{m:016x}" for m in mixed.tolist()]


def _send(
    lived: Lived,
    rng: np.random.Generator,
    table: str,
    keys: np.ndarray,
    sent: np.ndarray,
    lines: list[str],
    names: list[str],
    person: np.ndarray,
    into: _Lines,
) -> None:
    """The lines, some of them twice."""
    into.add(keys, sent, person, lines, names)
    twice = pick(rng, np.arange(len(lines)), SENT_TWICE_RATE * lived.dirt)
    again = [lines[i] for i in twice.tolist()], [names[i] for i in twice.tolist()]
    into.add(keys[twice] | _TWICE, sent[twice], person[twice], *again)
    for row in twice.tolist():
        lived.truth.plant(SOURCE, table, names[row], "sent_twice", int(sent[row]))
