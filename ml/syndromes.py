"""Syndromes: which codes of a visit stand for an illness that spreads, for surveillance and forecasts alike."""

from __future__ import annotations

from collections.abc import Mapping

SYNDROMES: Mapping[str, tuple[str, ...]] = {
    "gastro": (*(f"A{n:02d}" for n in range(10)), "R11", "R19.7", "K52"),
    "respiratory": (*(f"J{n:02d}" for n in range(23)), "R05", "R06.0"),
}
"""Name -> beginnings of ICD-10-CM codes: intestinal infections (A00 to A09), vomiting, diarrhoea, the non-infective
enteritis that stands for the unproven (K52); acute infections of the airways, influenza and pneumonia (J00 to J22),
cough, short of breath. They are blocks of ICD-10 (WHO, chapters I, X and XI) with the symptoms (chapter XVIII) that
stand for them before there is a diagnosis; the choice is ours."""


def pattern(syndrome: str) -> str:
    """A regular expression that the codes of ``syndrome`` match, and no others."""
    return f"^({'|'.join(start.replace('.', '[.]') for start in SYNDROMES[syndrome])})"
