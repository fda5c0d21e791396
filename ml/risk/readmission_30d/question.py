"""The question: who comes back to hospital, unplanned, within 30 days? What exactly is asked: ``definition.md``.

Features see what was known at the stay's own ``as_of``: the version of each record that was usable then and not yet
superseded. Windows are half-open and look back:

* use of the hospital (stays, emergency and outpatient visits): [admission - w, admission), as in LACE and HOSPITAL;
* what was written down (conditions, prescriptions, measurements): [discharge - w, discharge), and what the stay itself
  recorded by the discharge, that very instant included;
* what the stay brought (lowest haemoglobin, drugs prescribed): [admission, discharge), likewise.

Sex and date of birth are taken from the person's records as they are now (``gold.dim_person``): they are facts of
birth, and a changed address must not make them unknown.

Sources: LACE, van Walraven et al., CMAJ 2010; 182: 551-557. HOSPITAL, Donzé et al., JAMA Intern Med 2013; 173:
632-638 (without the procedure item, which is not modelled yet).
"""

from __future__ import annotations

from typing import Literal

from ml.features import Derived, FeatureSet, View, Windowed, common
from ml.features.analytes import ANALYTES, BY_NAME
from ml.question import Feature
from ml.risk.declared import Risk
from ml.risk.readmission_30d.cohort import FROM_HOSPITAL, HORIZON_DAYS
from ml.risk.readmission_30d.discharges import Discharges

ADMISSION, DISCHARGE = "admitted_at", "discharged_at"
LOW_HAEMOGLOBIN_G_DL = 12.0
LOW_SODIUM_MMOL_L = 135.0
STAY_EXTREMES: tuple[tuple[str, Literal["least", "most"], str], ...] = (
    ("haemoglobin_g_dl", "least", "lowest haemoglobin of the stay"),
    ("sodium_mmol_l", "least", "lowest sodium of the stay"),
    ("creatinine_mg_dl", "most", "highest creatinine of the stay"),
    ("glucose_mg_dl", "most", "highest blood glucose of the stay"),
)
LACE = f"""
    case when length_of_stay_days < 1 then 0 when length_of_stay_days < 4 then floor(length_of_stay_days)
        when length_of_stay_days < 7 then 4 when length_of_stay_days < 14 then 5 else 7 end
    + 3 * is_unplanned
    + case when {common.sum_of_illnesses(lambda group: group.lace_weight)} >= 4 then 5
        else {common.sum_of_illnesses(lambda group: group.lace_weight)} end
    + least(emergency_visits_180d, 4.0)
"""
"""0 to 19."""
HOSPITAL = """
    has_low_haemoglobin
    + 2 * greatest(has_cancer, has_metastatic)
    + has_low_sodium
    + is_unplanned
    + case when stays_365d > 5 then 5 when stays_365d >= 1 then 2 else 0 end
    + case when length_of_stay_days >= 5 then 2 else 0 end
"""
"""Without procedures: 0 to 12."""


def _extreme(name: str, how: Literal["least", "most"], words: str) -> Windowed:
    analyte, prefix = BY_NAME[name], {"least": "min", "most": "max"}[how]
    feature = Feature(f"{prefix}_{name}", "number", words, analyte.unit)
    return Windowed(
        feature, "measurement", how, analyte.where, until=DISCHARGE, since=ADMISSION, with_own=True
    )


FEATURES = FeatureSet(
    (
        *common.age_and_sex(),
        Derived(Feature("length_of_stay_days", "count", "length of stay", "days")),
        Derived(Feature("is_unplanned", "flag", "unplanned admission"), "not is_planned"),
        Derived(
            Feature("is_transferred_in", "flag", "transferred in from another hospital"),
            f"is_transferred_in or admit_source_code = '{FROM_HOSPITAL}'",
        ),
        Derived(
            Feature("is_weekend_discharge", "flag", "discharged at a weekend"),
            f"dayofweek({DISCHARGE}) in (1, 7)",
        ),
        Derived(Feature("discharged_to", "category", "discharged to"), "discharge_disposition_code"),
        Derived(Feature("stays_180d", "count", "hospital stays in the 6 months before")),
        Derived(Feature("stays_365d", "count", "hospital stays in the 12 months before")),
        Derived(Feature("unplanned_stays_365d", "count", "unplanned hospital stays in the 12 months before")),
        Derived(
            Feature("bed_days_365d", "count", "days in hospital in the 12 months before", "days"),
            "coalesce(bed_days_365d, 0.0)",
        ),
        Derived(Feature("days_since_last_stay", "number", "days since the last hospital stay", "days")),
        *common.visits(ADMISSION),
        *common.conditions(DISCHARGE, with_own=True),
        *common.drugs(DISCHARGE, with_own=True),
        Windowed(
            Feature("drugs_of_stay", "count", "different drugs prescribed in this stay"),
            "drug",
            "distinct",
            until=DISCHARGE,
            since=ADMISSION,
            with_own=True,
        ),
        *common.newest(ANALYTES, DISCHARGE, with_own=True),
        *(_extreme(*extreme) for extreme in STAY_EXTREMES),
        Derived(
            Feature("has_low_haemoglobin", "flag", f"haemoglobin below {LOW_HAEMOGLOBIN_G_DL:g} g/dL"),
            f"last_haemoglobin_g_dl < {LOW_HAEMOGLOBIN_G_DL}",
        ),
        Derived(
            Feature("has_low_sodium", "flag", f"sodium below {LOW_SODIUM_MMOL_L:g} mmol/L"),
            f"last_sodium_mmol_l < {LOW_SODIUM_MMOL_L}",
        ),
        Derived(Feature("lace_points", "number", "LACE score"), LACE),
        Derived(Feature("hospital_points", "number", "HOSPITAL score"), HOSPITAL),
    )
)

DISCHARGES = View("discharges", Discharges(), FEATURES)

RISK = Risk(
    name="readmission_30d",
    title="Unplanned readmission within 30 days of discharge from hospital",
    horizon_days=HORIZON_DAYS,
    alert_budget=0.15,
    view=DISCHARGES,
    baselines={"LACE": "lace_points", "HOSPITAL": "hospital_points"},
    mitigation="Offer a call within two days, a visit within seven and a review of medicines.",
)
