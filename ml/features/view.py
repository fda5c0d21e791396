"""A view: the cases of one grain, and the features that any question about them may use.

The training table ``features.<view>`` holds the cases of the past, the serving table ``features.<view>_now`` those that
are asked about now; both are made by the same plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pyspark.sql import DataFrame

from ml.features.declared import FeatureSet
from ml.features.facts import Facts
from ml.features.plan import build

CASE_COLUMNS = (
    "case_key",
    "source",
    "person_key",
    "patient_key",
    "encounter_key",
    "as_of",
    "starts_at",
    "data_end_at",
    "dead_by",
    "is_dead",
)
"""One case: a person, or a stay, at the instant it is asked about.

``case_key`` names it. ``source``, ``patient_key``: the record that stands for it. ``encounter_key``: the stay, null
where the case is a person. ``as_of``: features know what was known by then. Questions are about what follows
``starts_at``. ``data_end_at``: up to when the data of the person's hospitals go. ``is_dead``: by all that was known
when the table was made; ``dead_by``: the end of what is known of the time of death, null where nothing is.
"""
GROUP_COLUMNS = ("sex", "age_band", "district")
"""For which results are shown apart."""


class CaseMaker(Protocol):
    """Makes the cases of a view. ``gone``: why a score falls whose subject is in none of :meth:`standing`. ``columns``:
    what its cases have beside CASE_COLUMNS."""

    @property
    def gone(self) -> str: ...

    @property
    def columns(self) -> tuple[str, ...]: ...

    def known(self, facts: Facts, as_of: datetime) -> DataFrame:
        """CASE_COLUMNS, own ``columns`` and ``exclusion`` of all cases known at ``as_of``: exclusion says why one is
        left out, null: kept."""
        ...

    def standing(self, facts: Facts) -> DataFrame:
        """subject_key, patient_key, ``fallen``: about whom a score may stand by all that gold knows now, whatever the
        instant of a run. subject_key: the encounter, or the patient where cases are people. fallen: why it may not,
        null where it may."""
        ...

    def open(self, facts: Facts, as_of: datetime, standing: DataFrame) -> DataFrame:
        """The cases to be scored at ``as_of``, columns as of :meth:`known`. standing: of :meth:`standing`; a run for an
        older instant does not score what a later one has seen fall."""
        ...

    def with_context(self, cases: DataFrame, facts: Facts) -> DataFrame:
        """The cases with GROUP_COLUMNS and all that declarations of features name."""
        ...


@dataclass(frozen=True)
class View:
    """name: of its tables. features: what every question about these cases may use."""

    name: str
    cases: CaseMaker
    features: FeatureSet

    @property
    def table(self) -> str:
        """The cases of the past."""
        return f"features.{self.name}"

    @property
    def now(self) -> str:
        """The cases that are asked about now."""
        return f"features.{self.name}_now"

    @property
    def columns(self) -> tuple[str, ...]:
        """What a row has beside its features."""
        return (*CASE_COLUMNS, *self.cases.columns)

    def made(self, cases: DataFrame, facts: Facts, features: FeatureSet) -> DataFrame:
        """Columns of the view, GROUP_COLUMNS and ``features`` of cases: for training and for scoring."""
        rows = build(self.cases.with_context(cases, facts), facts, features)
        names = [feature.name for feature in features.features]
        return rows.select(*self.columns, *(g for g in GROUP_COLUMNS if g not in names), *names)
