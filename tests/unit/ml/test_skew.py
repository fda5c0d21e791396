"""Features of the table against the way of scoring: alike where all is well, told and refused where one is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import functions as F

from jobs.lake import catalog, engine, tables
from jobs.settings import settings
from ml import registry, risk
from ml.question import Feature
from ml.risk import pipeline, questions, skew
from ml.risk.reading import open_lake
from tests.support.lake import TestLake
from tests.support.mlflow import tracking_store
from tests.unit.ml.small_city import city, publish

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "readmission_30d"
PEOPLE_QUESTION = "emergency_90d"
FEATURES = (Feature("age_years", "number", "age"), Feature("way_home", "category", "way home"))


@pytest.fixture(scope="module", autouse=True)
def built(lake: TestLake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        uri = tracking_store(tmp_path_factory.mktemp("mlflow"), NAME)
        monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", uri)
        settings.cache_clear()
        publish(city(900))
        risk.build_features(AS_OF)
        yield
    settings.cache_clear()


def measured(name: str) -> skew.Skew:
    question = questions.load(name)
    with open_lake("test") as lake:
        return skew.measured(lake, question, pipeline.labelled(pipeline.training_rows(name)))


@pytest.mark.parametrize("name", [NAME, PEOPLE_QUESTION])
def test_the_table_holds_what_scoring_would_compute(name: str) -> None:
    found = measured(name)
    assert found.cases > 60
    assert len(found.instants) == 2
    assert set(found.shares) == set(questions.load(name).question.feature_names)
    assert {name: share for name, share in found.shares.items() if share} == {}


def spoil(view: str, feature: str) -> None:
    """In the published training table one feature is a day off in one case of five, as by a slip of its code."""
    with engine.session() as spark:
        rows = engine.kept(tables.read(spark, view))
        [build] = [row[0] for row in rows.select("build_id").distinct().collect()]
        is_off = F.crc32("case_key") % 5 == 0
        wrong = rows.withColumn(feature, F.when(is_off, F.col(feature) + 1).otherwise(F.col(feature)))
        version = tables.replace_slice(spark, view, wrong, {"build_id": build})
    catalog.publish("features", "spoilt", {view: version})


def test_a_model_of_a_skewed_table_is_refused_with_the_feature_named(tmp_path: Path) -> None:
    spoil("features.discharges", "length_of_stay_days")
    shares = measured(NAME).shares
    assert shares["length_of_stay_days"] == pytest.approx(0.2, abs=0.1)
    assert sum(share > 0 for share in shares.values()) == 1

    told: dict[str, Any] = risk.train(NAME, AS_OF, candidates=("logistic",))
    assert (told["outcome"], told["is_champion"]) == ("refused", False)
    assert (
        "The feature length_of_stay_days is not what scoring would compute: it differs in" in told["reason"]
    )
    assert registry.champion(NAME) is None
    with registry.connected(None) as mlflow:
        run = mlflow.get_run(told["run_id"])
        file = mlflow.artifacts.download_artifacts(
            run_id=told["run_id"], artifact_path="skew.json", dst_path=str(tmp_path)
        )
    assert run.data.metrics["skew_most"] == pytest.approx(shares["length_of_stay_days"])
    assert json.loads(Path(file).read_text())["share_of_cases_that_differ"].keys() == {"length_of_stay_days"}

    risk.build_features(AS_OF)
    assert risk.train(NAME, AS_OF, candidates=("logistic",))["outcome"] == "promoted"


def rows(*values: tuple[str, float | None, str | None]) -> pd.DataFrame:
    frame = pd.DataFrame(values, columns=["case_key", "age_years", "way_home"])
    return frame.astype({"age_years": float}).assign(as_of=pd.Timestamp(AS_OF))


def test_what_differs() -> None:
    """Rounding does not, an absent value does, and who is not scored any more is not compared."""
    held = rows(
        ("a", 70.0, "home"), ("b", None, None), ("c", 50.0, "home"), ("d", 1.0, None), ("gone", 9.0, "x")
    )
    afresh = rows(("d", None, "home"), ("c", 51.0, "home"), ("b", None, None), ("a", 70.0000001, "home"))
    found = skew.compared(held, afresh, FEATURES)
    assert (found.cases, found.shares) == (4, {"age_years": 0.5, "way_home": 0.25})


def test_nothing_in_common_is_told_as_nothing() -> None:
    assert skew.compared(rows(("a", 1.0, None)), rows(("b", 1.0, None)), FEATURES).shares == {}
