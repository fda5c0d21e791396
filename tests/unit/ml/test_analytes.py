"""The analytes that are features."""

from __future__ import annotations

from jobs.harmonise.model import analytes
from ml.features.analytes import ANALYTES


def test_analytes_are_concepts_in_the_concepts_own_unit() -> None:
    assert len({analyte.concept for analyte in ANALYTES}) == len(ANALYTES)
    for analyte in ANALYTES:
        assert analyte.low < analyte.high
        assert analytes()[analyte.concept].unit == analyte.unit
