"""The question: who will be diagnosed with diabetes within two years?"""

from __future__ import annotations

from ml.features import Derived, Windowed, common
from ml.features.people import PEOPLE
from ml.question import Feature
from ml.risk.declared import Outcome, Risk

CODES = "E1[0-4]"
FINDRISC = """
    case when age_years < 45 then 0 when age_years < 55 then 2 else 3 end
    + case when body_mass_index_kg_m2 > 30 then 3 when body_mass_index_kg_m2 > 25 then 1 else 0 end
    + 2 * has_pressure_drug
    + 5 * coalesce(cast(most_glucose_mg_dl >= 110 as double), 0)
"""
"""The items that hospitals record: 0 to 13. What is not known counts nothing."""

RISK = Risk(
    name="diabetes_2y",
    title="Diagnosis of diabetes within two years",
    horizon_days=730,
    alert_budget=0.05,
    view=PEOPLE,
    population="has_any_diabetes = 0",
    outcome=Outcome("condition", f"icd10 rlike '^{CODES}'"),
    own=(
        Windowed(
            Feature("has_any_diabetes", "flag", "diabetes of any kind"),
            "condition",
            "ever",
            f"icd10 rlike '^{CODES}'",
        ),
        common.PRESSURE_DRUG,
        Windowed(
            Feature("most_glucose_mg_dl", "number", "highest blood glucose in three years", "mg/dL"),
            "measurement",
            "most",
            "concept = 'glucose' and value between 20 and 1500",
            days=1095,
        ),
        Derived(Feature("findrisc_points", "number", "FINDRISC of what is recorded"), FINDRISC),
    ),
    features=(
        "age_years",
        "is_female",
        "body_mass_index_kg_m2",
        "usual_glucose_mg_dl",
        "usual_hba1c_pct",
        "has_hypertension",
        "has_pressure_drug",
        "findrisc_points",
    ),
    valid_days=90,
    baselines={"FINDRISC of what is recorded": "findrisc_points"},
    mitigation="Offer a glucose test, and help with diet, weight and exercise.",
)
