"""The question: who of those that devices at home tell of will need a hospital, unplanned, within a week?"""

from __future__ import annotations

from ml.features import Derived
from ml.features.home import HOME
from ml.question import Feature
from ml.risk.declared import Outcome, Risk

GAIN_KG = 2
"""In three days: McDonagh et al., 2021 ESC Guidelines for heart failure, Eur Heart J 2021; 42: 3599-3726 (advice to
patients on self-care)."""

RISK = Risk(
    name="deterioration_7d",
    title="Unplanned hospital care within 7 days, by what devices at home tell",
    horizon_days=7,
    alert_budget=0.05,
    view=HOME,
    outcome=Outcome("attendance", "true"),
    own=(
        Derived(
            Feature("has_gained_weight", "flag", f"gained more than {GAIN_KG} kg in 3 days"),
            f"weight_gain_3d_kg > {GAIN_KG}",
        ),
    ),
    baselines={"ESC 2021 weight gain": "has_gained_weight"},
    mitigation="Call today: ask about breath, swelling and fever, check weight and pulse, and review the treatment.",
)
