"""Results as OBR and OBX segments: a hospital's values, and what the city's laboratory finds.

LOINC for what has a well-known code; the laboratory's own codes (``99LAB``) for the rest; the city's for findings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from infra.city.messages.voices import Voice
from infra.city.messages.writing import Field, Sub, stamp
from infra.city.vocabulary import MEASURE_INDEX, MEASURES, Measure

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
QUANTITIES = tuple(
    i for i, m in enumerate(MEASURES) if m.category == "laboratory" and m.value_type == "Quantity"
)
TITRE = MEASURE_INDEX["antibody_titre"]

Coded = tuple[str, str, str]
DETECTED: Coded = ("detected", "Detected", "99CITY")
NOT_DETECTED: Coded = ("not-detected", "Not detected", "99CITY")
NO_GROWTH: Coded = ("no-growth", "No growth", "99CITY")
GERMS: tuple[Coded, ...] = (
    ("streptococcus-pneumoniae", "Streptococcus pneumoniae", "99CITY"),
    ("escherichia-coli", "Escherichia coli", "99CITY"),
    ("klebsiella-pneumoniae", "Klebsiella pneumoniae", "99CITY"),
    ("staphylococcus-aureus", "Staphylococcus aureus", "99CITY"),
)
ANTIBIOTICS: tuple[Coded, ...] = (
    ("18864-9", "Ampicillin", "LN"),
    ("18906-8", "Ciprofloxacin", "LN"),
    ("18964-7", "Penicillin", "LN"),
)
TISSUES: tuple[Coded, ...] = (
    ("adenocarcinoma", "Adenocarcinoma", "99CITY"),
    ("squamous-cell-carcinoma", "Squamous cell carcinoma", "99CITY"),
    ("small-cell-carcinoma-of-lung", "Small cell carcinoma of lung", "99CITY"),
)
RESPIRATORY: tuple[Coded, ...] = (
    ("92142-9", "Influenza A RNA", "LN"),
    ("92141-1", "Influenza B RNA", "LN"),
    ("PNEUAG", "Pneumococcal antigen in urine", "99LAB"),
)
GUT: tuple[Coded, ...] = (
    ("NOROV", "Norovirus RNA", "99LAB"),
    ("CAMPY", "Campylobacter DNA", "99LAB"),
    ("SALMO", "Salmonella DNA", "99LAB"),
    ("CDIFF", "Clostridioides difficile toxin", "99LAB"),
)
TUBERCULOSIS: Coded = ("38379-4", "Mycobacterium tuberculosis complex DNA", "LN")
SPUTUM, STOOL, BLOOD, TISSUE = (
    ("sputum-specimen", "Sputum specimen", "99CITY"),
    ("stool-specimen", "Stool specimen", "99CITY"),
    ("blood-specimen", "Blood specimen", "99CITY"),
    ("tissue-specimen", "Tissue specimen", "99CITY"),
)
_LUNG_REASONS = ("J18.9", "J44.1", "A41.9", "R06.02", "J06.9")
_GUT_REASONS = ("K92.2", "R10.9", "K85.90")
_CANCER_REASONS = ("C78.00", "Z51.11")


@dataclass(frozen=True)
class Report:
    """Names of an order, and the segments its report is made of."""

    voice: Voice
    placer: str
    filler: str
    authority: str

    def order(
        self, code: str, words: str, section: str, collected: int, reported: int, status: str, number: int = 1
    ) -> list[list[Field]]:
        """ORC and OBR."""
        placer, filler = [self.placer, self.authority], [self.filler, self.voice.authority]
        request: list[Field] = [""] * 26
        request[:5] = ["OBR", number, placer, filler, [code, words, "LN"]]
        request[7], request[22] = stamp(self.voice, collected), stamp(self.voice, reported)
        request[24], request[25] = section, status
        return [["ORC", "RE", placer, filler], request]

    def child(
        self, parent: Report, observation: Coded, sub_id: str, code: Coded, times: tuple[int, int]
    ) -> list[Field]:
        """OBR of a report on a result of another: its OBR-26 and OBR-29 say which."""
        _, request = self.order(code[0], code[1], "MB", *times, "F", 2)
        names = [parent.placer, parent.authority], [parent.filler, parent.voice.authority]
        return [*request, [Sub(observation), sub_id], "", "", [Sub(names[0]), Sub(names[1])]]

    def quantity(self, number: int, measure: Measure, value: float, status: str, at: int) -> list[Field]:
        """A number with its unit, its range where there is one, and its flag."""
        low, high = measure.low, measure.high
        has_range = low is not None and high is not None
        span = f"{low:g}-{high:g}" if has_range else ""
        flag = "H" if high is not None and value > high else "L" if low is not None and value < low else "N"
        name = [measure.code, measure.display, "LN"]
        if self.voice.is_old:
            name = [measure.key.upper()[:8], measure.display, "99HAV", *name]
        text = f"{value:.{measure.decimals}f}"
        return self._result(
            number,
            "NM",
            name,
            "",
            text,
            status,
            at,
            [measure.unit, "", "UCUM"],
            span,
            flag if has_range else "",
        )

    def marker(self, number: int, code: Coded, value: float, unit: str, status: str, at: int) -> list[Field]:
        """A tumour marker; below what can be measured a structured number says so."""
        if value < 0.5:
            return self._result(number, "SN", list(code), "", ["<", "0.5"], status, at, [unit, "", "UCUM"])
        return self._result(number, "NM", list(code), "", f"{value:.1f}", status, at, [unit, "", "UCUM"])

    def titre(self, number: int, denominator: int, status: str, at: int) -> list[Field]:
        value = ["", "1", ":", str(denominator)]
        return self._result(number, "SN", ["5048-4", "Nuclear antibody titre", "LN"], "", value, status, at)

    def coded(
        self, number: int, code: Coded, value: Coded, status: str, at: int, sub_id: str = "", flag: str = ""
    ) -> list[Field]:
        kind = "CE" if self.voice.version < "2.5" else "CWE"
        return self._result(number, kind, list(code), sub_id, list(value), status, at, flag=flag)

    def text(self, number: int, words: str, status: str, at: int) -> list[Field]:
        return self._result(number, "TX", ["8251-1", "Comment", "LN"], "", words, status, at)

    def specimen(self, kind: Coded) -> list[Field]:
        return ["SPM", 1, "", "", list(kind)]

    def _result(
        self,
        number: int,
        kind: str,
        code: list[str],
        sub_id: str,
        value: Field,
        status: str,
        at: int,
        unit: Field = "",
        span: str = "",
        flag: str = "",
    ) -> list[Field]:
        return [
            "OBX",
            number,
            kind,
            code,
            sub_id,
            value,
            unit,
            span,
            flag,
            "",
            "",
            status,
            "",
            "",
            stamp(self.voice, at),
        ]


@dataclass(frozen=True)
class Finding:
    """What one examination finds: ``values`` by code; reported after ``hours``, and early too if ``is_culture``."""

    name: str
    panel: Coded
    specimen: Coded
    values: tuple[tuple[Coded, Coded], ...] = ()
    numbers: tuple[tuple[Coded, float, str], ...] = ()
    hours: float = 6.0
    is_culture: bool = False
    is_corrected: bool = False
    antibiotics: tuple[tuple[Coded, str], ...] = ()
    words: str = ""
    section: str = field(default="MB")

    def reports(self, voice: Voice, order: str, at: int) -> Iterator[tuple[int, str, list[list[Field]]]]:
        """(when it is told, mark for the answer key, segments) of each report."""
        report = Report(voice, f"P{self.name}{order}", f"{self.name}{order}", voice.authority)
        done = at + int(self.hours * HOUR_MS)
        if self.is_culture:
            early = at + 20 * HOUR_MS
            yield early, "", self._segments(report, at, early, "P", [(self.values[0][0], NO_GROWTH)])
        if self.is_corrected:
            wrong = [(code, NOT_DETECTED) for code, _ in self.values]
            yield done, "corrected later", self._segments(report, at, done, "F", wrong)
            done += 3 * HOUR_MS
        status = "C" if self.is_corrected else "F"
        segments = self._segments(report, at, done, status, list(self.values))
        if self.antibiotics:
            child = Report(voice, f"P{self.name}{order}S", f"{self.name}{order}S", voice.authority)
            panel: Coded = ("18769-0", "Susceptibility", "LN")
            segments.append(child.child(report, self.values[0][0], "1", panel, (at, done)))
            for number, (drug, letter) in enumerate(self.antibiotics, 1):
                meaning: Coded = (letter, "", "HL70078")
                segments.append(child.coded(number, drug, meaning, status, at, flag=letter))
        yield done, "", segments

    def _segments(
        self, report: Report, at: int, reported: int, status: str, values: list[tuple[Coded, Coded]]
    ) -> list[list[Field]]:
        segments = report.order(self.panel[0], self.panel[1], self.section, at, reported, status)
        segments[1][4] = list(self.panel)
        number = 0
        for code, value in values:
            number += 1
            flag = "A" if value not in (NOT_DETECTED, NO_GROWTH) else ""
            segments.append(
                report.coded(number, code, value, status, at, "1" if self.is_culture else "", flag)
            )
        for code, quantity, unit in self.numbers:
            number += 1
            segments.append(report.marker(number, code, quantity, unit, status, at))
        if self.words:
            segments.append(report.text(number + 1, self.words, status, at))
        segments.append(report.specimen(self.specimen))
        return segments


def findings(rng: np.random.Generator, reason: str, has_cancer: bool, person: int) -> list[Finding]:
    """What the laboratory is asked for at an encounter with that reason, and finds."""
    found = []
    if reason in _LUNG_REASONS:
        flu = rng.random() < 0.25
        values = tuple(
            (code, DETECTED if hit else NOT_DETECTED)
            for code, hit in zip(
                RESPIRATORY, (flu, not flu and rng.random() < 0.1, rng.random() < 0.15), strict=True
            )
        )
        panel: Coded = ("RESP", "Respiratory panel", "99LAB")
        is_corrected = bool(values[0][1] == DETECTED and rng.random() < 0.1)
        found.append(Finding("RP", panel, SPUTUM, values, is_corrected=is_corrected))
        if rng.random() < 0.08:
            value = DETECTED if rng.random() < 0.1 else NOT_DETECTED
            found.append(Finding("TB", TUBERCULOSIS, SPUTUM, ((TUBERCULOSIS, value),), hours=30.0))
    if reason in ("A41.9", "J18.9", "N39.0") and rng.random() < 0.6:
        culture: Coded = ("600-7", "Bacteria identified in blood", "LN")
        germ = GERMS[int(rng.integers(len(GERMS)))] if rng.random() < 0.5 else NO_GROWTH
        tested = (
            tuple((drug, "SIR"[int(rng.integers(3))]) for drug in ANTIBIOTICS) if germ != NO_GROWTH else ()
        )
        found.append(
            Finding("BC", culture, BLOOD, ((culture, germ),), hours=50.0, is_culture=True, antibiotics=tested)
        )
    if reason in _GUT_REASONS:
        values = tuple((code, DETECTED if rng.random() < 0.08 else NOT_DETECTED) for code in GUT)
        found.append(Finding("GI", ("GIPANEL", "Gastrointestinal panel", "99LAB"), STOOL, values, hours=8.0))
    if reason in _CANCER_REASONS or (has_cancer and rng.random() < 0.3):
        numbers = (
            (("2039-6", "Carcinoembryonic antigen", "LN"), float(rng.lognormal(1.2, 1.2)), "ng/mL"),
            (("25390-6", "Cytokeratin 19 fragment", "LN"), float(rng.lognormal(0.9, 1.0)), "ng/mL"),
        )
        panel = ("TUMOUR", "Tumour markers", "99LAB")
        found.append(Finding("TM", panel, BLOOD, numbers=numbers, hours=12.0, section="CH"))
    if reason == "C78.00":
        histology: Coded = ("HISTO", "Histology", "99LAB")
        tissue = TISSUES[person % len(TISSUES)]
        words = f"Lung biopsy, received in formalin.\nMicroscopy: {tissue[1].lower()}."
        found.append(
            Finding(
                "PA",
                ("22637-3", "Pathology diagnosis", "LN"),
                TISSUE,
                ((histology, tissue),),
                hours=60.0,
                words=words,
                section="SP",
            )
        )
    return found
