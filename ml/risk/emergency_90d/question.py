"""The question: who will come to an emergency department within 90 days?"""

from __future__ import annotations

from ml.features import common
from ml.features.people import PEOPLE
from ml.risk.declared import Outcome, Risk

RISK = Risk(
    name="emergency_90d",
    title="Emergency attendance within 90 days",
    horizon_days=90,
    alert_budget=0.05,
    view=PEOPLE,
    outcome=Outcome("attendance", "true"),
    own=(common.CHARLSON_AGE,),
    valid_days=30,
    baselines={
        "visits of the year before": "emergency_visits_365d",
        "Charlson index with age": "charlson_age_points",
    },
    mitigation="Offer a named contact, a care plan and a review of medicines.",
)
