"""What is said, before it is written: messages with their truth, kept until the order of their times is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import numpy as np

from infra.city.habits import Habits
from infra.city.ids import record_ids
from infra.city.messages.segments import Segments, Visit
from infra.city.messages.voices import VOICES, Voice
from infra.city.messages.writing import Field, Kind, message
from infra.city.population import Identity, People
from infra.city.scribe import record_numbers


class Told(msgspec.Struct, array_like=True):
    """A message that a sender says at ``at_ms``."""

    sender: str
    at_ms: int
    control_id: str
    body: bytes


@dataclass(frozen=True)
class _Draft:
    """A message before it has its control id."""

    voice: Voice
    at_ms: int
    kind: Kind
    segments: list[list[Field]]
    truth: dict[str, Any]
    merge: dict[str, Any] | None = None


def kind_of(type_: str, trigger: str, structure: str = "") -> Kind:
    """The structure is named after the trigger where nothing else is given."""
    return Kind(type_, trigger, structure or f"{type_}_{trigger}")


class Speaker:
    """Of one stretch. ``rng`` is the one stream of all that is told. number: the next numbers of a series. note: into
    the answer key. What is said before ``since_ms`` is not told at all."""

    def __init__(
        self,
        seed: int,
        since_ms: int,
        people: People,
        identity: Identity,
        rng: np.random.Generator,
        number: Callable[[str, int], np.ndarray],
        note: Callable[..., None],
    ) -> None:
        self.seed, self.since_ms, self.rng = seed, since_ms, rng
        self.people, self.identity = people, identity
        self.segments = Segments(seed, people, identity)
        self._number, self._note = number, note
        self._drafts: list[_Draft] = []
        self.record_number = cache(self._record_number)

    def say(
        self,
        voice: Voice,
        at: int,
        kind: Kind,
        segments: list[list[Field]],
        truth: dict[str, Any],
        merge: dict[str, Any] | None = None,
    ) -> None:
        """truth, merge: what the answer key tells of it (see ``answer_key``)."""
        if at >= self.since_ms:
            self._drafts.append(_Draft(voice, at, kind, segments, truth, merge))

    def written(self) -> list[Told]:
        """Everything said, by voice, in the order of its times, numbered and noted."""
        return [told for voice in VOICES for told in self._written(voice)]

    def next_number(self, series: str) -> int:
        """The next number of a series."""
        return int(self._number(series, 1)[0])

    def truth(self, habits: Habits, person: int, number: str) -> dict[str, Any]:
        """Of a message about a person."""
        return {
            "hospital": habits.source,
            "patient_number": number,
            "person_id": person,
            "encounter_id": None,
            "visit_number": None,
            "mark": "",
        }

    def truth_of(self, v: Visit, mark: str) -> dict[str, Any]:
        """Of a message about a visit. mark: what is wrong with it on purpose."""
        (encounter_id,) = record_ids(v.habits, "Encounter", np.array([v.ordinal]), self.seed)
        known = {"encounter_id": encounter_id, "visit_number": v.visit_number, "mark": mark}
        return {**self.truth(v.habits, v.person, v.number), **known}

    def _record_number(self, habits: Habits, person: int) -> str:
        return record_numbers(habits, self.seed, np.array([person]))[0]

    def _written(self, voice: Voice) -> Iterator[Told]:
        """The voice's messages in the order of their times, numbered and noted."""
        drafts = sorted((d for d in self._drafts if d.voice is voice), key=lambda d: d.at_ms)
        numbers = self._number(f"message {voice.name}", len(drafts)).tolist()
        for number, draft in zip(numbers, drafts, strict=True):
            control_id = f"{voice.authority}{number:09d}"
            self._note(
                "messages",
                source=voice.source,
                control_id=control_id,
                type=f"{draft.kind.type}^{draft.kind.trigger}",
                visible_at=draft.at_ms,
                **draft.truth,
            )
            if draft.merge is not None:
                self._note(
                    "message_merges",
                    source=voice.source,
                    control_id=control_id,
                    visible_at=draft.at_ms,
                    **draft.merge,
                )
            body = message(voice, draft.kind, control_id, draft.at_ms, draft.segments)
            yield Told(voice.name, draft.at_ms, control_id, body)
