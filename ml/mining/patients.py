"""The person-level tables that statistics, correlations and clusters of patients work on."""

from __future__ import annotations

import numpy as np
import pandas as pd

LEAST_KNOWN = 0.5
LEAST_WITH_ITEM = 0.02
ADULT_YEARS = 18
STRATUM_YEARS, OLDEST_YEARS = 10, 89
COUNTED = {
    "age_years": "a",
    "emergency_visits": "1/a",
    "outpatient_visits": "1/a",
    "admissions": "1/a",
    "stay_days": "d",
    "conditions": "1",
    "drugs": "1",
}
"""Variables of ``inputs.people``, and their units (UCUM)."""
BMI = "body_mass_index"
BMI_UNIT = "kg/m2"


def variables(people: pd.DataFrame, values: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """A row per person (index person_key, in the order of ``people``) with every variable, and the variables' units.

    people, values: what ``inputs`` gives. Body mass index is weight by height squared (WHO 1995), each the person's
    median.
    """
    wide = values.pivot_table(index="person_key", columns="concept", values="value")
    table = people.set_index("person_key")[list(COUNTED)].astype(float).join(wide)
    units = COUNTED | dict(values[["concept", "unit"]].drop_duplicates("concept").itertuples(index=False))
    if {"body_weight", "body_height"} <= set(table):
        table[BMI] = table["body_weight"] / (table["body_height"] / 100) ** 2
        units[BMI] = BMI_UNIT
    return table, {name: units[name] for name in table}


def age_and_sex(people: pd.DataFrame) -> pd.DataFrame:
    """age_years and is_male (1 or 0; missing where sex is neither) by person_key."""
    sex = people["sex"].map({"male": 1.0, "female": 0.0}).to_numpy()
    return pd.DataFrame(
        {"age_years": people["age_years"].to_numpy(dtype=float), "is_male": sex}, index=people["person_key"]
    )


def to_cluster(
    people: pd.DataFrame, variables: pd.DataFrame, lasting: pd.DataFrame
) -> tuple[pd.DataFrame, np.ndarray]:
    """What adults are clustered by, by person_key, and each one's stratum: ten years of age, and sex.

    lasting: ``person_key``, ``item``, once each: ``inputs.lasting_conditions``. By: each that at least LEAST_WITH_ITEM
    of adults have (1 or 0), as patterns of multimorbidity are (Prados-Torres and others, J Clin Epidemiol 2014), and
    body mass index, where at least LEAST_KNOWN of them are measured; where it is missing the median of all. Drugs and
    laboratory values follow from the conditions and would count them again. Everybody from the decade of OLDEST_YEARS
    on is as old.
    """
    adults = people[people["age_years"] >= ADULT_YEARS]
    keys = pd.Index(adults["person_key"])
    own = lasting[lasting["person_key"].isin(keys)]
    yes = pd.crosstab(own["person_key"], own["item"]).clip(upper=1).reindex(keys).fillna(0.0)
    yes = yes.loc[:, yes.mean() >= LEAST_WITH_ITEM]
    measured = variables.reindex(index=keys, columns=[BMI])
    measured = measured.loc[:, measured.notna().mean() >= LEAST_KNOWN]
    decade = (adults["age_years"].clip(upper=OLDEST_YEARS) // STRATUM_YEARS).astype(int).astype(str)
    return yes.join(measured.fillna(measured.median())), (adults["sex"] + " " + decade).to_numpy()
