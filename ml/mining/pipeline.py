"""Mining as a task or the command line calls it: read gold, find, publish ``gold.mining_*``, and sum up.

It may be run again at any time, for an older instant too: every instant is a run of its own, replaced as a whole, and
from the same gold the same rows follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from jobs.crash import crash_here
from jobs.lake import tables
from jobs.writeback.disclosure import SMALLEST_SHOWN
from ml.lake import Lake, Summary, instant, opened, written_version
from ml.mining import (
    clusters,
    correlate,
    describe,
    dispensing,
    districts,
    facility_days,
    inputs,
    outbreaks,
    patients,
    readings,
    rules,
    shapes,
)
from ml.mining.inputs import Gold
from ml.mining.shapes import Shape

MOST_DISTRICT_CLUSTERS = 5
DIGITS = 9
"""Significant digits of what is stored: the order in which an engine adds shows in the last ones."""

Tables = dict[Shape, pd.DataFrame]


def mine(as_of: datetime | str) -> Summary:
    """Mine gold as it could be used at ``as_of`` and publish the tables of ``ml.mining.shapes``.

    Raises CitywellError when gold has not been published.
    """
    moment = instant(as_of)
    with opened("mining", inputs.NEEDED, inputs.USED_WHERE_THERE) as lake:
        there = [table for table in inputs.USED_WHERE_THERE if table in lake.inputs]
        found = find(Gold.at(lake.spark, moment, there))
        run = {"run_id": run_id(moment)}
        for shape, rows in found.items():
            table = _as_table(lake.spark, shape, rows.assign(as_of=moment, **run))
            tables.retrying(partial(tables.replace_slice, lake.spark, shape.table, table, run))
            _drop_old_runs(lake.spark, shape.table, but=run["run_id"])
        crash_here("mining:written")
        _publish(lake, moment)
    return {"as_of": moment.isoformat(), **_summary(found)}


def find(gold: Gold) -> Tables:
    """The rows of every table, without run."""
    people, values, words = inputs.people(gold), inputs.values(gold), inputs.words(gold)
    variables, units = patients.variables(people, values)
    syndromic = inputs.syndromic_counts(gold)
    had = inputs.person_items(gold)
    residents = districts.of_residents(people, variables, had, inputs.smokers(gold))
    member_tables = [
        _patients(people, variables, inputs.lasting_conditions(gold), words),
        _districts(*districts.profiles(residents, people, inputs.exposures(gold)), words),
    ]
    divisions = {"sex": people["sex"].to_numpy(), "age": people["age_band"].to_numpy()}
    statistics = describe.describe(variables, divisions)
    return {
        shapes.STATISTICS: statistics.assign(unit=statistics["variable"].map(units)),
        shapes.CORRELATIONS: correlate.correlate(variables, patients.age_and_sex(people)),
        shapes.RULES: _with_words(rules.find(inputs.item_counts(gold)), words),
        shapes.CLUSTERS: pd.concat([table for table, _ in member_tables], ignore_index=True),
        shapes.MEMBERS: pd.concat([table for _, table in member_tables], ignore_index=True),
        shapes.ANOMALIES: _anomalies(gold, len(people)),
        shapes.OUTBREAKS: _outbreaks(people, syndromic),
    }


def run_id(as_of: datetime) -> str:
    """Names the run for an instant; sorts as the instants do."""
    return f"{as_of.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"


def _patients(
    people: pd.DataFrame, variables: pd.DataFrame, lasting: pd.DataFrame, words: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    by, strata = patients.to_cluster(people, variables, lasting)
    found = clusters.cluster(by, strata)
    shown = by.assign(age_years=variables["age_years"].reindex(by.index))
    told = clusters.marks(shown, found.labels, _called(shown, words), least_shown=SMALLEST_SHOWN)
    members = pd.DataFrame({"person_key": by.index, "area_code": None})
    return _clustered("patients", found, told, members)


def _districts(
    shown: pd.DataFrame, by: pd.DataFrame, words: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    found = clusters.cluster(by, most=MOST_DISTRICT_CLUSTERS, is_scaled=True)
    called = {
        name: f"share with {word}" if name.startswith(inputs.ICD10_ITEM) else word
        for name, word in _called(shown, words).items()
    }
    told = clusters.marks(shown, found.labels, called)
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


def _called(columns: pd.DataFrame, words: Mapping[str, str]) -> dict[str, str]:
    return {name: words.get(name, name.partition("|")[2] or name.replace("_", " ")) for name in columns}


def _with_words(found: pd.DataFrame, words: Mapping[str, str]) -> pd.DataFrame:
    def told(items: str) -> str:
        return " and ".join(words.get(item, item) for item in items.split(rules.JOINT))

    return found.assign(
        antecedent_words=found["antecedent"].map(told), consequent_words=found["consequent"].map(told)
    )


def _anomalies(gold: Gold, people: int) -> pd.DataFrame:
    found = [
        facility_days.find(inputs.arrivals(gold)),
        readings.find(*inputs.readings(gold), people),
    ]
    if "gold.fct_dispense" in gold.tables:
        windows = inputs.watched_windows(gold)
        days = (gold.as_of.date() - windows["to_date"].min()).days if len(windows) else 0
        found.append(dispensing.find(windows, people, days / readings.DAYS_PER_MONTH))
    return pd.concat([table for table in found if len(table)] or found[:1], ignore_index=True)


def _outbreaks(people: pd.DataFrame, syndromic: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    residents = inputs.residents(people)
    judged = [outbreaks.watch(counts, residents).assign(syndrome=name) for name, counts in syndromic.items()]
    return pd.concat([table for table in judged if len(table)] or judged[:1], ignore_index=True)


def _as_table(spark: SparkSession, shape: Shape, rows: pd.DataFrame) -> DataFrame:
    schema = StructType.fromDDL(shape.ddl)
    assert isinstance(schema, StructType)
    ordered = rows[schema.names].copy()
    for name in ordered.select_dtypes("float"):
        ordered[name] = _rounded(ordered[name].to_numpy())
    arrow = pa.Table.from_pandas(ordered, to_arrow_schema(schema, timezone="UTC"), preserve_index=False)
    return spark.createDataFrame(arrow, schema)


def _rounded(values: np.ndarray) -> np.ndarray:
    """To DIGITS significant digits."""
    return np.array([float(f"{value:.{DIGITS}g}") for value in values])


def _drop_old_runs(spark: SparkSession, table: str, but: str) -> None:
    """Leave the KEPT_RUNS latest runs, and the one that ``but`` names."""
    held = tables.read(spark, table).select("run_id").distinct().collect()
    for old in sorted((row["run_id"] for row in held), reverse=True)[shapes.KEPT_RUNS :]:
        if old != but:
            tables.retrying(partial(tables.delete_slice, table, {"run_id": old}))


def _publish(lake: Lake, moment: datetime) -> None:
    versions = {shape.table: written_version(shape.table) for shape in shapes.SHAPES}
    lake.publish("mining", moment.isoformat(), versions)


def _summary(found: Tables) -> Summary:
    clustered, anomalies = found[shapes.CLUSTERS], found[shapes.ANOMALIES]
    return {
        "statistics": len(found[shapes.STATISTICS]),
        "correlations": int((found[shapes.CORRELATIONS]["q"] <= rules.MOST_Q).sum()),
        "rules": len(found[shapes.RULES]),
        "clusters": {str(k): int(n) for k, n in clustered.groupby("kind").size().items()},
        "anomalies": {str(k): int(n) for k, n in anomalies.groupby("kind").size().items()},
        "alarms": int(found[shapes.OUTBREAKS]["is_alarm"].sum()),
    }
