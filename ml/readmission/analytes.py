"""Laboratory values and vital signs that features use: LOINC codes, one unit each, and what cannot be true.

A value in a unit that is not listed, or outside the plausible range after conversion, is taken as missing: a glucose
of 5.4 mg/dL is a slip of the unit, and guessing which one would be worse than saying nothing. Ranges are wide: they
hold every value compatible with life in a hospital.

Conversions: molar masses of glucose (180.16 g/mol) and creatinine (113.12 g/mol); HbA1c from IFCC mmol/mol by the
NGSP master equation, % = 0.09148 x + 2.152 (Hoelzel et al., Clin Chem 2004; 50: 166-174).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Analyte:
    """units: UCUM code -> (factor, offset) into ``unit``. low, high: inclusive plausible range in ``unit``."""

    name: str
    label: str
    codes: tuple[str, ...]
    unit: str
    units: Mapping[str, tuple[float, float]]
    low: float
    high: float


def _same(*units: str) -> dict[str, tuple[float, float]]:
    return {unit: (1.0, 0.0) for unit in units}


ANALYTES: tuple[Analyte, ...] = (
    Analyte(
        "haemoglobin_g_dl",
        "haemoglobin",
        ("718-7", "20509-6", "30313-1"),
        "g/dL",
        {**_same("g/dL"), "g/L": (0.1, 0.0)},
        3.0,
        25.0,
    ),
    Analyte("sodium_mmol_l", "sodium", ("2951-2", "2947-0"), "mmol/L", _same("mmol/L", "meq/L"), 95.0, 190.0),
    Analyte(
        "creatinine_mg_dl",
        "creatinine",
        ("2160-0", "38483-4"),
        "mg/dL",
        {**_same("mg/dL"), "umol/L": (0.011312, 0.0)},
        0.1,
        25.0,
    ),
    Analyte(
        "glucose_mg_dl",
        "blood glucose",
        ("2339-0", "2345-7", "41653-7"),
        "mg/dL",
        {**_same("mg/dL"), "mmol/L": (18.016, 0.0)},
        20.0,
        1500.0,
    ),
    Analyte(
        "hba1c_pct",
        "HbA1c",
        ("4548-4", "59261-8"),
        "%",
        {**_same("%"), "mmol/mol": (0.09148, 2.152)},
        3.0,
        20.0,
    ),
    Analyte("bnp_pg_ml", "BNP", ("30934-4", "42637-9"), "pg/mL", _same("pg/mL", "ng/L"), 0.0, 70000.0),
    Analyte(
        "leucocytes_10_9_l",
        "leucocytes",
        ("6690-2", "26464-8"),
        "10*9/L",
        _same("10*9/L", "10*3/uL"),
        0.0,
        500.0,
    ),
    Analyte("systolic_mmhg", "systolic blood pressure", ("8480-6",), "mm[Hg]", _same("mm[Hg]"), 40.0, 300.0),
    Analyte(
        "heart_rate_per_min", "heart rate", ("8867-4",), "/min", _same("/min", "{beats}/min"), 20.0, 300.0
    ),
    Analyte(
        "respiration_per_min",
        "breathing rate",
        ("9279-1",),
        "/min",
        _same("/min", "{breaths}/min"),
        4.0,
        80.0,
    ),
    Analyte(
        "oxygen_saturation_pct", "oxygen saturation", ("2708-6", "59408-5"), "%", _same("%"), 40.0, 100.0
    ),
)
BY_NAME = {analyte.name: analyte for analyte in ANALYTES}
