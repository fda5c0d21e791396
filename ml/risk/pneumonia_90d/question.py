"""The question: who will be admitted with pneumonia within 90 days?"""

from __future__ import annotations

from ml.features import Derived
from ml.features.people import PEOPLE
from ml.question import Feature
from ml.risk.declared import NO_REASON, Outcome, Risk

CHARLSON_WEIGHTS = (
    ("heart_attack", 1),
    ("heart_failure", 1),
    ("vascular", 1),
    ("stroke", 1),
    ("dementia", 1),
    ("rheumatic", 1),
    ("ulcer", 1),
    ("paralysis", 2),
    ("kidney", 2),
    ("hiv", 6),
)
"""Of groups that stand for one illness alone; the others are below, the graver counting."""
CHARLSON = " + ".join(
    (
        *(f"{weight} * has_{name}" for name, weight in CHARLSON_WEIGHTS),
        "greatest(has_lung, has_asthma)",
        "greatest(has_liver_mild, 3 * has_liver_severe)",
        "greatest(has_diabetes, 2 * has_diabetes_complicated)",
        "greatest(2 * has_cancer, 6 * has_metastatic)",
        "least(greatest(floor((age_years - 40) / 10), 0), 4)",
    )
)
"""Charlson's comorbidity index with a point for each decade from 50 on (at most four)."""


def _of_year(name: str, words: str, function: str) -> Derived:
    """A pair of waves of one year puts its peak where the data have it (A. Stolwijk et al., "Studying seasonality by
    using sine and cosine functions in regression analysis", J Epidemiol Community Health 1999; 53: 235-238). By month,
    so that a score is made anew when the month changes and not every day."""
    return Derived(Feature(name, "number", words), f"{function}(2 * pi() * (month(as_of) - 1) / 12)")


RISK = Risk(
    name="pneumonia_90d",
    title="Admission with pneumonia within 90 days",
    horizon_days=90,
    alert_budget=0.03,
    view=PEOPLE,
    outcome=Outcome("admission", "not is_planned and reason_code rlike '^J1[2-8]'", NO_REASON),
    own=(
        Derived(Feature("charlson_age_points", "number", "Charlson index with age"), CHARLSON),
        _of_year("winter_wave", "time of year: 1 in January, -1 in July", "cos"),
        _of_year("spring_wave", "time of year: 1 in April, -1 in October", "sin"),
    ),
    features=(
        "age_years",
        "is_smoker",
        "winter_wave",
        "spring_wave",
        "has_hypertension",
        "has_heart_failure",
        "has_arrhythmia",
        "has_lung",
        "has_asthma",
        "has_kidney",
        "has_diabetes",
        "has_cancer",
        "has_dementia",
        "has_liver_mild",
        "has_depression",
        "usual_care_need_points",
        "emergency_visits_730d",
        "unplanned_admissions_90d",
        "unplanned_admissions_730d",
        "charlson_age_points",
    ),
    valid_days=30,
    baselines={"Charlson index with age": "charlson_age_points"},
    mitigation="Offer pneumococcal and influenza vaccination, help to stop smoking, and a check of inhalers.",
)
