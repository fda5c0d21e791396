"""A champion's training set is there when its view has gone on, the same to the last value; a changed one is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F
from typer.testing import CliRunner

from infra.cli.app import app
from jobs.errors import CitywellError
from jobs.lake import catalog, engine, tables
from jobs.settings import settings
from ml import registry, risk
from ml.question import Feature, Question
from ml.risk import freezes, pipeline, questions
from ml.risk.reading import open_lake
from tests.support.lake import TestLake
from tests.support.mlflow import tracking_store
from tests.unit.ml.small_city import city, publish

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "readmission_30d"


@pytest.fixture(scope="module", autouse=True)
def trained_on(lake: TestLake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pa.Table]:
    """A champion's training rows as they were when it was trained."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        uri = tracking_store(tmp_path_factory.mktemp("mlflow"), NAME)
        monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", uri)
        settings.cache_clear()
        publish(city(900))
        risk.build_features(AS_OF)
        assert risk.train(NAME, AS_OF, candidates=("logistic",))["outcome"] == "promoted"
        yield pipeline.training_rows(NAME, AS_OF)
    settings.cache_clear()


def frozen() -> freezes.Freeze:
    with open_lake("test") as lake:
        [freeze] = freezes.listed(lake)
    return freeze


def test_a_champion_names_its_freeze_and_what_it_was_made_from(trained_on: pa.Table) -> None:
    champion, freeze = registry.champion(NAME), frozen()
    assert champion is not None
    assert champion.tags[pipeline.FREEZE_TAG] == freeze.freeze
    assert freeze.freeze.startswith("readmission_30d/20260101T000000Z-")
    assert (freeze.build_id, freeze.cases) == (pipeline.build_id(AS_OF), trained_on.num_rows)
    assert freeze.digest == freezes.content_digest(trained_on)
    told = CliRunner().invoke(app, ["models", "freezes", NAME], catch_exceptions=False).output
    assert freeze.freeze in told


def test_the_same_training_again_freezes_nothing_twice(lake: TestLake, trained_on: pa.Table) -> None:
    before = [tables.version(table) for table in (freezes.FROZEN, freezes.FREEZES)]
    assert risk.train(NAME, AS_OF, candidates=("logistic",))["outcome"] == "unchanged"
    assert [tables.version(table) for table in (freezes.FROZEN, freezes.FREEZES)] == before
    [count] = lake.rows("select count(*) as cases, count(distinct case_key) as keys from features.frozen")
    assert count == {"cases": trained_on.num_rows, "keys": trained_on.num_rows}


def test_a_freeze_outlives_the_build_and_what_gold_says_later(
    trained_on: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "KEPT_BUILDS", 1)
    publish(city(900, seed=1))
    risk.build_features(AS_OF + timedelta(days=7))
    with pytest.raises(CitywellError, match="no features built for 20260101T"):
        pipeline.training_rows(NAME, AS_OF)
    read = pipeline.training_rows(NAME, freeze=frozen().freeze)
    assert read.column_names == trained_on.column_names
    for name in read.column_names:
        one, other = (table.sort_by("case_key")[name].to_pylist() for table in (read, trained_on))
        assert one == other, name


def test_a_freeze_that_was_changed_is_refused() -> None:
    name = frozen().freeze
    with engine.session() as spark:
        rows = engine.kept(tables.read(spark, freezes.FROZEN))
        [batch] = [row[0] for row in rows.select("batch_id").distinct().collect()]
        one = rows.agg(F.min("case_key")).collect()[0][0]
        flipped = F.when(F.col("case_key") == one, 1 - F.coalesce("label", F.lit(0))).otherwise(
            F.col("label")
        )
        tables.replace_slice(spark, freezes.FROZEN, rows.withColumn("label", flipped), {"batch_id": batch})
        changed = tables.version(freezes.FROZEN)
    assert changed is not None
    catalog.publish("features", "changed", {freezes.FROZEN: changed})
    with pytest.raises(CitywellError, match="is not what was frozen"):
        pipeline.training_rows(NAME, freeze=name)
    with pytest.raises(CitywellError, match="There is no freeze 'happiness/1'"):
        pipeline.training_rows(NAME, freeze="happiness/1")


def test_a_freeze_that_was_killed_between_parts_is_finished_whatever_the_order_of_its_rows(
    trained_on: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezes, "ROWS_AT_ONCE", 40)

    def keep(table: pa.Table) -> str:
        with open_lake("test") as lake:
            kept = freezes.keep(
                lake,
                questions.load(NAME).question,
                table,
                view="features.discharges",
                as_of=AS_OF,
                build_id="b",
                data_versions={"features.discharges": 1},
            )
        return kept.freeze

    def killed(where: str) -> None:
        raise KeyboardInterrupt(where)

    some = trained_on.slice(0, 100)
    with monkeypatch.context() as patched:
        patched.setattr(freezes, "crash_here", killed)
        with pytest.raises(KeyboardInterrupt, match="freeze:part"):
            keep(some)
    other_order = some.take(np.random.default_rng(1).permutation(some.num_rows))
    rows = pipeline.training_rows(NAME, freeze=keep(other_order))
    assert rows.sort_by("case_key").equals(some.sort_by("case_key"))


@pytest.mark.parametrize("kinds", [("number", "category"), ("number",), ("category",)])
def test_values_come_back_as_they_were(kinds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing ones too, in parts of a table."""
    monkeypatch.setattr(freezes, "ROWS_AT_ONCE", 2)
    features = tuple(Feature(f"f{n}", kind, "") for n, kind in enumerate(kinds))
    columns = {
        f.name: pa.array([0.1, None, 3.0] if f.kind == "number" else ["home", None, "snf"]) for f in features
    }
    table = pa.table({"case_key": ["b", "a", "c"], **columns, "label": pa.array([1, None, 0], pa.int32())})
    question = Question("q", "", 1, 0.1, features)
    texts = question.of_kind("category")
    freeze = freezes.Freeze(
        "q/1", "q", "v", AS_OF, "b", 1, "{}", 3, "", *map(freezes.json.dumps, (
            table.column_names, [f.name for f in features if f.name not in texts], texts)), AS_OF,
    )  # fmt: skip
    packed = list(freezes._packed(freeze, table))
    assert [part.num_rows for part in packed] == [2, 1]
    assert freezes._unpacked(freeze, pa.concat_tables(packed)).equals(table)
    assert np.unique(packed[0]["freeze"].to_pylist()).tolist() == ["q/1"]
