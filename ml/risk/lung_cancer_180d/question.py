"""The question: in whom will lung cancer be found within 180 days, so that a referral is due?"""

from __future__ import annotations

from ml.features import Derived
from ml.features.people import PEOPLE
from ml.question import Feature
from ml.risk.declared import Outcome, Risk

RULE = """
    greatest(
        2 * has_bloody_cough_180d * cast(age_years >= 40 as double),
        cast(
            age_years >= 40
            and has_cough_180d + has_weight_loss_180d
                >= case when greatest(is_smoker, is_former_smoker) = 1 then 1 else 2 end as double
        )
    )
"""
"""2: refer; 1: an X-ray of the chest; 0: neither."""

REFERRED_FROM = 0.03
"""The positive predictive value from which on people are referred: NICE, "Suspected cancer: recognition and referral"
(NG12, 2015)."""

RISK = Risk(
    name="lung_cancer_180d",
    title="Diagnosis of lung cancer within 180 days",
    horizon_days=180,
    alert_budget=0.01,
    view=PEOPLE,
    population="age_years >= 40 and has_lung_cancer = 0",
    outcome=Outcome("condition", "icd10 rlike '^C3[34]'"),
    own=(Derived(Feature("referral_rule_points", "number", "referral rule (0 to 2)"), RULE),),
    features=(
        "age_years",
        "is_smoker",
        "is_former_smoker",
        "has_lung",
        "has_cough_180d",
        "has_bloody_cough_180d",
        "has_weight_loss_180d",
        "has_night_sweats_180d",
        "has_fever_180d",
        "referral_rule_points",
    ),
    valid_days=30,
    baselines={"referral rule": "referral_rule_points"},
    mitigation="Offer an X-ray of the chest, and refer if it or the complaints ask for it.",
    cost_ratio=REFERRED_FROM / (1 - REFERRED_FROM),
)
