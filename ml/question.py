"""What a question is: a target, its horizon and the features that may answer it.

A question is data, not behaviour. The same training, registry, gate and scoring code serves every question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

Kind = Literal["number", "count", "flag", "category"]


@dataclass(frozen=True)
class Feature:
    """One input of a model.

    name: column name, with its unit. kind: ``number`` (may be missing), ``count`` (non-negative, long right
    tail), ``flag`` (0 or 1), ``category`` (a short code, may be missing). label: what a clinician reads;
    for a flag, a phrase that is true when the flag is 1. unit: printed after the value, as people write it.
    """

    name: str
    kind: Kind
    label: str
    unit: str = ""


@dataclass(frozen=True)
class Question:
    """A prediction target.

    name: target and registered model name. title: one sentence for people. horizon_days: the score speaks of
    the days after ``as_of`` up to this many. alert_budget: share of scored cases that a team can act on; the
    alert line is put where this share of the training cases lies above it. baselines: name of a published score -> the
    feature that holds it, higher for a higher risk: what a model has to beat. cost_ratio: what a false alarm costs,
    with a missed event as the unit, where that is known.
    """

    name: str
    title: str
    horizon_days: int
    alert_budget: float
    features: tuple[Feature, ...]
    baselines: Mapping[str, str] = field(default_factory=dict)
    cost_ratio: float | None = None

    @property
    def feature_names(self) -> list[str]:
        return [feature.name for feature in self.features]

    def of_kind(self, *kinds: Kind) -> list[str]:
        """Names of the features of these kinds, in declared order."""
        return [feature.name for feature in self.features if feature.kind in kinds]


@dataclass(frozen=True)
class Cases:
    """Labelled cases, all of one length n.

    x: n rows of a question's features. y: 0 or 1. person: whose case it is. at: when the question was asked
    (datetime64, UTC), where known. groups: name -> n values, such as sex and age band, for which results are shown
    apart. patient: whose record it is, where linkage may make several patients one person, or take them apart again.
    """

    x: pd.DataFrame
    y: np.ndarray
    person: np.ndarray
    groups: Mapping[str, np.ndarray]
    at: np.ndarray | None = field(default=None)
    patient: np.ndarray | None = field(default=None)

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> Cases:
        """The cases at these positions (or where this mask is true)."""
        return Cases(
            x=self.x.iloc[np.flatnonzero(rows) if rows.dtype == bool else rows].reset_index(drop=True),
            y=self.y[rows],
            person=self.person[rows],
            groups={name: values[rows] for name, values in self.groups.items()},
            at=None if self.at is None else self.at[rows],
            patient=None if self.patient is None else self.patient[rows],
        )
