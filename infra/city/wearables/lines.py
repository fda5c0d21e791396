"""Lines of a feed as they are written: with their key, when they are sent, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from infra.city.dirt import pick
from infra.city.ids import mix
from infra.city.lived import Lived
from infra.city.simulation import Columns
from infra.city.wearables.members import SOURCE

SENT_TWICE_RATE = 0.004
TWICE = np.int64(1) << np.int64(61)
"""In the key of a line that is sent a second time."""


class Lines:
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


def marks(salt: int, seed: int, person: np.ndarray, number: np.ndarray) -> list[str]:
    """An id for each of a person's records."""
    mixed = mix(mix(person.astype(np.uint64) ^ np.uint64(salt << 32 | seed)) ^ number.astype(np.uint64))
    return [f"{m:016x}" for m in mixed.tolist()]


def send(
    lived: Lived,
    rng: np.random.Generator,
    table: str,
    keys: np.ndarray,
    sent: np.ndarray,
    lines: list[str],
    names: list[str],
    person: np.ndarray,
    into: Lines,
) -> None:
    """The lines, some of them twice."""
    into.add(keys, sent, person, lines, names)
    twice = pick(rng, np.arange(len(lines)), SENT_TWICE_RATE * lived.dirt)
    again = [lines[i] for i in twice.tolist()], [names[i] for i in twice.tolist()]
    into.add(keys[twice] | TWICE, sent[twice], person[twice], *again)
    for row in twice.tolist():
        lived.truth.plant(SOURCE, table, names[row], "sent_twice", int(sent[row]))
