"""The question: in whom will tuberculosis be found within 180 days, so that a referral is due?"""

from __future__ import annotations

from ml.features import Derived
from ml.features.people import PEOPLE
from ml.question import Feature
from ml.risk.declared import Outcome, Risk

FOUR_SYMPTOMS = """
    greatest(has_cough_180d, has_bloody_cough_180d) + has_fever_180d + has_night_sweats_180d + has_weight_loss_180d
"""

RISK = Risk(
    name="tuberculosis_180d",
    title="Diagnosis of tuberculosis within 180 days",
    horizon_days=180,
    alert_budget=0.01,
    view=PEOPLE,
    population="has_tuberculosis = 0",
    outcome=Outcome("condition", "icd10 rlike '^A1[5-9]'"),
    own=(
        Derived(
            Feature("four_symptom_points", "number", "complaints of the four-symptom screen"), FOUR_SYMPTOMS
        ),
    ),
    features=(
        "age_years",
        "is_smoker",
        "has_diabetes",
        "usual_care_need_points",
        "has_cough_180d",
        "has_bloody_cough_180d",
        "has_weight_loss_180d",
        "has_night_sweats_180d",
        "has_fever_180d",
        "four_symptom_points",
    ),
    valid_days=30,
    baselines={"four-symptom screen": "four_symptom_points"},
    mitigation="Offer an X-ray of the chest and a sputum test, and refer if either asks for it.",
)
