"""The question: who will be admitted with a heart attack or stroke within five years?"""

from __future__ import annotations

from ml.features import Derived, Windowed, common
from ml.features.people import PEOPLE
from ml.question import Feature
from ml.risk.declared import NO_REASON, Outcome, Risk


def _framingham(
    age: float, cholesterol: float, hdl: float, pressure: tuple[float, float], *rest: float
) -> str:
    """Sum of terms minus its mean, of one sex. pressure: untreated, treated. rest: smoking, diabetes, mean, and the
    survival of ten years."""
    smoking, diabetes, mean, survival = rest
    terms = f"""
        {age} * ln(age_years)
        + {cholesterol} * ln(coalesce(last_cholesterol_mg_dl, 200))
        + {hdl} * ln(coalesce(last_hdl_mg_dl, 50))
        + case when has_pressure_drug = 1 then {pressure[1]} else {pressure[0]} end
            * ln(coalesce(last_systolic_mmhg, 120))
        + {smoking} * is_smoker
        + {diabetes} * greatest(has_diabetes, has_diabetes_complicated)
        - {mean}
    """
    return f"1 - pow({survival}, exp({terms}))"


WOMEN = _framingham(2.32888, 1.20904, -0.70833, (2.76157, 2.82263), 0.52873, 0.69154, 26.1931, 0.95012)
MEN = _framingham(3.06117, 1.12370, -0.93263, (1.93303, 1.99881), 0.65451, 0.57367, 23.9802, 0.88936)
FRAMINGHAM = f"case when is_female = 1 then {WOMEN} else {MEN} end"
"""Risk of ten years, made for ages of 30 to 74; what is not known is taken as 200 and 50 mg/dL and 120 mmHg."""

RISK = Risk(
    name="cardiovascular_5y",
    title="Heart attack or stroke within five years",
    horizon_days=1826,
    alert_budget=0.10,
    view=PEOPLE,
    population="has_heart_attack = 0 and has_stroke = 0 and age_years >= 30",
    outcome=Outcome("admission", "not is_planned and reason_code rlike '^(I21|I22|I63|I64)'", NO_REASON),
    own=(
        common.PRESSURE_DRUG,
        Windowed(
            Feature("has_coronary", "flag", "disease of the coronary arteries"),
            "condition",
            "ever",
            "icd10 rlike '^I2[0-5]'",
        ),
        Derived(
            Feature("framingham_2008_share", "number", "Framingham risk of ten years (2008)"), FRAMINGHAM
        ),
    ),
    features=(
        "age_years",
        "is_female",
        "is_smoker",
        "is_former_smoker",
        "usual_systolic_mmhg",
        "usual_cholesterol_mg_dl",
        "usual_hdl_mg_dl",
        "has_pressure_drug",
        "has_hypertension",
        "has_diabetes",
        "has_diabetes_complicated",
        "has_kidney",
        "has_arrhythmia",
        "has_coronary",
        "has_heart_failure",
        "has_lung",
        "has_asthma",
        "has_cancer",
        "has_dementia",
        "has_liver_mild",
        "has_depression",
        "usual_care_need_points",
        "emergency_visits_730d",
        "unplanned_admissions_730d",
        "framingham_2008_share",
    ),
    valid_days=180,
    baselines={"Framingham 2008": "framingham_2008_share"},
    mitigation="Offer help to stop smoking, and a review of blood pressure, lipids and glucose.",
)
