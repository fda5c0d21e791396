"""When a question is trained again because of what was seen, and that this comes to an end.

A question is asked to be trained again when a line is crossed *on data that its newest training has not seen*, whatever
the gate said of that one, and whether or not it came to a model (``ml.refusals``):

* features, or probabilities, have moved against the newest training's own reference (``reference``): against the
  champion's they may have moved for months, and a further training on the same data would be refused again; and there
  are cases that it could not know of: people are asked about for training at the begin of a quarter alone. Of a
  training that came to no model only features have a reference;
* the champion has decayed on cases whose horizon was over after the instant of the newest training;
* and the newest training was for an earlier instant than this run.

So a training that was asked for is not asked for again, by the scoring that follows it or by the next day's, until
further data cross a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import functions as F

from ml import refusals, registry
from ml.features import Facts
from ml.features.knowledge import literal
from ml.monitoring.figures import Figure
from ml.risk.declared import Risk
from ml.tracking import Version


@dataclass(frozen=True)
class Training:
    """as_of: the instant it was for. version: what it made; None where it came to no model."""

    as_of: datetime
    version: Version | None

    @classmethod
    def of(cls, version: Version) -> Training:
        """The one that made ``version``."""
        return cls(datetime.fromisoformat(version.tags["as_of"]), version)


def newest_training(name: str, *, uri: str | None = None) -> Training | None:
    """The training of question ``name`` for the latest instant, whatever became of it."""
    listed = registry.versions(name, uri=uri)
    found = [Training.of(item.version) for item in listed if "as_of" in item.version.tags]
    if refused := refusals.newest(name, uri=uri):
        found.append(Training(refused.as_of, None))
    return max(found, key=lambda training: training.as_of, default=None)


def has_more_cases(risk: Risk, facts: Facts, since: datetime, as_of: datetime) -> bool:
    """Whether a training at ``as_of`` has cases to learn from that one at ``since`` had not."""
    known = risk.view.cases.known(facts, as_of).where("exclusion is null")
    return not known.where(F.col("starts_at") > literal(since)).limit(1).isEmpty()


def is_asked(newest: Training, unseen: Sequence[Figure], as_of: datetime) -> bool:
    """Whether the question is to be trained again. newest: its newest training. unseen: figures on data that this one
    has not seen."""
    return newest.as_of < as_of and any(figure.is_crossed for figure in unseen)
