"""The systems of the city beside its hospitals, together: what they write of a stretch, and how it reaches the world.

``write`` adds to a segment that is being made; nothing of it is seen. ``publish``, once the segment is committed and at
every start, brings drops, answer key and the chain's database to the city's moment; killed in the middle, the next one
goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.city import drops, people_notes, pharmacies, resources, truth, wearables
from infra.city.habits import HOSPITALS
from infra.city.lived import Lived, carry_path
from infra.city.pharmacies.database import ChainDatabase
from infra.city.resources.staff import canary_families


class Systems:
    """Pharmacies, wearables and hospital resources of the city below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.key = truth.Publisher(root / "answer_key")
        self.chain: ChainDatabase | None = None
        self.say: Callable[[str], None] = lambda _: None

    def write(self, lived: Lived) -> None:
        pharmacies.live(lived)
        wearables.live(lived)
        resources.live(lived)
        people_notes.note(lived)
        lived.truth.save(lived.folder / "truth")

    def publish(self, segments: int, now_ms: int) -> None:
        """Show the world the first ``segments`` segments."""
        drops.publish(self.root, segments, now_ms)
        notes = [self.root / "segments" / f"{n:05d}" / "truth" for n in range(segments)]
        self.key.publish(notes, now_ms)
        self._forget(segments)
        self.fill_chain(segments)

    def canaries(self, seed: int, person: np.ndarray) -> dict[str, list[str]]:
        """Strings of these people and of staff, by kind, that have been served and must not be found elsewhere."""
        table = pq.read_table(self.root / "answer_key" / "identities.parquet")
        mine = table.filter(pc.is_in(table["person_id"], pa.array(person)))
        is_app = pc.equal(mine["source"], wearables.SOURCE)
        return {
            "customer_numbers": mine.filter(pc.invert(is_app))["source_id"].to_pylist(),
            "participant_ids": mine.filter(is_app)["source_id"].to_pylist(),
            "staff_names": [name for habits in HOSPITALS for name in canary_families(habits, seed)],
        }

    def fill_chain(self, segments: int) -> None:
        """Bring the chain's database up to date, if there is one. While it is down the city goes on: the next fill
        takes up what it missed."""
        if self.chain is None:
            return
        try:
            self.chain.fill(self.root / "segments", segments)
        except psycopg.OperationalError as error:
            self.say(f"the pharmacy chain's database was not filled: {str(error).splitlines()[0]}")

    def _forget(self, segments: int) -> None:
        """Remove what earlier segments carried over; the last one's is needed by the next."""
        for number in range(max(0, segments - 3), segments - 1):
            folder = carry_path(self.root / "segments", number, "").parent
            for path in folder.glob("*.npz"):
                path.unlink()
