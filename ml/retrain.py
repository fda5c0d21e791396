"""What a training does: refit the champion's frozen setting, or compare everything where there is none to keep to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml import metrics, registry, training
from ml.models import Setting
from ml.question import Cases, Question
from ml.tracking import Version
from ml.training import Refusal, Trained


@dataclass(frozen=True)
class Plan:
    """frozen: family and setting to refit; None for a full comparison of ``families`` with nested cross-validation."""

    families: Sequence[str]
    frozen: tuple[str, Setting] | None

    def as_key(self) -> Mapping[str, Any] | None:
        """The ``setting`` of ``registry.training_key``: a refit is another training than a comparison."""
        return None if self.frozen is None else {"family": self.frozen[0], **self.frozen[1]}


def plan(champion: Version | None, families: Sequence[str]) -> Plan:
    """A refit when ``champion`` has a recorded setting that can still be built, else a comparison of ``families``."""
    return Plan(families, registry.setting_of(champion) if champion else None)


def train(
    question: Question, cases: Cases, planned: Plan, *, seed: int = 0, replicates: int = metrics.REPLICATES
) -> Trained | Refusal:
    """Train as planned; see ``ml.training``."""
    if planned.frozen is None:
        return training.train(
            question, cases, planned.families, is_nested=True, seed=seed, replicates=replicates
        )
    family, setting = planned.frozen
    return training.refit(question, cases, family, setting, seed=seed, replicates=replicates)
