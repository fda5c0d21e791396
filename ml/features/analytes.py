"""Laboratory values and vital signs that features use, by the concept gold gives them, and what cannot be true.

Gold converts each value into its concept's unit, puts slips of the unit right and holds back what it cannot tell
(jobs/harmonise). What is outside the plausible range all the same is taken as missing. Ranges are wide: they hold every
value compatible with life in a hospital.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Analyte:
    """concept: of jobs/harmonise/analytes.yml, whose unit ``unit`` is. low, high: inclusive plausible range."""

    name: str
    label: str
    concept: str
    unit: str
    low: float
    high: float

    @property
    def where(self) -> str:
        """SQL: the measurements that are plausible values of it."""
        return f"concept = '{self.concept}' and value between {self.low} and {self.high}"


ANALYTES: tuple[Analyte, ...] = (
    Analyte("haemoglobin_g_dl", "haemoglobin", "haemoglobin", "g/dL", 3.0, 25.0),
    Analyte("sodium_mmol_l", "sodium", "sodium", "mmol/L", 95.0, 190.0),
    Analyte("creatinine_mg_dl", "creatinine", "creatinine", "mg/dL", 0.1, 25.0),
    Analyte("glucose_mg_dl", "blood glucose", "glucose", "mg/dL", 20.0, 1500.0),
    Analyte("hba1c_pct", "HbA1c", "haemoglobin_a1c", "%", 3.0, 20.0),
    Analyte("bnp_pg_ml", "BNP", "natriuretic_peptide_b", "pg/mL", 0.0, 70000.0),
    Analyte("leucocytes_10_9_l", "leucocytes", "leucocytes", "10*9/L", 0.0, 500.0),
    Analyte("systolic_mmhg", "systolic blood pressure", "systolic_pressure", "mm[Hg]", 40.0, 300.0),
    Analyte("heart_rate_per_min", "heart rate", "heart_rate", "/min", 20.0, 300.0),
    Analyte("respiration_per_min", "breathing rate", "respiratory_rate", "/min", 4.0, 80.0),
    Analyte("oxygen_saturation_pct", "oxygen saturation", "oxygen_saturation", "%", 40.0, 100.0),
)
BY_NAME = {analyte.name: analyte for analyte in ANALYTES}
