"""The steps that a task or the command line calls: build features, train, score.

Each opens the lake at the versions published now, does one thing, publishes what it wrote and returns a small summary
without row values. Each may be run again at any time, for an older instant too: every instant has features of its own,
training the same features again finds its version, and a score that is there already is not added.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.crash import crash_here
from jobs.errors import CitywellError
from jobs.lake import engine, tables
from ml import gate, registry, scoring
from ml import training as generic
from ml.lake import Lake, Summary, as_json, instant, opened, written_version
from ml.question import Cases
from ml.readmission import cohort
from ml.readmission.features import GOLD, LABEL, QUESTION, SUPERSEDED, TARGET, Facts, build

FEATURES = "features.readmission"
SCORES = "scores.risk"
CANDIDATES = ("logistic", "hist_gradient_boosting")
KEPT_BUILDS = 12
"""Features of so many instants stay in the table; a training every week can be run again for three months."""
CODE = (
    *(
        f"readmission/{name}"
        for name in ("cohort.py", "features.py", "analytes.py", "comorbidity.py", "definition.md")
    ),
    "models.py",
    "training.py",
)
"""What turns gold into a model, files of ``ml``: a change there is a reason to train again."""
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


def build_features(as_of: datetime | str) -> Summary:
    """Make the features of every index stay known at ``as_of`` and publish them in ``features.readmission``.

    Grain: index stay and the instant the features were built for; KEPT_BUILDS instants are kept, each replaced as a
    whole. Columns beside those of :func:`ml.readmission.features.build`: ``target``, ``build_id`` (the instant as
    text), ``built_as_of``, ``gold_versions`` (JSON).
    """
    moment = instant(as_of)
    with _lake("features readmission") as lake:
        facts = Facts.of(lake.spark, lake.inputs)
        all_stays = cohort.stays(facts.encounter, moment)
        index = cohort.index_stays(all_stays, facts.encounter, facts.person, moment)
        rows = (
            build(index, facts)
            .withColumn("built_as_of", F.lit(moment))
            .withColumn("gold_versions", F.lit(as_json(lake.inputs)))
        )
        slice_of = {"target": TARGET, "build_id": build_id(moment)}
        tables.retrying(lambda: tables.replace_slice(lake.spark, FEATURES, rows, slice_of))
        crash_here("features:written")
        written = _built(lake.spark, written_version(FEATURES)).where(
            F.col("build_id") == slice_of["build_id"]
        )
        excluded, labels = _counts(index, "exclusion"), _counts(written, LABEL)
        try:
            undated = written.where("discharged_at is null").count()
            _require_all(excluded.pop(None, 0), sum(labels.values()), undated)
        except CitywellError:
            # Written, but never to be published: not by the next build either, which publishes the whole table.
            tables.retrying(lambda: tables.delete_slice(FEATURES, slice_of))
            raise
        _drop_old_builds(lake.spark, but=slice_of["build_id"])
        version = written_version(FEATURES)
        lake.publish("features", f"{TARGET} {moment.isoformat()}", {FEATURES: version})
    return {
        "question": TARGET,
        "as_of": moment.isoformat(),
        "index_stays": sum(labels.values()),
        "readmitted": labels.get(1, 0),
        "not_readmitted": labels.get(0, 0),
        "censored": labels.get(None, 0),
        "excluded": excluded,
        "features": len(QUESTION.features),
        "version": version,
    }


def train(as_of: datetime | str, candidates: Sequence[str] = CANDIDATES) -> Summary:
    """Train on ``features.readmission`` as built for ``as_of``, register the model, and let the gate decide.

    ``outcome``: promoted, refused (by the gate), too_few (nobody to learn from yet) or unchanged (trained before).
    ``is_champion``: whether this training's version is the champion now, whoever made it so.
    """
    moment = instant(as_of)
    with _lake(f"train {TARGET}") as lake:
        table = _read_features(lake, moment)
        gold_versions = json.loads(table["gold_versions"][0].as_py()) if table.num_rows else lake.inputs
        inputs = {"features": content_digest(table), "code": code_digest()}
        key = registry.training_key(QUESTION, moment, inputs, list(candidates))
        earlier = registry.find_training(QUESTION, key)
        if earlier is not None and "gate" in earlier.tags:
            return _train_summary(moment, "unchanged", earlier.tags["gate_reasons"], earlier)
        trained = generic.train(QUESTION, cases(labelled(table)), candidates)
        if isinstance(trained, generic.Refusal):
            return {
                "question": TARGET,
                "as_of": moment.isoformat(),
                "outcome": "too_few",
                "is_champion": False,
                "reason": trained.reason,
            }
        version = earlier or registry.register(
            trained,
            as_of=moment,
            data_versions={**gold_versions, FEATURES: lake.versions[FEATURES]},
            key=key,
            definition=resources.files("ml.readmission").joinpath("definition.md").read_text("utf-8"),
            cohort=_cohort_counts(table),
        )
        crash_here("train:registered")
        decision = gate.promote(trained, version)
    overall = trained.evaluation.overall
    return {
        **_train_summary(
            moment, "promoted" if decision.is_promoted else "refused", " ".join(decision.reasons), version
        ),
        "family": trained.chosen.family,
        "training_cases": len(trained.train),
        "training_events": int(trained.train.y.sum()),
        "test_cases": overall.cases,
        "test_events": overall.events,
        "alert_line": round(trained.lines.high, 4),
        "metrics": {name: [round(v, 4) for v in vars(e).values()] for name, e in overall.metrics.items()},
    }


def score(as_of: datetime | str) -> Summary:
    """Score everyone discharged in the 30 days before ``as_of`` with the champion and publish what is new.

    Scores that have not expired, of stays that can no longer be asked about, are withdrawn. ``outcome``: scored, or
    no_champion.
    """
    moment = instant(as_of)
    with _lake(f"score {TARGET}") as lake:
        holder = registry.champion(TARGET)
        if holder is None:
            return {
                "question": TARGET,
                "as_of": moment.isoformat(),
                "outcome": "no_champion",
                "reason": "No model has passed the gate yet, so nobody is scored.",
            }
        model = registry.load(holder)
        facts = Facts.of(lake.spark, lake.inputs)
        standing = engine.kept(standing_of_stays(facts))
        index = engine.kept(open_stays(facts, moment, standing))
        rows = build(index, facts).orderBy("source", "encounter_key").toArrow()
        _require_all(index.count(), rows.num_rows, rows["discharged_at"].null_count)
        scored_at = datetime.now(UTC)
        chunks = scoring.score(model, QUESTION, rows, data_versions=lake.inputs, scored_at=scored_at)
        scores = pa.concat_tables([scoring.RISK_SCHEMA.empty_table(), *chunks])
        batch_id = score_batch_id(moment, holder.number, lake.inputs)
        withdrawn = withdrawals(lake.spark, standing, moment, scored_at)
        added, version = add_scores(lake.spark, scores, withdrawn, batch_id)
        crash_here("score:appended")
        lake.publish("scores", f"{TARGET} {moment.isoformat()}", {SCORES: version})
    bands = pc.value_counts(scores["band"]).to_pylist()
    return {
        "question": TARGET,
        "as_of": moment.isoformat(),
        "outcome": "scored",
        "scored": scores.num_rows,
        "added": added["active"],
        "withdrawn": added["withdrawn"],
        "bands": {item["values"]: item["counts"] for item in bands},
        "model_version": holder.number,
        "version": version,
    }


def standing_of_stays(facts: Facts) -> DataFrame:
    """encounter_key, patient_key, ``fallen``: the stays by all that gold knows now, whatever the instant of a run.

    ``fallen``: why a stay may no longer be acted on: ``person_died``, or the exclusion that has come to apply (see
    ``definition.md``); null for one that stands. A stay that is not here is gone.
    """
    all_stays = cohort.stays(facts.encounter, END_OF_TIME)
    index = cohort.index_stays(all_stays, facts.encounter, facts.person, END_OF_TIME)
    fallen = F.when(F.col("is_dead"), "person_died").otherwise(F.col("exclusion"))
    return index.select("encounter_key", "patient_key", fallen.alias("fallen"))


def open_stays(facts: Facts, as_of: datetime, standing: DataFrame) -> DataFrame:
    """The index stays whose 30 days are not over at ``as_of``, of people not known to be dead.

    standing: what ``standing_of_stays`` gives. A run for an older instant does not score what a later one has seen
    fall, or move to another patient.
    """
    all_stays = cohort.stays(facts.encounter, as_of)
    index = cohort.index_stays(all_stays, facts.encounter, facts.person, as_of)
    since = F.lit(as_of) - F.expr(f"interval {QUESTION.horizon_days} days")
    is_open = (
        (F.col("discharged_at") > since)
        & (F.col("discharged_at") <= F.lit(as_of))
        & (F.col("as_of") <= F.lit(as_of))
        & ~F.col("is_dead")
    )
    keys = ["encounter_key", "patient_key"]
    stands = standing.where("fallen is null").select(*keys)
    opened = index.where("exclusion is null").where(is_open)
    return opened.join(stands, keys, "left_semi").select(*index.columns)


def add_scores(
    spark: SparkSession, scores: pa.Table, withdrawn: pa.Table, batch_id: str
) -> tuple[Mapping[str, int], int]:
    """Append to ``scores.risk`` the scores that say something new, and the withdrawals; rows by status, and the
    table's version.

    New is a score whose person, as-of, model version, probability or reasons differ from the newest row with its
    ``risk_key``, or that was withdrawn. A batch that is there already adds nothing, whatever it holds.
    """
    added = {"active": 0, "withdrawn": 0}
    fresh = scores
    if tables.exists(SCORES):
        held = tables.read(spark, SCORES)
        if not held.where(F.col("batch_id") == batch_id).limit(1).isEmpty():
            return added, written_version(SCORES)
        fresh = _unlike_newest(spark, held, scores).select(scores.schema.names)
    added |= {"active": fresh.num_rows, "withdrawn": withdrawn.num_rows}
    rows = spark.createDataFrame(
        pa.concat_tables([fresh.cast(scoring.RISK_SCHEMA), withdrawn]), scoring.RISK_COLUMNS
    )
    tables.create(SCORES, rows.withColumn("batch_id", F.lit(batch_id)).schema, ["batch_id"])
    if not any(added.values()):
        return added, written_version(SCORES)
    return added, tables.retrying(lambda: tables.append_batch(spark, SCORES, rows, batch_id))


def withdrawals(
    spark: SparkSession, standing: DataFrame, as_of: datetime, withdrawn_at: datetime
) -> pa.Table:
    """Rows of ``scores.risk`` that withdraw what must no longer be acted on.

    Withdrawn is the newest score of a stay when it has not expired at ``as_of`` and the stay does not stand any more: a
    run for an older instant must not take back what a later one has seen. standing: what ``standing_of_stays`` gives.
    ``status_reason``: why it has fallen, ``stay_gone`` (deleted, entered in error, or joined to another), or ``moved``
    (the stay is another patient's now, and has a score of its own there).
    """
    if not tables.exists(SCORES):
        return scoring.RISK_SCHEMA.empty_table()
    is_live = (
        (F.col("target") == TARGET)
        & (F.col("status") == scoring.ACTIVE)
        & (F.col("as_of") <= F.lit(as_of))
        & (F.col("expires_at") > F.lit(as_of))
    )
    live = _newest(tables.read(spark, SCORES)).where(is_live)
    now = standing.withColumnRenamed("patient_key", "patient_now").withColumn("is_there", F.lit(True))
    why = (
        F.when(F.col("is_there").isNull(), "stay_gone")
        .when(~F.col("patient_now").eqNullSafe(F.col("patient_key")), "moved")
        .otherwise(F.col("fallen"))
    )
    gone = live.join(now, "encounter_key", "left").withColumn("why", why)
    return (
        gone.where("why is not null")
        .withColumn("status", F.lit(scoring.WITHDRAWN))
        .withColumn("status_reason", F.col("why"))
        .withColumn("scored_at", F.lit(withdrawn_at))
        .select(scoring.RISK_SCHEMA.names)
        .toArrow()
        .cast(scoring.RISK_SCHEMA)
    )


def score_batch_id(as_of: datetime, model_version: str, data_versions: Mapping[str, int]) -> str:
    """Names a scoring by all that goes into it: the same id means the same scores."""
    digest = hashlib.sha256(as_json(data_versions).encode()).hexdigest()[:8]
    return f"{TARGET}.{as_of:%Y%m%dT%H%M%SZ}.v{model_version}.{digest}"


def build_id(as_of: datetime) -> str:
    """Names the features built for an instant; sorts as the instants do."""
    return f"{as_of.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"


def content_digest(table: pa.Table) -> str:
    """Names the rows of ``features.readmission`` by what they say, in any order. 16 hex digits.

    The versions of the gold tables are no part of it: they move whenever gold is built again.
    """
    frame = table.drop_columns(["gold_versions"]).sort_by("encounter_key").to_pandas()
    by_row = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return hashlib.sha256(by_row.tobytes()).hexdigest()[:16]


def code_digest() -> str:
    """Names the code that turns gold into a model. 16 hex digits."""
    texts = [resources.files("ml").joinpath(name).read_bytes() for name in CODE]
    return hashlib.sha256(b"".join(hashlib.sha256(text).digest() for text in texts)).hexdigest()[:16]


def features(as_of: datetime | str | None = None) -> pa.Table:
    """The published rows of ``features.readmission`` built for ``as_of``, by default for the latest instant."""
    with _lake(f"read {FEATURES}") as lake:
        return _read_features(lake, None if as_of is None else instant(as_of))


def labelled(table: pa.Table) -> pa.Table:
    """The rows of ``features.readmission`` that have a label, in a fixed order."""
    order = [("discharged_at", "ascending"), ("encounter_key", "ascending")]
    return table.filter(pc.is_valid(table[LABEL])).sort_by(order)


def cases(table: pa.Table) -> Cases:
    """Labelled rows as cases, in the same order."""
    frame = table.to_pandas()
    return Cases(
        x=frame[QUESTION.feature_names],
        y=frame[LABEL].to_numpy(dtype=np.int64),
        person=frame["person_key"].to_numpy(),
        groups={"sex": frame["sex"].to_numpy(), "age": frame["age_band"].to_numpy()},
        at=frame["discharged_at"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(),
        patient=frame["patient_key"].to_numpy(),
    )


@contextmanager
def _lake(work: str) -> Iterator[Lake]:
    with opened(work, GOLD, tuple(SUPERSEDED.values())) as lake:
        yield lake


def _read_features(lake: Lake, as_of: datetime | None) -> pa.Table:
    """The published features that were built for ``as_of``, or for the latest instant."""
    if FEATURES not in lake.versions:
        raise CitywellError(
            "The features have not been built.", where=FEATURES, do="run build_features first"
        )
    rows = _built(lake.spark, lake.versions[FEATURES])
    newest = rows.agg(F.max("build_id").alias("build_id")).collect()[0]["build_id"]
    wanted = newest if as_of is None else build_id(as_of)
    table = rows.where(F.col("build_id") == F.lit(wanted)).toArrow()
    if table.num_rows == 0 and newest is not None:
        raise CitywellError(
            f"There are no features built for {wanted}; the newest are for {newest}.",
            where=FEATURES,
            do="run build_features for the same instant first",
        )
    return table


def _built(spark: SparkSession, version: int) -> DataFrame:
    return tables.read(spark, FEATURES, version).where(F.col("target") == TARGET)


def _drop_old_builds(spark: SparkSession, but: str) -> None:
    """Leave the features of the KEPT_BUILDS latest instants, and those ``but`` names."""
    builds = [
        row["build_id"]
        for row in _built(spark, written_version(FEATURES)).select("build_id").distinct().collect()
    ]
    for old in sorted(builds, reverse=True)[KEPT_BUILDS:]:
        if old != but:
            where = {"target": TARGET, "build_id": old}
            tables.retrying(partial(tables.delete_slice, FEATURES, where))


def _require_all(stays: int, rows: int, undated: int) -> None:
    """Raise CitywellError unless each index stay has its row of features, and each row its discharge."""
    if rows != stays or undated:
        raise CitywellError(
            f"Of {stays} index stays {rows} have features, {undated} of them without a discharge",
            where="ml/readmission: cohort.stays against cohort.stays_of_cases",
            do="make both read an encounter's versions alike; nothing was published, the last build still stands",
        )


def _newest(scores: DataFrame) -> DataFrame:
    """Of every ``risk_key`` the row issued last."""
    newest_first = Window.partitionBy("risk_key").orderBy(F.desc("scored_at"), F.desc("batch_id"))
    return scores.withColumn("place", F.row_number().over(newest_first)).where("place = 1").drop("place")


def _unlike_newest(spark: SparkSession, held: DataFrame, scores: pa.Table) -> pa.Table:
    content = [
        *("risk_key", "person_key", "status", "as_of"),
        *("model_name", "model_version", "probability", "reasons"),
    ]
    return (
        spark.createDataFrame(scores, scoring.RISK_COLUMNS)
        .join(_newest(held).select(content), content, "left_anti")
        .toArrow()
    )


def _cohort_counts(table: pa.Table) -> dict[str, int]:
    labels = table[LABEL]
    return {
        "index stays": table.num_rows,
        "of these censored (30 days not over)": labels.null_count,
        "of these followed by death within 30 days": pc.sum(table["has_died_30d"]).as_py() or 0,
    }


def _train_summary(moment: datetime, outcome: str, reason: str, version: registry.Version) -> Summary:
    return {
        "question": TARGET,
        "as_of": moment.isoformat(),
        "outcome": outcome,
        "reason": reason,
        "is_champion": version.number == getattr(registry.champion(TARGET), "number", None),
        "model_version": version.number,
        "run_id": version.run_id,
    }


def _counts(rows: DataFrame, column: str) -> dict[Any, int]:
    return {row[column]: row["count"] for row in rows.groupBy(column).count().collect()}
