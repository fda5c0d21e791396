"""Building features and training, for any risk question: the steps that a task or the command line calls.

Each opens the lake at the versions published now, does one thing, publishes what it wrote and returns a small summary
without row values. Each may be run again at any time, for an older instant too: every instant has features of its own,
and training the same features again finds its version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.crash import crash_here
from jobs.errors import CitywellError
from jobs.lake import control, engine, tables
from ml import gate, refusals, registry, retrain
from ml.features import Facts, View
from ml.lake import Lake, Summary, as_json, instant, written_version
from ml.question import Cases
from ml.risk import freezes, meaning, outcome, questions, skew
from ml.risk.declared import Risk
from ml.risk.reading import of_question, open_lake, replace_slice, require_all
from ml.training import Refusal, Trained

CANDIDATES = ("logistic", "lightgbm")
KEPT_BUILDS = 12
"""Features of so many instants stay in the table; a training every week can be run again for three months."""
FREEZE_TAG = "freeze"
"""Tag of a version that was champion: the name of its training set, see ``ml.risk.freezes``."""


def build_features(as_of: datetime | str) -> Summary:
    """Make the features of every view's cases known at ``as_of``, for training, and publish them.

    Grain of ``features.<view>``: case and the instant the features were built for; KEPT_BUILDS instants are kept, each
    replaced as a whole. Columns: those of the view, GROUP_COLUMNS and the features; ``build_id`` (the instant as text),
    ``built_as_of``, ``gold_versions`` (JSON). Returns a summary by view.
    """
    moment = instant(as_of)
    with open_lake("features") as lake:
        facts = Facts.of(lake.spark, lake.inputs)
        return {view.name: _build(lake, view, facts, moment) for view in questions.views()}


def _build(lake: Lake, view: View, facts: Facts, moment: datetime) -> Summary:
    declared = questions.features_of(view)
    known = engine.kept(view.cases.known(facts, moment))
    kept = known.where("exclusion is null").drop("exclusion")
    slice_of = {"build_id": build_id(moment)}
    rows = (
        view.made(kept, facts, declared)
        .withColumn("built_as_of", F.lit(moment))
        .withColumn("gold_versions", F.lit(as_json(lake.inputs)))
        .withColumn("build_id", F.lit(slice_of["build_id"]))
    )
    replace_slice(lake.spark, view.table, rows, slice_of)
    crash_here("features:written")
    written = tables.read(lake.spark, view.table, written_version(view.table)).where(
        F.col("build_id") == slice_of["build_id"]
    )
    excluded = _counts(known, "exclusion")
    count = written.count()
    try:
        require_all(view, excluded.pop(None, 0), count, written.where("starts_at is null").count())
    except CitywellError:
        # Written, but never to be published: not by the next build either, which publishes the whole table.
        tables.retrying(lambda: tables.delete_slice(view.table, slice_of))
        raise
    _drop_old_builds(lake.spark, view, but=slice_of["build_id"])
    version = written_version(view.table)
    lake.publish("features", f"{view.name} {moment.isoformat()}", {view.table: version})
    return {
        "as_of": moment.isoformat(),
        "cases": count,
        "excluded": excluded,
        "features": len(declared.declarations),
        "version": version,
    }


@dataclass(frozen=True)
class Material:
    """What a question is trained on. build_id: of the view's build. table: its rows, labelled where a label is known.
    data_versions: table -> Delta version. newest: the latest instant that gold or the view's features have been
    published for, against which the training may be old."""

    risk: Risk
    as_of: datetime
    newest: datetime
    build_id: str
    table: pa.Table
    data_versions: Mapping[str, int]

    @property
    def cases(self) -> Cases:
        return cases(self.risk, labelled(self.table))

    @property
    def feature_digests(self) -> Mapping[str, str]:
        """Feature -> digest of what it means now."""
        return meaning.declared(self.risk)

    def key(self, families: Sequence[str], setting: Mapping[str, Any] | None) -> str:
        """Names a training on this; see ``registry.training_key``."""
        inputs = {"features": freezes.content_digest(self.table), "code": code_digest(self.risk.name)}
        return registry.training_key(self.risk.question, self.as_of, inputs, list(families), setting)

    def registered(self, trained: Trained, key: str) -> registry.Version:
        """A new version in MLflow."""
        return registry.register(
            trained,
            as_of=self.as_of,
            data_versions=self.data_versions,
            key=key,
            definition=questions.definition(self.risk.name),
            cohort=_cohort_counts(self.risk, self.table),
            feature_digests=self.feature_digests,
        )


def train(
    name: str, as_of: datetime | str, candidates: Sequence[str] = CANDIDATES, *, is_anew: bool = False
) -> Summary:
    """Train on the view's features as built for ``as_of``, register the model, and let the gate decide.

    The champion's family and setting are refitted; where there is no champion, or ``is_anew``, ``candidates`` are
    compared. ``outcome``: promoted, refused (by the gate), too_few (nobody to learn from yet) or unchanged (trained
    before). ``is_champion``: whether this training's version is the champion now, whoever made it so.
    """
    risk, moment = questions.load(name), instant(as_of)
    with open_lake(f"train {name}") as lake:
        found = _material(lake, risk, moment)
        plan = retrain.plan(None if is_anew else registry.champion(name), candidates)
        compared, key = found.key(candidates, None), found.key(candidates, plan.as_key())
        earlier = registry.find_training(risk.question, compared) or registry.find_training(
            risk.question, key
        )
        if earlier is not None and "gate" in earlier.tags:
            if earlier.tags["gate"] == gate.PROMOTED:
                frozen(lake, found, earlier)
            return _train_summary(risk, moment, "unchanged", earlier.tags["gate_reasons"], earlier)
        trained = retrain.train(risk.question, found.cases, plan)
        if isinstance(trained, Refusal):
            refusals.note(name, moment, trained.reason)
            return {
                "question": name,
                "as_of": moment.isoformat(),
                "outcome": "too_few",
                "is_champion": False,
                "reason": trained.reason,
            }
        version = earlier or found.registered(trained, key)
        crash_here("train:registered")
        decision = judged(lake, found, trained, version)
    overall = trained.evaluation.overall
    verdict = "promoted" if decision.is_promoted else "refused"
    return {
        **_train_summary(risk, moment, verdict, " ".join(decision.reasons), version),
        "family": trained.chosen.family,
        "training_cases": len(trained.train),
        "training_events": int(trained.train.y.sum()),
        "test_cases": overall.cases,
        "test_events": overall.events,
        "alert_line": round(trained.lines.high, 4),
        "metrics": {name: [round(v, 4) for v in vars(e).values()] for name, e in overall.metrics.items()},
    }


def judged(lake: Lake, found: Material, trained: Trained, version: registry.Version) -> gate.Decision:
    """Let the gate decide on what was trained on ``found``, with the skew of its features, which goes into the run."""
    measured = skew.measured(lake, found.risk, labelled(found.table))
    registry.log(version, "skew.json", measured.told(), measured.figures())
    decision = gate.promote(trained, version, as_of=found.newest, skew=measured.shares)
    if decision.is_promoted:
        frozen(lake, found, version)
    return decision


def frozen(lake: Lake, found: Material, version: registry.Version) -> None:
    """Freeze what ``version`` was trained on, and let it say under which name."""
    if FREEZE_TAG in version.tags:
        return
    freeze = freezes.keep(
        lake,
        found.risk.question,
        found.table,
        view=found.risk.view.table,
        as_of=found.as_of,
        build_id=found.build_id,
        data_versions=found.data_versions,
    )
    registry.set_tags(version, {FREEZE_TAG: freeze.freeze})


def material(risk: Risk) -> Material:
    """What the question is trained on, from the features published last."""
    with open_lake(f"read {risk.name}") as lake:
        return _material(lake, risk, None)


def build_id(as_of: datetime) -> str:
    """Names the features built for an instant; sorts as the instants do."""
    return f"{as_of.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"


def code_digest(name: str) -> str:
    """Names the code that turns gold into a model of question ``name``. 16 hex digits."""
    texts = questions.code_of(name)
    return hashlib.sha256(b"".join(hashlib.sha256(text).digest() for text in texts)).hexdigest()[:16]


def training_rows(name: str, as_of: datetime | str | None = None, *, freeze: str | None = None) -> pa.Table:
    """The cases of question ``name`` with their features and labels, from the view as published for ``as_of``, by
    default for the latest instant; or those of a ``freeze``."""
    risk = questions.load(name)
    with open_lake(f"read {name}") as lake:
        if freeze is not None:
            return freezes.rows_of(lake, freeze)
        return _material(lake, risk, None if as_of is None else instant(as_of)).table


def labelled(table: pa.Table) -> pa.Table:
    """Of a question's training rows those that have a label, in a fixed order."""
    order = [("starts_at", "ascending"), ("case_key", "ascending")]
    return table.filter(pc.is_valid(table["label"])).sort_by(order)


