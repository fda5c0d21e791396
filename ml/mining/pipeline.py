"""Mining as a task or the command line calls it: read gold, find, publish ``gold.mining_*``, and sum up.

It may be run again at any time, for an older instant too: every instant is a run of its own, replaced as a whole, and
from the same gold the same rows follow. Outbreaks are watched for every day, by ``surveillance``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import pandas as pd

from jobs.writeback import disclosure
from ml.lake import Summary, instant, opened
from ml.mining import (
    clusters,
    correlate,
    describe,
    dispensing,
    districts,
    facility_days,
    inputs,
    patients,
    readings,
    rules,
    shapes,
    store,
    wording,
)
from ml.mining.inputs import Gold
from ml.mining.store import Tables

MOST_DISTRICT_CLUSTERS = 5


def mine(as_of: datetime | str) -> Summary:
    """Mine gold as it could be used at ``as_of`` and publish the tables of ``shapes.MINED``.

    Raises CitywellError when gold has not been published.
    """
    moment = instant(as_of)
    with opened("mining", inputs.NEEDED, inputs.USED_WHERE_THERE) as lake:
        found = find(Gold.at(lake.spark, moment))
        store.publish(lake, "mining", moment, found)
    return {"as_of": moment.isoformat(), **_summary(found)}


def find(gold: Gold) -> Tables:
    """The rows of every table, without run."""
    people, values, words = inputs.people(gold), inputs.values(gold), inputs.words(gold)
    variables, units = patients.variables(people, values)
    had = inputs.person_items(gold)
    residents = districts.of_residents(people, variables, had, inputs.smokers(gold))
    member_tables = [
        _patients(people, variables, inputs.lasting_conditions(gold), words, units),
        _districts(*districts.profiles(residents, people, inputs.exposures(gold)), words, units),
    ]
    divisions = {"sex": people["sex"].to_numpy(), "age": people["age_band"].to_numpy()}
    statistics = describe.describe(variables, divisions)
    return {
        shapes.STATISTICS: statistics.assign(unit=statistics["variable"].map(units)),
        shapes.CORRELATIONS: correlate.correlate(variables, patients.age_and_sex(people)),
        shapes.RULES: _with_words(rules.find(inputs.item_counts(gold)), words),
        shapes.CLUSTERS: pd.concat([table for table, _ in member_tables], ignore_index=True),
        shapes.MEMBERS: pd.concat([table for _, table in member_tables], ignore_index=True),
        shapes.ANOMALIES: _anomalies(gold),
    }


def _patients(
    people: pd.DataFrame,
    variables: pd.DataFrame,
    lasting: pd.DataFrame,
    words: Mapping[str, str],
    units: Mapping[str, str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    by, strata = patients.to_cluster(people, variables, lasting)
    found = clusters.cluster(by, strata)
    shown = by.assign(age_years=variables["age_years"].reindex(by.index))
    told = clusters.marks(
        shown,
        found.labels,
        wording.called(shown, words),
        wording.printed(shown, units),
        shown=disclosure.shown,
    )
    members = pd.DataFrame({"person_key": by.index, "area_code": None})
    return _clustered("patients", found, told, members)


def _districts(
    shown: pd.DataFrame, by: pd.DataFrame, words: Mapping[str, str], units: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    found = clusters.cluster(by, most=MOST_DISTRICT_CLUSTERS, is_scaled=True)
    values, called, printed = districts.as_read(shown, words, units)
    told = clusters.marks(values, found.labels, called, printed)
    members = pd.DataFrame({"person_key": None, "area_code": by.index})
    return _clustered("districts", found, told, members)


def _clustered(
    kind: str, found: clusters.Clustering, told: list[str], members: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = pd.DataFrame(
        {
            "kind": kind,
            "cluster": range(found.k),
            "members": np.bincount(found.labels, minlength=found.k),
            "words": told if found.k > 1 else ["no clusters"] * found.k,
            "silhouette": np.array(found.silhouette, dtype=float),
            "stability": np.full(found.k, found.stability, dtype=float),
        }
    )
    return table, members.assign(kind=kind, cluster=found.labels, distance=found.distance)


def _with_words(found: pd.DataFrame, words: Mapping[str, str]) -> pd.DataFrame:
    def told(items: str) -> str:
        return " and ".join(words.get(item, item) for item in items.split(rules.JOINT))

    return found.assign(
        antecedent_words=found["antecedent"].map(told), consequent_words=found["consequent"].map(told)
    )


def _anomalies(gold: Gold) -> pd.DataFrame:
    people = gold.living.count()
    found = [
        facility_days.find(inputs.arrivals(gold)),
        readings.find(*inputs.readings(gold), people),
    ]
    if gold.has("gold.fct_dispense"):
        found.append(dispensing.find(inputs.watched_windows(gold), people))
    return pd.concat([table for table in found if len(table)] or found[:1], ignore_index=True)


def _summary(found: Tables) -> Summary:
    clustered, anomalies = found[shapes.CLUSTERS], found[shapes.ANOMALIES]
    return {
        "statistics": len(found[shapes.STATISTICS]),
        "correlations": int((found[shapes.CORRELATIONS]["q"] <= rules.MOST_Q).sum()),
        "rules": len(found[shapes.RULES]),
        "clusters": {str(k): int(n) for k, n in clustered.groupby("kind").size().items()},
        "anomalies": {str(k): int(n) for k, n in anomalies.groupby("kind").size().items()},
    }
