"""Who takes part, under which name, and where to reach them."""

from __future__ import annotations

import numpy as np

from infra.city.known_as import known_as
from infra.city.lived import Lived
from infra.city.local_time import utc
from infra.city.wearables.lines import Lines
from infra.city.wearables.members import HOUR_MS, SOURCE


def add_participants(lived: Lived, joined: np.ndarray, ids: np.ndarray, into: Lines) -> None:
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
