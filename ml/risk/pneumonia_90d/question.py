"""The question: who will be admitted with pneumonia within 90 days?"""

from __future__ import annotations

from ml.features import Derived, common
from ml.features.people import PEOPLE
from ml.question import Feature
from ml.risk.declared import NO_REASON, Outcome, Risk


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
        common.CHARLSON_AGE,
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
