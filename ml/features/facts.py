"""The gold tables that features, cases and labels are made from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

from pyspark.sql import DataFrame, SparkSession

from jobs.lake import engine
from ml.features.knowledge import versions

GOLD = (
    "gold.dim_person",
    "gold.fct_encounter",
    "gold.fct_condition",
    "gold.fct_measurement",
    "gold.fct_medication_request",
    "gold.fct_lifestyle_daily",
)
SUPERSEDED = {fact: f"{fact}_superseded" for fact in GOLD[1:]}
"""Fact -> its versions that another took the place of: the fact's columns and ``superseded_at``. Of days that devices
told there are none: a day counts from when it was last told."""


@dataclass(frozen=True)
class Facts:
    """Of facts the current rows or, better, all their versions (``superseded_at``)."""

    person: DataFrame
    encounter: DataFrame
    condition: DataFrame
    measurement: DataFrame
    medication_request: DataFrame
    lifestyle_daily: DataFrame

    @classmethod
    def of(cls, spark: SparkSession, published: Collection[str]) -> Facts:
        """The facts of a session that has the ``published`` tables registered; superseded versions where there are
        some."""
        person, *facts = (spark.table(table) for table in GOLD)
        superseded = (spark.table(table) if table in published else None for table in SUPERSEDED.values())
        return cls(person, *map(versions, facts, superseded))

    def of_people(self, people: DataFrame) -> Facts:
        """The facts of these people (``person_key``) alone, computed once: cheap to ask again."""
        return Facts(
            **{
                field.name: engine.kept(getattr(self, field.name).join(people, "person_key", "left_semi"))
                for field in fields(self)
            }
        )
