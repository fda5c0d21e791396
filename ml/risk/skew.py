"""Training-serving skew: features of training cases, made afresh by the way of scoring, against the table's.

Flow: training rows -> a few of the instants they were asked about at -> of each a sample of its cases -> the cases that
a scoring at that instant would open, with their features from gold as published now -> which feature of which case
differs. A table that was built by other code, was damaged, or took what was known later for known, shows here.

Source: the mismatch of training and serving features, D. Sculley et al., *Hidden Technical Debt in Machine Learning
Systems*, NeurIPS 2015; the comparison of logged with recomputed features, M. Zinkevich, *Rules of Machine Learning*
(rules 29, 32 and 37), Google 2017.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.lake import engine
from ml.features import Facts, FeatureSet
from ml.lake import Lake
from ml.question import Feature
from ml.risk.declared import Risk

SAMPLED_AT = (0.5, 1.0)
"""Quantiles of the instants that are compared: the one in the middle and the latest."""
SAMPLE = 300
"""Cases of each instant."""
SPAN_DAYS = 30
"""A stay is open at the instants of so many days: the cases asked about within them may be in the sample."""
TOLERANCE = 1e-6
"""Relative, of numbers that are rounded to six decimals and summed in any order."""


@dataclass(frozen=True)
class Skew:
    """shares: feature -> share of ``cases`` for which the table has another value; none where no case was compared.
    instants: at which a scoring was repeated."""

    cases: int
    instants: tuple[datetime, ...]
    shares: Mapping[str, float]

    def told(self) -> dict[str, object]:
        """For MLflow: counts and shares, no value of anybody."""
        return {
            "cases": self.cases,
            "instants": [moment.isoformat() for moment in self.instants],
            "share_of_cases_that_differ": {n: s for n, s in self.shares.items() if s > 0},
            "features": len(self.shares),
        }

    def figures(self) -> dict[str, float]:
        """For MLflow's metrics."""
        return {"skew_cases": float(self.cases), "skew_most": max(self.shares.values(), default=0.0)}


def measured(lake: Lake, risk: Risk, table: pa.Table) -> Skew:
    """The skew of a question's training rows (``pipeline.training_rows``) against gold as ``lake`` has it."""
    instants = _instants(table)
    if not instants:
        return Skew(0, (), {})
    samples = _samples(table, instants)
    people = pa.concat_tables(samples).select(["person_key"]).group_by("person_key").aggregate([])
    facts = Facts.of(lake.spark, lake.inputs).of_people(lake.spark.createDataFrame(people))
    standing = engine.kept(risk.view.cases.standing(facts))
    cases = reduce(
        DataFrame.unionByName,
        (_opened(lake, risk, facts, standing, *pair) for pair in zip(instants, samples, strict=True)),
    )
    declared = FeatureSet((*risk.view.features.declarations, *risk.own))
    afresh = risk.view.made(cases, facts, declared).toArrow().to_pandas()
    return compared(pa.concat_tables(samples).to_pandas(), afresh, risk.question.features, instants)


def _opened(
    lake: Lake, risk: Risk, facts: Facts, standing: DataFrame, moment: datetime, sample: pa.Table
) -> DataFrame:
    """Of the cases that a scoring at ``moment`` opens those of the sample."""
    wanted = lake.spark.createDataFrame(sample.select(["case_key", "as_of"]))
    opened = risk.view.cases.open(facts, moment, standing).where("exclusion is null").drop("exclusion")
    return engine.kept(opened.join(wanted, ["case_key", "as_of"], "left_semi"))


def compared(
    held: pd.DataFrame, afresh: pd.DataFrame, features: Sequence[Feature], instants: Sequence[datetime] = ()
) -> Skew:
    """held, afresh: rows of ``case_key``, ``as_of`` and ``features``. Only cases of both are compared: who has died
    since is not scored any more. A value that only one of them lacks differs."""
    keys = ["case_key", "as_of"]
    both = held.drop_duplicates(keys).merge(afresh.drop_duplicates(keys), on=keys, suffixes=("", "__afresh"))
    if both.empty:
        return Skew(0, tuple(instants), {})
    shares = {
        f.name: float(_differs(both[f.name], both[f"{f.name}__afresh"], f.kind == "category").mean())
        for f in features
    }
    return Skew(len(both), tuple(instants), shares)


def _differs(one: pd.Series, other: pd.Series, is_text: bool) -> np.ndarray:
    is_missing = one.isna().to_numpy() & other.isna().to_numpy()
    if is_text:
        return ~(is_missing | (one == other).to_numpy())
    a, b = one.to_numpy(dtype=float), other.to_numpy(dtype=float)
    return ~(is_missing | np.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE))


def _instants(table: pa.Table) -> list[datetime]:
    """Instants in UTC at which cases were asked about, in order."""
    asked = table["as_of"].to_pandas()
    if asked.empty:
        return []
    found = {asked.quantile(share, interpolation="lower") for share in SAMPLED_AT}
    return sorted(moment.to_pydatetime().astimezone(UTC) for moment in found)


def _samples(table: pa.Table, instants: Sequence[datetime]) -> list[pa.Table]:
    """For each instant at most SAMPLE of the cases asked about in the SPAN_DAYS up to it, the same ones each time.

    Those of the very instant come first; no case is in two.
    """
    frame = table.select(["case_key", "as_of"]).to_pandas()
    frame["drawn"] = [hashlib.sha256(str(key).encode()).hexdigest() for key in frame["case_key"]]
    frame["is_taken"] = False
    found = []
    for moment in instants:
        frame["days"] = (pd.Timestamp(moment) - frame["as_of"]) / pd.Timedelta(days=1)
        is_open = frame["days"].between(0, SPAN_DAYS, inclusive="left") & ~frame["is_taken"]
        of_instant_first = (
            frame[is_open].assign(is_earlier=frame["days"] > 0).sort_values(["is_earlier", "drawn"])
        )
        places = of_instant_first.index.to_numpy()[:SAMPLE]
        frame.loc[places, "is_taken"] = True
        found.append(table.take(pa.array(places)))
    return found
