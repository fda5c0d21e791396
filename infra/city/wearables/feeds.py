"""The platform's feeds as JSON lines: what is sent by the end of a stretch is written, the rest carried to the next."""

from __future__ import annotations

import numpy as np

from infra.city.lived import Lived, chosen, stacked
from infra.city.population import DAY_MS
from infra.city.simulation import Columns
from infra.city.store import write_segment_file
from infra.city.wearables.consents import add_consents
from infra.city.wearables.daily import add_daily
from infra.city.wearables.days import Days
from infra.city.wearables.health import course, note_declines
from infra.city.wearables.lines import Lines
from infra.city.wearables.members import HISTORY_DAYS, SOURCE, Consents, joined_ms, participant_ids
from infra.city.wearables.participants import add_participants
from infra.city.wearables.questionnaires import add_questionnaires
from infra.city.wearables.readings import add_readings
from infra.city.wearables.stretch import Stretch

FEEDS = ("consents", "participants", "daily", "readings", "questionnaires")
_OF_HEALTH = ("daily", "readings", "questionnaires")
FOLDER = "wearables"


def write_feeds(lived: Lived) -> None:
    """Write the stretch's lines of every feed, and carry those that are sent later."""
    joined = joined_ms(lived)
    consents = Consents(lived, joined)
    first = lived.first_day(HISTORY_DAYS)
    person = np.flatnonzero((joined < lived.now_ms) & (lived.people.dead_ms > first * DAY_MS))
    ids = participant_ids(lived.seed, np.arange(len(joined)))
    how = course(lived, person, first)
    note_declines(lived, person, first)
    made = {name: Lines() for name in FEEDS}
    carried = lived.carried("feeds")
    for name, lines in made.items():
        lines.add_carried(carried, name)
    add_consents(lived, consents, ids, made["consents"])
    add_participants(lived, joined, ids, made["participants"])
    rng = lived.rng(32)
    days = Days(lived, rng, person, first, joined)
    stretch = Stretch(lived, rng, days, how, ids)
    add_daily(stretch, made["daily"])
    add_readings(stretch, made["readings"])
    add_questionnaires(stretch, made["questionnaires"])
    _save(lived, made, consents, ids)


def _save(lived: Lived, made: dict[str, Lines], consents: Consents, ids: np.ndarray) -> None:
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
