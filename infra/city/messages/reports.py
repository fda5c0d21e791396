"""What hospitals and the city's laboratory say of what they measured and found (ORU)."""

from __future__ import annotations

import numpy as np

from infra.city.messages import results
from infra.city.messages.segments import MINUTE_MS, Visit
from infra.city.messages.speaker import Speaker, kind_of
from infra.city.messages.voices import LABORATORY, Voice
from infra.city.messages.writing import Field
from infra.city.simulation import Columns
from infra.city.vocabulary import AMB, CHRONIC_KEYS, MEASURES, REASONS

HOUR_MS = 3_600_000
PRELIMINARY_SHARE, CORRECTED_SHARE, COMMENT_SHARE = 0.15, 0.03, 0.04


class Reports:
    """Says what laboratories tell of visits."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker, self._rng = speaker, speaker.rng

    def values(self, visits: dict[int, Visit], t: Columns) -> None:
        """Laboratory values of stays and emergency visits, one report for each drawing of blood."""
        is_told = np.isin(t["measure"], results.QUANTITIES) & np.isin(t["encounter"], list(visits))
        rows = np.flatnonzero(is_told & (t["issued"] >= self._speaker.since_ms))
        panels: dict[tuple[int, int], list[int]] = {}
        for row in rows.tolist():
            panels.setdefault((int(t["encounter"][row]), int(t["at"][row])), []).append(row)
        for (encounter, at), chosen in panels.items():
            v = visits[encounter]
            if v.class_ != AMB:
                self._panel(v, at, chosen, t)

    def _panel(self, v: Visit, at: int, rows: list[int], t: Columns) -> None:
        rng, issued = self._rng, int(t["issued"][rows[0]])
        order = f"{v.habits.name[0].upper()}L{int(t['ordinal'][rows[0]]):09d}"
        values = [(MEASURES[int(t["measure"][r])], float(t["value"][r])) for r in rows]
        is_corrected = rng.random() < CORRECTED_SHARE
        told = [("F", issued, 1.0)]
        if rng.random() < PRELIMINARY_SHARE:
            told.insert(0, ("P", issued - 10 * MINUTE_MS, 0.97))
        if is_corrected:
            told = [*told[:-1], ("F", issued, 1.2), ("C", issued + int(rng.uniform(1, 5) * HOUR_MS), 1.0)]
        comment = None
        if rng.random() < COMMENT_SHARE:
            who = self._speaker.identity
            comment = f"Read to {who.given[v.person]} {who.family[v.person]} by phone"
        for status, when, factor in told:
            report = results.Report(v.voice, f"P{order}", order, v.voice.authority)
            segments = report.order("24323-8", "Laboratory panel", "CH", at, when, status)
            for number, (measure, value) in enumerate(values, 1):
                segments.append(report.quantity(number, measure, value * factor, status, at))
            if comment:
                segments.append(report.text(len(values) + 1, comment, status, at))
            self._report(v, v.voice, when, segments, "corrected later" if factor > 1 else "")

    def laboratory(self, visits: dict[int, Visit], spurious_from: int, t: Columns) -> None:
        """What the city's laboratory finds: germs, tumour markers, tissue, and titres of the clinics."""
        cancers = [CHRONIC_KEYS.index(key) for key in ("cancer", "lung_cancer")]
        cancer_since = self._speaker.people.onset_ms[:, cancers].min(axis=1)
        for row, v in visits.items():
            if v.class_ != AMB and row < spurious_from and v.start >= self._speaker.since_ms:
                has_cancer = bool(cancer_since[v.person] <= v.start)
                count = self._speaker.next_number("laboratory order")
                for finding in results.findings(self._rng, REASONS[v.reason].code, has_cancer, v.person):
                    for at, mark, segments in finding.reports(LABORATORY, f"{count:08d}", v.start + HOUR_MS):
                        self._report(v, LABORATORY, at, segments, mark)
        titres = np.flatnonzero(t["measure"] == results.TITRE)
        for row in titres.tolist():
            visit = visits.get(int(t["encounter"][row]))
            if visit is not None:
                at, issued = int(t["at"][row]), int(t["issued"][row])
                report = results.Report(LABORATORY, f"PT{row}", f"T{int(t['ordinal'][row]):09d}", "LAB")
                segments = report.order("5048-4", "Nuclear antibody titre", "IMM", at, issued, "F")
                segments.append(report.titre(1, int(t["second"][row]), "F", at))
                self._report(visit, LABORATORY, issued, segments, "")

    def _report(self, v: Visit, voice: Voice, at: int, segments: list[list[Field]], mark: str) -> None:
        head = [
            self._speaker.segments.patient(voice, v.habits, v.person, v.number, at),
            self._speaker.segments.visit(v, "R01", None, None, voice),
        ]
        kind = kind_of("ORU", "R01")
        self._speaker.say(voice, at, kind, [*head, *segments], self._speaker.truth_of(v, mark))
