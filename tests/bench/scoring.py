"""Scoring a million people with one model: from their features to ``scores.risk``, and what memory that takes.

People are made up, with the features that the question of emergency attendance has; what a model says of them matters
to no figure here. A tenth of the people is scored first: the memory of the scoring process is flat when ten times as
many take hardly more. What the engine took meanwhile, which reads and writes the tables, is told beside.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from infra.engine.launch import Engine
from jobs.lake import control, engine, tables
from jobs.settings import settings
from ml import registry, training
from ml.lake import Lake
from ml.question import Cases, Feature, Question
from ml.risk import questions, scores
from ml.risk.issue import issue
from ml.risk.reading import of_question
from ml.training import Refusal
from tests.bench.rows import Row
from tests.support.mlflow import tracking_store

PEOPLE = 1_000_000
FAMILY = "lightgbm"
LEARNT_FROM = 20_000
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
MOST_SECONDS = 60.0
MOST_GROWTH = 1.5
MIB = 1024 * 1024


def measure(scratch: Path, server: Engine) -> Iterator[object]:
    """A Row for the time of PEOPLE, and one for the memory beside that of a tenth."""
    risk = questions.load("emergency_90d")
    seconds, used = {}, {}
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        engine.session() as spark,
        control.connect() as conn,
    ):
        monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", tracking_store(scratch, risk.name))
        settings.cache_clear()
        control.migrate(conn)
        lake = Lake(spark, {}, {}, conn)
        version = _registered(spark, risk.question)
        for people in (PEOPLE // 10, PEOPLE):
            table = f"features.people_{people}"
            rows = _people(spark, risk.question, people).withColumn("part", F.lit(1))
            tables.replace_slice(spark, table, rows, {"part": 1})
            asked = of_question(tables.read(spark, table).where(risk.population), risk)
            _forget_peak(server)
            began = time.monotonic()
            issued = issue(lake, risk, version, asked, AS_OF, scores.SCORES)
            seconds[people] = time.monotonic() - began
            used[people] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            assert issued.added == people
            yield (
                f"# {people:,} people: {seconds[people]:.1f} s, {issued.bands['high']:,} with reasons, "
                f"{used[people] / MIB:.0f} MiB, the engine {_peak(server) / MIB:.0f} MiB"
            )
    settings.cache_clear()
    yield Row(
        f"scores_of_{PEOPLE}",
        seconds[PEOPLE],
        "s",
        f"budget={MOST_SECONDS:.0f}",
        seconds[PEOPLE] / MOST_SECONDS,
        "<=1",
        seconds[PEOPLE] <= MOST_SECONDS,
    )
    growth = used[PEOPLE] / used[PEOPLE // 10]
    yield Row(
        f"memory_of_{PEOPLE}",
        used[PEOPLE] / MIB,
        "MiB",
        f"of_{PEOPLE // 10}={used[PEOPLE // 10] / MIB:.0f}",
        growth,
        f"<={MOST_GROWTH}",
        growth <= MOST_GROWTH,
    )


def _forget_peak(server: Engine) -> None:
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5", encoding="ascii")


def _peak(server: Engine) -> int:
    """The most memory, in bytes, that the engine has had since :func:`_forget_peak`."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii").splitlines()
    [told] = [line for line in lines if line.startswith("VmHWM:")]
    return int(told.split()[1]) * 1024


def _registered(spark: SparkSession, question: Question) -> registry.Version:
    """A model of FAMILY in MLflow that has learnt from LEARNT_FROM people with an outcome that was made up too."""
    frame = _people(spark, question, LEARNT_FROM).toPandas()
    rng = np.random.default_rng(0)
    x = frame[question.feature_names]
    logit = -3 + 0.03 * (x["age_years"] - 50) + 0.5 * x["emergency_visits_365d"] + x["has_heart_failure"]
    cases = Cases(
        x=x,
        y=(rng.random(len(x)) < 1 / (1 + np.exp(-logit))).to_numpy().astype(np.int64),
        person=frame["person_key"].to_numpy(),
        groups={},
        at=(
            np.datetime64("2024-01-01", "us") + (rng.random(len(x)) * 600 * 86400e6).astype("timedelta64[us]")
        ),
    )
    trained = training.train(replace(question, baselines={}), cases, [FAMILY], replicates=100)
    assert not isinstance(trained, Refusal), trained.reason
    return registry.register(trained, as_of=AS_OF, data_versions={}, key="bench")


def _people(spark: SparkSession, question: Question, people: int) -> DataFrame:
    """Rows of the view of people: as many as asked for, each with the features of the question."""
    number = F.col("id").cast("string")
    columns = {
        "case_key": F.concat(F.lit("case"), number),
        "source": F.lit("hospital_north"),
        "person_key": F.sha2(F.concat(F.lit("person"), number), 256),
        "patient_key": F.sha2(F.concat(F.lit("patient"), number), 256),
        "encounter_key": F.lit(None).cast("string"),
        "as_of": F.lit(AS_OF),
        "starts_at": F.lit(AS_OF),
        "data_end_at": F.lit(AS_OF),
        "dead_by": F.lit(None).cast("timestamp"),
        "is_dead": F.lit(False),
        "sex": F.lit("female"),
        "age_band": F.lit("45-64"),
        "district": F.lit("D1"),
        **{feature.name: _drawn(feature) for feature in question.features},
    }
    return spark.range(people).select(*(made.alias(name) for name, made in columns.items()))


def _drawn(feature: Feature) -> Column:
    """Values by chance: a flag stands for one in fifteen, a number is missing for two in five."""
    if feature.name == "age_years":
        return F.floor(18 + 75 * F.rand())
    if feature.kind == "flag":
        return (F.rand() < 1 / 15).cast("double")
    if feature.kind == "count":
        return F.floor(-0.6 * F.log(1 - F.rand())).cast("double")
    return F.when(F.rand() < 0.6, F.round(100 + 20 * F.randn(), 1))
