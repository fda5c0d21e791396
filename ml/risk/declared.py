"""What a risk question is: who is asked about, what may happen to them, and the features that may tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ml.features import Derived, View, Windowed
from ml.question import Question

NO_REASON = "not is_planned and reason_code is null"
"""Unplanned admissions whose reason no code of ICD-10 tells: they may be of any disease."""


@dataclass(frozen=True)
class Outcome:
    """What is predicted: the first event of kind ``of`` (``ml.features.events``) that fits ``where`` and happens
    within the horizon. A death before it makes it impossible: such a case is a 0. maybe: events of which nobody can say
    whether they are one; a case with such an event and no certain one has no label."""

    of: str
    where: str
    maybe: str = "false"


@dataclass(frozen=True)
class Risk:
    """A risk question.

    name: target, registered model and folder. title: one sentence for people. horizon_days: how far it looks ahead.
    alert_budget: share of cases that a team can act on. view: whose cases it is about. population: SQL over a row of
    the view; who does not fit is not asked about. outcome: None where the view's rows say themselves what came to
    pass (``label``). features: names out of the view; none: all. own: features that only this question declares; they
    are made with the view's. leaves_out: features of the view it does not use. valid_days: how long a score is good
    for, by default until the horizon is over. baselines: published score -> the feature that holds it. mitigation:
    what a team may do about a high risk, one sentence that goes with an alert. cost_ratio: as of a ``Question``.
    """

    name: str
    title: str
    horizon_days: int
    alert_budget: float
    view: View
    outcome: Outcome | None = None
    population: str = "true"
    features: tuple[str, ...] = ()
    own: tuple[Windowed | Derived, ...] = ()
    leaves_out: tuple[str, ...] = ()
    valid_days: int | None = None
    baselines: Mapping[str, str] = field(default_factory=dict)
    mitigation: str = ""
    cost_ratio: float | None = None

    @property
    def question(self) -> Question:
        declared = [one.feature for one in (*self.view.features.declarations, *self.own)]
        wanted = self.features or [f.name for f in declared if f.name not in self.leaves_out]
        return Question(
            name=self.name,
            title=self.title,
            horizon_days=self.horizon_days,
            alert_budget=self.alert_budget,
            features=tuple(feature for feature in declared if feature.name in wanted),
            baselines=self.baselines,
            cost_ratio=self.cost_ratio,
        )
