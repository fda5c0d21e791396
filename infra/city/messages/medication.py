"""What hospitals say of medicines: prescribed (RDE) and handed out (RDS)."""

from __future__ import annotations

import numpy as np

from infra.city.messages.segments import MINUTE_MS, Visit
from infra.city.messages.speaker import Speaker
from infra.city.messages.writing import Field, Kind, stamp
from infra.city.population import DAY_MS
from infra.city.simulation import Columns
from infra.city.vocabulary import IMP, MEDICATIONS

HOUR_MS = 3_600_000
DISPENSED_SHARE = 0.7


class Medication:
    """Says what is told of prescriptions."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker, self._rng = speaker, speaker.rng

    def prescriptions(self, visits: dict[int, Visit], t: Columns) -> None:
        """Prescriptions of stays, most of them dispensed by the hospital's pharmacy some hours later."""
        rows = np.flatnonzero(np.isin(t["encounter"], list(visits)) & (t["at"] >= self._speaker.since_ms))
        for row in rows.tolist():
            v = visits[int(t["encounter"][row])]
            if v.class_ != IMP:
                continue
            voice, at = v.voice, int(t["at"][row])
            code, words = MEDICATIONS[int(t["medication"][row])]
            number = [f"{v.habits.name[0].upper()}R{int(t['ordinal'][row]):09d}", voice.authority]
            drug, unit = [code, words, "ATC"], ["mg", "", "UCUM"]
            dose = int(self._rng.choice([5, 10, 20, 40, 500]))
            timing = ["1", "BID", "D7", stamp(voice, at), stamp(voice, at + 7 * DAY_MS)]
            order: list[Field] = ["ORC", "NW", number, "", "", "IP", *[""] * 3, stamp(voice, at)]
            given: list[Field] = [
                "RXE",
                timing,
                drug,
                dose,
                "",
                unit,
                ["TAB", "Tablet", "L"],
                *[""] * 3,
                14,
                ["TAB"],
                0,
            ]
            route: list[Field] = ["RXR", ["PO", "By mouth", "HL70162"]]
            about = [
                self._speaker.segments.patient(voice, v.habits, v.person, v.number, at),
                self._speaker.segments.visit(v, "O11", None, None),
            ]
            prescribed = Kind("RDE", "O01" if voice.is_old else "O11", "RDE_O11")
            told = at + MINUTE_MS
            self._speaker.say(
                voice, told, prescribed, [*about, order, given, route], self._speaker.truth_of(v, "")
            )
            if self._rng.random() < DISPENSED_SHARE:
                handed = at + int(self._rng.uniform(1, 6) * HOUR_MS)
                filled = [f"D{number[0]}", voice.application]
                order = ["ORC", "RE", number, filled]
                out: list[Field] = ["RXD", 1, drug, stamp(voice, handed), 14, ["TAB"], "", number[0], 0]
                dispensed = Kind("RDS", "O01" if voice.is_old else "O13", "RDS_O13")
                self._speaker.say(
                    voice, handed, dispensed, [*about, order, out, route], self._speaker.truth_of(v, "")
                )
