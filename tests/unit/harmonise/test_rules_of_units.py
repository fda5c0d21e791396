"""Units as senders write them, their conversions, and rules that hold together: no engine."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from infra.city.vocabulary import MEASURES
from jobs.errors import CitywellError
from jobs.harmonise import model, rulebook
from jobs.harmonise.units import conversion, ucum

WRITTEN = {
    "mg/dl": "mg/dL",
    "MMOL/L": "mmol/L",
    "µmol/L": "umol/L",
    "10^9/L": "10*9/L",
    " K/uL ": "10*3/uL",
    "degC": "Cel",
    "°F": "[degF]",
    "bpm": "/min",
    "Lbs": "[lb_av]",
    "mm Hg": "mm[Hg]",
    None: "",
    "furlongs": None,
}
CONVERTED = [
    ("body_temperature", "[degF]", 98.6, 37.0),
    ("body_temperature", "K", 310.15, 37.0),
    ("body_weight", "[lb_av]", 160, 72.5747792),
    ("body_height", "[in_i]", 70, 177.8),
    ("glucose", "mmol/L", 5.5, 99.0858),
    ("creatinine", "umol/L", 88.4, 0.99998),
    ("cholesterol", "mmol/L", 5.0, 193.325),
    ("hdl_cholesterol", "mmol/L", 1.3, 50.2645),
    ("care_need", "", 3, 3),
    ("haemoglobin", "g/L", 135, 13.5),
    ("haemoglobin", "mmol/L", 8.4, 13.53618),
    ("haemoglobin_a1c", "mmol/mol", 48, 6.54304),
    ("urea_nitrogen", "mmol/L", 5, 14.007),
    ("calcium", "meq/L", 5, 10.0195),
    ("sodium", "meq/L", 140, 140),
    ("leucocytes", "10*3/uL", 7.5, 7.5),
    ("leucocytes", "/uL", 7500, 7.5),
    ("alanine_aminotransferase", "ukat/L", 1, 60),
    ("thyrotropin", "u[IU]/mL", 2.5, 2.5),
    ("troponin_i", "ng/mL", 0.04, 40),
    ("oxygen_saturation", "1", 0.97, 97),
    ("systolic_pressure", "kPa", 16, 120.00985),
    ("urine_albumin_ratio", "mg/mmol", 3, 26.52),
    ("d_dimer", "ug{FEU}/mL", 0.5, 500),
    ("depression_score", "", 12, 12),
]
UNCONVERTIBLE = [
    ("heart_rate", "mg/dL"),
    ("heart_rate", ""),
    ("thyrotropin", "mg/L"),
    ("leucocytes", "[IU]/L"),
    ("d_dimer", "ng{DDU}/mL"),
    ("albumin", "mmol/L"),
    ("glucose", "meq/L"),
    ("depression_score", "%"),
    ("influenza_a", "1"),
]
SURVIVED = {
    "albumin": [0.01],
    "body_weight": [14.5, 635],
    "carbon_dioxide_pressure": [375],
    "diastolic_pressure": [1, 360],
    "glucose": [5, 9, 2656],
    "systolic_pressure": [7, 370],
}
"""Values of adults that sources.yml tells of, in the concept's unit."""


@pytest.mark.parametrize("written", WRITTEN, ids=str)
def test_a_unit_is_read_as_it_is_written(written: str | None) -> None:
    assert ucum(written) == WRITTEN[written]


@pytest.mark.parametrize(("concept", "unit", "sent", "expected"), CONVERTED)
def test_a_value_is_converted(concept: str, unit: str, sent: float, expected: float) -> None:
    way = conversion(unit, concept)
    assert way is not None
    assert way(sent) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("concept", "unit"), UNCONVERTIBLE)
def test_what_is_of_another_kind_is_not_converted(concept: str, unit: str) -> None:
    assert conversion(unit, concept) is None


