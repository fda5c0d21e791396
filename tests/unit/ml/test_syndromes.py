"""One list of codes for forecasts (a pattern) and surveillance (beginnings)."""

from __future__ import annotations

import re

import pytest

from ml.syndromes import SYNDROMES, pattern


@pytest.mark.parametrize(
    ("code", "syndrome"),
    [
        ("A09", "gastro"),
        ("K52.9", "gastro"),
        ("R19.7", "gastro"),
        ("R19.8", None),
        ("R1987", None),
        ("A10", None),
        ("J06.9", "respiratory"),
        ("J22", "respiratory"),
        ("J23", None),
        ("R06.02", "respiratory"),
        ("R06.2", None),
        ("ZA09", None),
    ],
)
def test_a_pattern_matches_what_begins_like_a_code(code: str, syndrome: str | None) -> None:
    matching = {name for name in SYNDROMES if re.search(pattern(name), code)}
    beginning = {name for name, starts in SYNDROMES.items() if code.startswith(starts)}
    assert matching == beginning == ({syndrome} if syndrome else set())
