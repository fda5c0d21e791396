"""The question: who will be admitted with pneumonia within 90 days?"""

from __future__ import annotations

from ml.features import Derived
from ml.features.people import PEOPLE
from ml.question import Feature
from ml.risk.declared import Outcome, Risk

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

RISK = Risk(
    name="pneumonia_90d",
    title="Admission with pneumonia within 90 days",
    horizon_days=90,
    alert_budget=0.03,
    view=PEOPLE,
    outcome=Outcome("admission", "not is_planned and reason_code rlike '^J1[2-8]'"),
    own=(Derived(Feature("charlson_age_points", "number", "Charlson index with age"), CHARLSON),),
    valid_days=30,
    baselines={"Charlson index with age": "charlson_age_points"},
    mitigation="Offer pneumococcal and influenza vaccination, help to stop smoking, and a check of inhalers.",
)
