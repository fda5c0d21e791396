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
OF_PEOPLE: tuple[Analyte, ...] = (
    Analyte("diastolic_mmhg", "diastolic blood pressure", "diastolic_pressure", "mm[Hg]", 20.0, 200.0),
    Analyte("cholesterol_mg_dl", "total cholesterol", "cholesterol", "mg/dL", 50.0, 700.0),
    Analyte("hdl_mg_dl", "HDL cholesterol", "hdl_cholesterol", "mg/dL", 5.0, 180.0),
    Analyte("weight_kg", "body weight", "body_weight", "kg", 20.0, 400.0),
    Analyte("height_cm", "body height", "body_height", "cm", 100.0, 240.0),
    Analyte("care_need_points", "need of help in daily life (0 to 5)", "care_need", "", 0.0, 5.0),
)
"""What is measured of people beyond a stay: of adults."""
BY_NAME = {analyte.name: analyte for analyte in (*ANALYTES, *OF_PEOPLE)}
