"""What hospitals say of visits: appointments (SIU), admissions, moves, discharges, and what they take back (ADT)."""

from __future__ import annotations

from infra.city.messages.segments import MINUTE_MS, Visit, diagnosis, event, reason_of
from infra.city.messages.speaker import Speaker, kind_of
from infra.city.messages.writing import NULL, Field, Kind, stamp
from infra.city.population import DAY_MS
from infra.city.vocabulary import AMB, ELECTIVE, WARDS

HOUR_MS = 3_600_000
BOOKED_SHARE, UPDATED_SHARE, MOVED_SHARE = 0.3, 0.35, 0.25
EARLY_DISCHARGE_SHARE = 0.03


class Visits:
    """Says what is told of each visit."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker, self._rng = speaker, speaker.rng

    def stay(self, v: Visit) -> None:
        """A stay: booked where it was planned, admitted, sometimes moved or updated, discharged."""
        rng, length = self._rng, v.end - v.start
        if v.priority == ELECTIVE:
            booked = self._early(v.start)
            self._book(v, booked, "S12", "Booked", "ADMISSION")
            self._adt(v, "A05", booked + MINUTE_MS, structure="ADT_A05")
        self._adt(v, "A01", v.start + int(rng.integers(1, 15)) * MINUTE_MS)
        if rng.random() < MOVED_SHARE:
            self._adt(v, "A02", v.start + length // 3, moved_from=WARDS[0], structure="ADT_A02")
        if rng.random() < UPDATED_SHARE:
            self._adt(v, "A08", v.start + length // 2 + 5 * MINUTE_MS, is_diagnosed=True)
        if rng.random() < EARLY_DISCHARGE_SHARE:
            early = v.end - min(5 * HOUR_MS, length // 3)
            self._adt(v, "A03", early, discharged=early, structure="ADT_A03", mark="mistaken")
            self._adt(v, "A13", early + 40 * MINUTE_MS, is_null_discharge=True, mark="cancels")
        told = v.end + int(rng.integers(1, 20)) * MINUTE_MS
        self._adt(v, "A03", told, discharged=v.end, is_diagnosed=True, structure="ADT_A03")

    def call(self, v: Visit) -> None:
        """An emergency visit, or one to the clinic, of which some are booked and few are told to be over."""
        rng = self._rng
        if v.class_ == AMB:
            if rng.random() < BOOKED_SHARE:
                booked = self._early(v.start)
                self._book(v, booked, "S12", "Booked", "CLINIC")
                if rng.random() < 0.2:
                    self._book(v, booked + HOUR_MS // 2, "S14", "Booked", "CLINIC")
            self._adt(v, "A04", v.start + int(rng.integers(0, 4)) * MINUTE_MS)
            if rng.random() < 0.05:
                self._missed(v)
            return
        self._adt(v, "A04", v.start + int(rng.integers(1, 6)) * MINUTE_MS)
        if rng.random() < UPDATED_SHARE:
            self._adt(v, "A08", v.start + (v.end - v.start) // 2, is_diagnosed=True)
        told = v.end + int(rng.integers(1, 20)) * MINUTE_MS
        self._adt(v, "A03", told, discharged=v.end, is_diagnosed=True, structure="ADT_A03")

    def spurious(self, v: Visit, kind: str) -> None:
        """A stay that never was: booked, or admitted and cancelled, as its FHIR resource is withdrawn."""
        if kind in ("planned", "cancelled"):
            booked = v.start - DAY_MS
            self._book(v, booked, "S12", "Booked", "ADMISSION")
            self._adt(v, "A05", booked + MINUTE_MS, structure="ADT_A05", mark="mistaken")
            if kind == "cancelled":
                self._book(v, booked + 6 * HOUR_MS, "S15", "Cancelled", "ADMISSION")
            return
        self._adt(v, "A01", v.start + 5 * MINUTE_MS, mark="mistaken")
        withdrawn = v.end + (1 if kind == "entered-in-error" else 3) * DAY_MS
        self._adt(v, "A11", withdrawn, structure="ADT_A09", mark="cancels")

    def _missed(self, v: Visit) -> None:
        """An appointment later that day, which nobody came to."""
        count = self._speaker.next_number("missed appointment")
        name = f"M{count:08d}"
        self._book(v, self._early(v.start) + 2 * MINUTE_MS, "S12", "Booked", "CLINIC", name)
        trigger, status = (("S26", "Noshow"), ("S15", "Cancelled"), ("S17", "Deleted"))[count % 3]
        self._book(v, v.start + 3 * HOUR_MS, trigger, status, "CLINIC", name)

    def _early(self, start: int) -> int:
        """When a visit of the day was booked at the latest: in the night before it."""
        return start - start % DAY_MS + int(self._rng.integers(1, 240)) * MINUTE_MS

    def _adt(
        self,
        v: Visit,
        trigger: str,
        at: int,
        *,
        structure: str = "ADT_A01",
        moved_from: str | None = None,
        discharged: int | None = None,
        is_diagnosed: bool = False,
        is_null_discharge: bool = False,
        mark: str = "",
    ) -> None:
        voice = v.voice
        segments = [
            event(voice, trigger, at),
            self._speaker.segments.patient(voice, v.habits, v.person, v.number, at),
            self._speaker.segments.visit(v, trigger, moved_from, NULL if is_null_discharge else discharged),
        ]
        if trigger == "A05":
            segments.append(["PV2", "", "", reason_of(v), *[""] * 4, stamp(voice, v.start)])
        if is_diagnosed:
            segments.append(diagnosis(v))
        if voice.has_z_segment:
            segments.append(["ZNG", 1, f"{v.class_}-{v.ward}", "house use"])
        self._speaker.say(
            voice, at, kind_of("ADT", trigger, structure), segments, self._speaker.truth_of(v, mark)
        )

    def _book(self, v: Visit, at: int, trigger: str, status: str, type_: str, name: str = "") -> None:
        voice, appointment = v.voice, name or f"A{v.visit_number}"
        minutes = 15 if v.class_ == AMB else 60
        starts = v.start - v.start % (5 * MINUTE_MS)
        when = ["", "", "", stamp(voice, starts), stamp(voice, starts + minutes * MINUTE_MS)]
        schedule: list[Field] = [
            "SCH",
            [appointment, voice.authority],
            [appointment, voice.application],
            *[""] * 3,
            [type_, type_.title(), "L"],
            reason_of(v),
            [type_, type_.title(), "L"],
            minutes,
            "min",
            when,
            *[""] * 13,
            status,
        ]
        unit = WARDS[v.ward].upper()
        segments = [
            schedule,
            self._speaker.segments.patient(voice, v.habits, v.person, v.number, at),
            self._speaker.segments.visit(v, "S12", None, None),
            ["RGS", 1],
            ["AIL", 1, "", [unit, "", "", voice.authority]],
        ]
        truth = self._speaker.truth_of(v, "")
        if name:
            truth.update(encounter_id=None, visit_number=None)
            segments.pop(2)
        self._speaker.say(voice, at, Kind("SIU", trigger, "SIU_S12"), segments, truth)
