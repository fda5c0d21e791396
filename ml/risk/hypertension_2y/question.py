"""The question: who will be diagnosed with high blood pressure within two years?"""

from __future__ import annotations

from ml.features import Derived
from ml.features.people import PEOPLE
from ml.question import Feature
from ml.risk.declared import Outcome, Risk

CODES = "I1[0-35]"
FRAMINGHAM = """
    -(
        22.949536 - 0.156412 * age_years - 0.202933 * is_female - 0.190731 * is_smoker
        - 0.033881 * coalesce(body_mass_index_kg_m2, 25)
        - 0.059330 * coalesce(last_systolic_mmhg, 120)
        - 0.128468 * coalesce(last_diastolic_mmhg, 80)
        + 0.001624 * age_years * coalesce(last_diastolic_mmhg, 80)
    )
"""
"""The linear predictor with its sign turned: higher for a higher risk. Parents' pressure is not recorded; what is not
known of the person is taken as 25 kg/m2, 120 and 80 mmHg."""

RISK = Risk(
    name="hypertension_2y",
    title="Diagnosis of high blood pressure within two years",
    horizon_days=730,
    alert_budget=0.10,
    view=PEOPLE,
    population="has_hypertension = 0",
    outcome=Outcome("condition", f"icd10 rlike '^{CODES}'"),
    own=(
        Derived(
            Feature("framingham_pressure", "number", "Framingham score of high blood pressure"), FRAMINGHAM
        ),
    ),
    features=(
        "age_years",
        "is_female",
        "usual_systolic_mmhg",
        "usual_diastolic_mmhg",
        "body_mass_index_kg_m2",
        "is_smoker",
        "is_former_smoker",
        "has_kidney",
        "framingham_pressure",
    ),
    valid_days=90,
    baselines={"Framingham score of high blood pressure": "framingham_pressure"},
    mitigation="Offer measurements at home, and advice on salt, weight and exercise.",
)
