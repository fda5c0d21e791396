"""What a training saw: the profile of the newest cases of its build, kept with its run in MLflow.

It is made when a version is first monitored, and logged as the artifact REFERENCE; builds of features are dropped after
some months, a champion may stay longer. Where the build is gone already, the oldest later one takes its place, and
``built_for`` says which it was.

The newest cases, not all: the oldest of a view know a shorter history than those of today, which is no drift, and what
a later training may learn from them is nothing new. So drift against this reference is what came after the training.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import tables
from ml import models, registry
from ml.lake import Lake
from ml.monitoring.profile import PROBABILITY, Profile, counted, from_json, profile, to_json
from ml.registry import Model
from ml.risk import meaning
from ml.risk.declared import Risk
from ml.risk.pipeline import build_id
from ml.risk.reading import of_question
from ml.tracking import Version, connected
from ml.training import DIGITS, in_test_bucket

log = logging.getLogger(__name__)

REFERENCE = "monitoring/reference.json"
REFERENCE_DAYS, FEWEST_CASES = 30, 200
"""The cases of the last month, as long as a stay is asked about (of people: of the newest quarter's first day); or more
days, until there are so many cases."""


def of_version(lake: Lake, risk: Risk, version: Version, *, uri: str | None = None) -> Profile | None:
    """The profile of what the training of ``version`` saw, with the column ``probability``: what the model said of the
    people of its test bucket, whom it has not learnt from; without it where the model wants features that are no longer
    made. None where no build is as new.

    Raises CitywellError when MLflow does not answer, UnusableModel when the model cannot be loaded, or features mean
    something else than it has learnt: what it saw cannot be compared with theirs.
    """
    meaning.require(risk, version)
    with connected(uri) as mlflow:
        client = mlflow.MlflowClient()
        held = [item.path for item in client.list_artifacts(version.run_id, REFERENCE.partition("/")[0])]
        if REFERENCE in held:
            return from_json(mlflow.artifacts.load_text(f"runs:/{version.run_id}/{REFERENCE}"))
    frame = _newest_cases(lake, risk, datetime.fromisoformat(version.tags["as_of"]))
    if frame.empty:
        return None
    made = _profiled(risk, registry.load(version, uri=uri), frame)
    if datetime.fromisoformat(made.built_for) != datetime.fromisoformat(version.tags["as_of"]):
        log.warning(
            "%s version %s: the features it was trained on are gone, those built for %s stand for them",
            *(version.name, version.number, made.built_for),
        )
    with connected(uri) as mlflow:
        mlflow.MlflowClient().log_dict(version.run_id, json.loads(to_json(made)), REFERENCE)
    return from_json(to_json(made))


def of_build(lake: Lake, risk: Risk, as_of: datetime) -> Profile | None:
    """The profile of what a training for ``as_of`` saw that came to no model, so that there is no run to keep it with.
    None where no build is as new."""
    frame = _newest_cases(lake, risk, as_of)
    return None if frame.empty else _of_features(risk, frame)


def now(risk: Risk, rows: DataFrame, like: Profile, made_for: datetime) -> Profile:
    """The features of the question as they were scored last, in the bins of ``like``. rows: of the view's ``now``;
    made_for: the instant of that scoring."""
    asked = of_question(rows.where(risk.population), risk).toArrow().to_pandas()
    return _counted(asked, risk.question.feature_names, like, made_for)


def said(scores: DataFrame, like: Profile, made_for: datetime) -> Profile:
    """The probabilities of ``scores``, rows of ``scores.risk``, in the bins of ``like``."""
    return _counted(
        scores.select("person_key", PROBABILITY.name).toArrow().to_pandas(),
        [PROBABILITY.name],
        like,
        made_for,
    )


def _counted(frame: pd.DataFrame, names: list[str], like: Profile, made_for: datetime) -> Profile:
    return counted(frame[names], like, frame["person_key"].nunique(), made_for.astimezone(UTC).isoformat())


def _newest_cases(lake: Lake, risk: Risk, as_of: datetime) -> pd.DataFrame:
    """The question's newest cases of the build for ``as_of``, or of the oldest kept that is newer."""
    view = risk.view
    built = tables.read(lake.spark, view.table, lake.versions[view.table])
    oldest = built.where(F.col("build_id") >= build_id(as_of)).agg(F.min("build_id")).collect()[0][0]
    cases = of_question(
        built.where(F.col("build_id") == oldest).where(risk.population), risk, ("built_as_of",)
    )
    begun = [
        row[0] for row in cases.select("starts_at").orderBy(F.desc("starts_at")).limit(FEWEST_CASES).collect()
    ]
    if not begun:
        return pd.DataFrame()
    month = begun[0] - timedelta(days=REFERENCE_DAYS)
    since = F.lit(min(month, begun[-1]).replace(tzinfo=UTC))
    return cases.where(F.col("starts_at") >= since).orderBy("case_key").toArrow().to_pandas()


def _of_features(risk: Risk, frame: pd.DataFrame) -> Profile:
    built_for = frame["built_as_of"].iloc[0].tz_convert("UTC").isoformat()
    return profile(frame, risk.question.features, frame["person_key"].nunique(), built_for)


def _profiled(risk: Risk, model: Model, frame: pd.DataFrame) -> Profile:
    whole = _of_features(risk, frame)
    is_unseen = frame["patient_key"].map(lambda patient: in_test_bucket(risk.question, patient))
    unseen = frame[is_unseen]
    if not set(model.features) <= set(frame.columns):
        return whole
    probability = models.predict(model.pipeline, unseen[list(model.features)]).round(DIGITS)
    said = pd.DataFrame({PROBABILITY.name: probability})
    of_model = profile(said, [PROBABILITY], unseen["person_key"].nunique(), whole.built_for)
    return Profile(whole.built_for, {**whole.columns, **of_model.columns})