def test_everything_that_the_citys_hospitals_measure_has_a_concept() -> None:
    found = {(one.code_system, one.code): one.concept for one in rulebook.concept_codes()}
    unknown = [m.key for m in MEASURES if (m.system, m.code) not in found]
    assert unknown == ["fever", "sleep", "antibody_titre", "complaint", "last_period"], (
        "no numbers of one unit"
    )
    assert found["https://codes.city.example/clinical", "care-need"] == "care_need"


def test_an_hdl_in_the_other_unit_is_impossible_or_unusual() -> None:
    """A usual value in mmol/L under mg/dL must not pass for one in mg/dL."""
    (adult,) = [r for r in rulebook.ranges() if r.range_key == "hdl_cholesterol mg/dL"]
    assert adult.clear_low <= 18 < 115 <= adult.clear_high
    assert not adult.usual_low <= 2.5 <= adult.usual_high


def test_every_concepts_own_unit_is_known_and_every_unit_that_is_mixed_up_converts() -> None:
    ways = {(way.concept, way.ucum): way for way in rulebook.known()}
    for key, analyte in model.analytes().items():
        if analyte.unit is not None:
            assert (ways[key, analyte.unit].factor, ways[key, analyte.unit].addend) == (1, 0), key
            assert all((key, unit) in ways for unit in (*analyte.mixed_up, *analyte.convert)), key


def test_ranges_leave_no_age_out_and_clear_values_are_usual() -> None:
    by_key: dict[tuple[str, str], list[rulebook.Range]] = {}
    for one in rulebook.ranges():
        by_key.setdefault((one.range_key, one.sex), []).append(one)
        if one.clear_low <= one.clear_high:
            assert one.low <= one.clear_low <= one.clear_high <= one.high
    for ranges in by_key.values():
        ages = sorted((one.age_from, one.age_below) for one in ranges)
        assert ages[0][0] == rulebook.UNKNOWN_AGE
        assert ages[-1][1] == 200
        assert all(one[1] == other[0] for one, other in pairwise(ages))
    assert {sex for _, sex in by_key} == {"any", *rulebook.SEXES}


def test_what_adults_have_survived_is_possible() -> None:
    adult = [one for one in rulebook.ranges() if one.age_from <= 40 < one.age_below]
    for concept, values in SURVIVED.items():
        own = [one for one in adult if one.range_key == f"{concept} {model.analytes()[concept].unit}"]
        assert own
        assert all(one.low <= value <= one.high for one in own for value in values), concept


def test_only_codes_of_licensed_terminologies_are_shipped_with_loincs_notice() -> None:
    text = (model.FOLDER / "analytes.yml").read_text()
    assert "copyright © Regenstrief Institute" in text
    assert "http://loinc.org/license" in text
    codes = [code for analyte in model.analytes().values() for code in analyte.loinc]
    assert all(re.fullmatch(r"\d{1,6}-\d", code) for code in codes)
    assert all(_check_digit(code) for code in codes)


def _check_digit(code: str) -> bool:
    """LOINC's check digit is mod 10 (Luhn)."""
    digits = [int(digit) for digit in code.replace("-", "")]
    doubled = [d if n % 2 == 0 else sum(divmod(2 * d, 10)) for n, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def test_no_key_of_a_rule_file_stands_twice() -> None:
    """YAML keeps the last of two: the first would be lost silently."""
    for file in model.FOLDER.glob("*.yml"):
        keys = [
            line.split(":")[0] for line in file.read_text().splitlines() if re.match(r"[a-z0-9_]+:", line)
        ]
        assert len(keys) == len(set(keys)) == len(yaml.safe_load(file.read_text())), file.name


def test_a_wrong_rule_is_named_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "FOLDER", tmp_path)
    (tmp_path / "analytes.yml").write_text(
        "pulse: {name: pulse, unit: /min, loinc: [], limits: [{low: 9, high: 1, source: x}]}"
    )
    with pytest.raises(CitywellError, match="low, usual low"):
        model.analytes.__wrapped__()
