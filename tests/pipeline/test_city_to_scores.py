"""A small simulated city to risk scores at the hospitals, judged by its own answer key."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from infra import evaluate
from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs import ingest, transform
from jobs.settings import settings
from jobs.writeback import tasks
from ml import readmission
from ml.readmission.features import TARGET
from tests.support.city import clock, running_city
from tests.support.lake import TestLake, use_home
from tests.support.mlflow import tracking_store

SOURCES = ("hospital_north", "hospital_harbour", "hospital_university")
MOST_GAP = 0.12
CITY = ("--population", "1200", "--admission-factor", "8")


@pytest.fixture(scope="module")
def scored_city(
    postgres: Cluster, sail_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestLake]:
    """Three hospitals read once, a model trained, people scored, the scores written back."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as monkeypatch, running_city(home, *CITY) as url:
        lake = use_home(monkeypatch, home, postgres, sail_engine.remote)
        monkeypatch.setenv("CITYWELL_CITY_PORT", url.rpartition(":")[2])
        monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", tracking_store(home, TARGET))
        settings.cache_clear()
        as_of = clock(url)
        for source in SOURCES:
            ingest.ingest(source, as_of)
        transform.run(as_of)
        readmission.build_features(as_of)
        assert readmission.train(as_of, candidates=("logistic",))["outcome"] == "promoted"
        readmission.score(as_of)
        tasks.to_serving(as_of)
        tasks.to_hospitals(as_of)
        yield lake
    settings.cache_clear()


@pytest.mark.slow
def test_the_champion_knows_what_can_be_known_and_the_hospitals_have_its_scores(
    scored_city: TestLake,
) -> None:
    lines = {line.name: line for line in evaluate.evaluate()}
    gap = lines["readmission_auroc_gap"]
    assert re.fullmatch(r"AUROC\(-?0\.\d{3}\.\.0\.\d{3}\)", gap.unit)
    assert gap.value < MOST_GAP, "few people to learn from, yet most of what can be known has been learnt"
    assert str(lines["risk_assessments_unlike_scores"]) == "risk_assessments_unlike_scores 0 scores ==0 pass"
