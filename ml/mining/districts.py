"""What districts are clustered by: how residents differ from people of the same age and sex, and their exposures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ml.mining import wording
from ml.mining.inputs import ICD10_ITEM

FREQUENT_CONDITIONS = 8
VISITS = ("emergency_visits", "outpatient_visits", "admissions")
MEASURED = ("body_mass_index", "care_need", "systolic_pressure", "glucose", "cholesterol")
SMOKING = "smokes_daily"
FEWEST_RESIDENTS = 30


def of_residents(
    people: pd.DataFrame, variables: pd.DataFrame, had: pd.DataFrame, smokes: pd.Series
) -> pd.DataFrame:
    """A row per person (index person_key): visits, MEASURED where they are known, ``smokes_daily``, and whether the
    person has each of the FREQUENT_CONDITIONS most frequent conditions. What is not known is missing.

    people, variables, had, smokes: what ``inputs`` and ``patients.variables`` give.
    """
    keys = pd.Index(people["person_key"])
    conditions = had[had["item"].str.startswith(ICD10_ITEM) & had["person_key"].isin(keys)]
    counted = conditions["item"].value_counts()
    frequent = sorted(counted.index, key=lambda item: (-counted[item], item))[:FREQUENT_CONDITIONS]
    own = conditions[conditions["item"].isin(frequent)]
    yes = pd.crosstab(own["person_key"], own["item"]).clip(upper=1).reindex(keys).fillna(0.0)
    measured = [name for name in MEASURED if name in variables]
    table = variables.reindex(keys)[[*VISITS, *measured]].join(yes)
    return table.assign(**{SMOKING: smokes.reindex(keys)})


def profiles(
    residents: pd.DataFrame, people: pd.DataFrame, exposures: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables by district (index) with the same columns: what is told of it, and what it is clustered by.

    residents: what ``of_residents`` gives. people: person_key, age_band, sex, postal_district. Told is the mean
    adjusted for age and sex: that of all, and the mean difference of its residents from people of their age band and
    sex (direct residual adjustment). Clustered by is that difference in standard errors, so that a column without true
    differences has a spread of 1 and one with them a larger one; of exposures, which are no sample, the value with a
    spread of 1. A district of fewer than FEWEST_RESIDENTS, or that nobody with a value of a column lives in, is left
    out.
    """
    who = people.set_index("person_key").reindex(residents.index)
    district = who["postal_district"]
    difference = residents - residents.groupby([who["age_band"], who["sex"]]).transform("mean")
    grouped = difference.groupby(district)
    count, mean = grouped.count(), grouped.mean()
    spread = difference.std(ddof=0).replace(0, np.nan)
    by = (mean * np.sqrt(count) / spread).dropna(axis="columns", how="all")
    told = (mean + residents.mean())[by.columns]
    if len(exposures.columns):
        scaled = (exposures - exposures.mean()) / exposures.std(ddof=0).replace(0, np.nan)
        by, told = by.join(scaled.dropna(axis="columns", how="all")), told.join(exposures)
    by = by[(district.value_counts().reindex(by.index) >= FEWEST_RESIDENTS)].dropna()
    return told.loc[by.index, by.columns], by


def as_read(
    told: pd.DataFrame, words: Mapping[str, str], units: Mapping[str, str]
) -> tuple[pd.DataFrame, dict[str, str], dict[str, str]]:
    """``told`` with its shares in per cent, and what people call each column and write as its unit.

    words, units: what ``inputs.words`` and ``patients.variables`` give.
    """
    conditions = [name for name in told if name.startswith(ICD10_ITEM)]
    shares = [name for name in told if name in (*conditions, SMOKING)]
    called = wording.called(told, words)
    return (
        told.assign(**{name: 100 * told[name] for name in shares}),
        called | {name: f"share with {called[name]}" for name in conditions},
        wording.printed(told, {**units, **dict.fromkeys(shares, "%")}),
    )