def cases(risk: Risk, table: pa.Table) -> Cases:
    """Labelled rows as cases, in the same order."""
    frame = table.to_pandas()
    return Cases(
        x=frame[risk.question.feature_names],
        y=frame["label"].to_numpy(dtype=np.int64),
        person=frame["person_key"].to_numpy(),
        groups={
            "sex": frame["sex"].to_numpy(),
            "age": frame["age_band"].to_numpy(),
            "district": frame["district"].to_numpy(),
        },
        at=frame["starts_at"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(),
        patient=frame["patient_key"].to_numpy(),
    )


def _material(lake: Lake, risk: Risk, as_of: datetime | None) -> Material:
    """The question's cases that were built for ``as_of``, or for the latest instant, with what came to pass."""
    view = risk.view
    if view.table not in lake.versions:
        raise CitywellError(
            "The features have not been built.", where=view.table, do="run build_features first"
        )
    rows = tables.read(lake.spark, view.table, lake.versions[view.table])
    [newest] = rows.agg(F.max("build_id"), F.max_by("built_as_of", "build_id")).collect()
    wanted = newest[0] if as_of is None else build_id(as_of)
    built = rows.where(F.col("build_id") == F.lit(wanted))
    if newest[0] is not None and built.limit(1).isEmpty():
        raise CitywellError(
            f"There are no features built for {wanted}; the newest are for {newest[0]}.",
            where=view.table,
            do="run build_features for the same instant first",
        )
    facts = Facts.of(lake.spark, lake.inputs)
    table = of_question(
        outcome.labelled(built, facts, risk), risk, ("ends_at", "label", "has_died")
    ).toArrow()
    built_last = newest[1].replace(tzinfo=UTC) if newest[1] else datetime.now(UTC)
    published_last = control.newest_instant(lake.conn, "gold") or built_last
    return Material(
        risk,
        as_of or built_last,
        max(built_last, published_last),
        wanted,
        table,
        {**lake.inputs, view.table: lake.versions[view.table]},
    )


def _drop_old_builds(spark: SparkSession, view: View, but: str) -> None:
    """Leave the features of the KEPT_BUILDS latest instants, and those ``but`` names."""
    rows = tables.read(spark, view.table, written_version(view.table)).select("build_id").distinct()
    for old in sorted((row["build_id"] for row in rows.collect()), reverse=True)[KEPT_BUILDS:]:
        if old != but:
            tables.retrying(partial(tables.delete_slice, view.table, {"build_id": old}))


def _cohort_counts(risk: Risk, table: pa.Table) -> dict[str, int]:
    return {
        "cases": table.num_rows,
        "of these without a label": table["label"].null_count,
        f"of these followed by death within {risk.horizon_days} days": pc.sum(table["has_died"]).as_py() or 0,
    }


def _train_summary(
    risk: Risk, moment: datetime, verdict: str, reason: str, version: registry.Version
) -> Summary:
    return {
        "question": risk.name,
        "as_of": moment.isoformat(),
        "outcome": verdict,
        "reason": reason,
        "is_champion": version.number == getattr(registry.champion(risk.name), "number", None),
        "model_version": version.number,
        "run_id": version.run_id,
    }


def _counts(rows: DataFrame, column: str) -> dict[Any, int]:
    return {row[column]: row["count"] for row in rows.groupBy(column).count().collect()}
