"""The question: who will be admitted with bleeding in the gut within 180 days?"""

from __future__ import annotations

from ml.features import Derived, Windowed
from ml.features.people import PEOPLE
from ml.question import Feature
from ml.risk.declared import NO_REASON, Outcome, Risk

BLEEDING = (
    "^(I85([01]1|0$)|K20[89]1|K2101|K2211|K226|K2[5-8][0246]|K29([0-9]1|0$)|K31811|K3182|K5521|K57[0-9][13]|K625"
    "|K92[0-2])"
)
"""Codes without the dot, of ICD-10-CM; where it tells by a fifth character whether there is bleeding, ICD-10 has it in
the fourth (I85.0, K29.0). Which they are: ``definition.md``."""
HAS_BLED = """
    coalesce(cast(last_systolic_mmhg > 160 as double), 0)
    + coalesce(cast(last_creatinine_mg_dl >= 2.26 as double), 0)
    + greatest(has_liver_mild, has_liver_severe)
    + has_stroke
    + greatest(
        has_bled,
        coalesce(cast(last_haemoglobin_g_dl < case when is_female = 1 then 12 else 13 end as double), 0)
    )
    + coalesce(cast(age_years > 65 as double), 0)
    + greatest(has_antiplatelet, has_nsaid)
    + has_alcohol
"""
"""Without labile INR, which no source tells: 0 to 8. Anaemia: below 12 g/dL in women and 13 in men (WHO)."""


def _prescribed(name: str, words: str, atc: str) -> Windowed:
    return Windowed(Feature(name, "flag", words), "drug", "ever", f"atc like '{atc}%'", days=180)


RISK = Risk(
    name="gastrointestinal_180d",
    title="Admission with bleeding in the gut within 180 days",
    horizon_days=180,
    alert_budget=0.03,
    view=PEOPLE,
    outcome=Outcome(
        "admission", f"not is_planned and replace(reason_code, '.', '') rlike '{BLEEDING}'", NO_REASON
    ),
    own=(
        _prescribed("has_antiplatelet", "on a drug against platelets", "B01AC"),
        _prescribed("has_nsaid", "on an anti-inflammatory pain killer", "M01A"),
        _prescribed("has_acid_blocker", "on a drug against stomach acid", "A02B"),
        Windowed(
            Feature("has_bled", "flag", "bleeding in the gut before"),
            "condition",
            "ever",
            f"icd10 rlike '{BLEEDING}'",
        ),
        Derived(Feature("has_bled_points", "number", "HAS-BLED score"), HAS_BLED),
    ),
    features=(
        "age_years",
        "is_female",
        "usual_haemoglobin_g_dl",
        "has_arrhythmia",
        "has_kidney",
        "has_liver_mild",
        "has_liver_severe",
        "has_alcohol",
        "has_bled",
        "has_anticoagulant",
        "has_antiplatelet",
        "has_nsaid",
        "has_acid_blocker",
        "has_heart_failure",
        "has_lung",
        "has_cancer",
        "has_diabetes",
        "usual_care_need_points",
        "emergency_visits_730d",
        "unplanned_admissions_90d",
        "unplanned_admissions_730d",
        "has_bled_points",
    ),
    valid_days=30,
    baselines={"HAS-BLED": "has_bled_points"},
    mitigation="Review pain killers and drugs against clotting, and consider protection of the stomach.",
)
