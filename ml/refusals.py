"""Trainings that came to no model, because there was nobody to learn from yet: kept where the models are, so that what
is missing can be told with its reason."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from ml.tracking import connected

TAG = "too_few"


@dataclass(frozen=True)
class Refused:
    """as_of: the instant that was to be trained for. reason: in words."""

    as_of: datetime
    reason: str


def note(name: str, as_of: datetime, reason: str, *, uri: str | None = None) -> None:
    """Keep with the experiment of model ``name`` that a training for ``as_of`` came to nothing, and why."""
    with connected(uri) as mlflow:
        experiment = mlflow.set_experiment(name)
        told = json.dumps({"as_of": as_of.astimezone(UTC).isoformat(), "reason": reason})
        mlflow.MlflowClient().set_experiment_tag(experiment.experiment_id, TAG, told)


def newest(name: str, *, uri: str | None = None) -> Refused | None:
    """The last training that came to nothing; None where none has."""
    with connected(uri) as mlflow:
        experiment = mlflow.MlflowClient().get_experiment_by_name(name)
    told = experiment.tags.get(TAG) if experiment is not None else None
    if told is None:
        return None
    kept = json.loads(told)
    return Refused(datetime.fromisoformat(kept["as_of"]), kept["reason"])
