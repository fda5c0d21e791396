"""What a stretch of calendar has to tell the systems beside the hospitals, and how they keep what is still to come.

Each system writes into the segment's folder and reads what it carried out of the segment before; so a segment that was
never committed leaves nothing behind, and the same days give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from infra.city.options import Options
from infra.city.population import DAY_MS, Identity, People
from infra.city.segment import SegmentWriter
from infra.city.simulation import Columns, World
from infra.city.truth import Truth


@dataclass(frozen=True)
class Lived:
    """The days [before_ms, now_ms) as segment ``number``, written below ``folder``.

    encounters (with ``ordinal``), prescriptions and procedures: as in ``clinical``, spurious stays left out.
    canaries: numbers of the people whose identifiers are planted to be searched for. truth: notes for the answer key.
    """

    folder: Path
    options: Options
    number: int
    before_ms: int
    now_ms: int
    world: World
    identity: Identity
    canaries: np.ndarray
    encounters: Columns
    prescriptions: Columns
    procedures: Columns
    truth: Truth = field(default_factory=Truth)

    @classmethod
    def of(cls, writer: SegmentWriter, world: World, canaries: np.ndarray) -> Lived:
        """What ``writer`` has just written as hospitals' records."""
        real = {name: values[: writer.spurious_from] for name, values in writer.encounters.items()}
        return cls(
            folder=writer.folder,
            options=writer.options,
            number=writer.stretch.number,
            before_ms=max(writer.stretch.before_ms, writer.options.first_day * DAY_MS),
            now_ms=writer.now_ms,
            world=world,
            identity=writer.identity,
            canaries=canaries,
            encounters=real,
            prescriptions=writer.tables["MedicationRequest"],
            procedures=writer.tables["Procedure"],
        )

    @property
    def people(self) -> People:
        return self.world.people

    @property
    def seed(self) -> int:
        return self.options.seed

    @property
    def dirt(self) -> float:
        return self.options.dirt

    @property
    def is_history(self) -> bool:
        return self.number == 0

    @property
    def today(self) -> int:
        """The first day that has not been lived (days since 1970)."""
        return self.now_ms // DAY_MS

    def first_day(self, history_days: int) -> int:
        """First day to tell of: of the history only its last ``history_days``."""
        return max(self.before_ms // DAY_MS, self.today - history_days)

    def rng(self, salt: int) -> np.random.Generator:
        """A random stream of one system's own."""
        return np.random.default_rng([self.seed, salt, self.number])

    def carried(self, system: str) -> Columns:
        """What ``system`` carried out of the segment before; empty at the first."""
        if self.is_history:
            return {}
        with np.load(carry_path(self.folder.parent, self.number - 1, system)) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def carry(self, system: str, arrays: Columns) -> None:
        """Keep arrays for the next segment."""
        path = carry_path(self.folder.parent, self.number, system)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)


def carry_path(segments: Path, number: int, system: str) -> Path:
    return segments / f"{number:05d}" / "carried" / f"{system}.npz"


def chosen(table: Columns, rows: np.ndarray) -> Columns:
    """Some rows of a table, by number or mask."""
    return {name: values[rows] for name, values in table.items()}


def stacked(parts: Sequence[Columns]) -> Columns:
    """The rows of all parts, which have the same columns; parts that are empty dicts count for nothing."""
    full = [part for part in parts if part]
    return {name: np.concatenate([part[name] for part in full]) for name in full[0]}
