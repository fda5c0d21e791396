"""A small simulated city to risk scores at the hospitals, judged by its own answer key."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from infra import evaluate
from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs import ingest, transform
from jobs.identity import linkage
from jobs.identity.linkage import task
from jobs.settings import settings
from jobs.writeback import serving, tasks
from ml import registry, risk
from tests.support.city import clock, running_city
from tests.support.lake import TestLake, use_home
from tests.support.mlflow import tracking_store

TARGET = "readmission_30d"
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
        task.run(as_of)
        transform.run(as_of)
        risk.build_features(as_of)
        assert risk.train(TARGET, as_of, candidates=("logistic",))["outcome"] == "promoted"
        risk.score(as_of)
        tasks.to_serving(as_of)
        tasks.to_hospitals(as_of)
        yield lake
    settings.cache_clear()


@pytest.mark.slow
def test_the_champion_knows_what_can_be_known_and_the_hospitals_have_its_scores(
    scored_city: TestLake,
) -> None:
    lines = {line.name: line for line in evaluate.evaluate()}
    held = registry.champion(TARGET)
    assert held is not None
    low_to_high = lines["readmission_30d_champion"].unit.removeprefix("AUROC(").removesuffix(")")
    assert held.tags["test_auroc"].endswith(f" ({low_to_high.replace('..', ' to ')})")
    gap = lines["readmission_30d_auroc_gap"]
    assert re.fullmatch(r"AUROC\(-?0\.\d{3}\.\.0\.\d{3}\)", gap.unit)
    assert gap.value < MOST_GAP, "few people to learn from, yet most of what can be known has been learnt"
    assert str(lines["risk_assessments_unlike_scores"]).startswith(
        "risk_assessments_unlike_scores 0 scores ==0 pass of "
    )


@pytest.mark.slow
def test_scores_follow_a_merge_and_its_undoing(scored_city: TestLake) -> None:
    """Two scored people become one and two again. What was said stays in ``scores.risk``, under the person of then;
    what is shown is of the person known now, and comes back score for score."""
    newest = """
        select risk_key, person_key, patient_key, encounter_key, probability, reasons, model_version, status from (
            select *, row_number() over (partition by risk_key order by scored_at desc, batch_id desc) as place
            from scores.risk
        ) where place = 1
    """
    held = "select risk_key, scored_at, person_key, probability, status from scores.risk"
    shown = "select person_key, risk_key, probability from serving.risk order by 1, 2"

    def state() -> tuple[list[str], list[tuple[object, ...]]]:
        tasks.to_serving(as_of)
        with serving.connect() as conn:
            return sorted(map(str, scored_city.rows(newest))), conn.execute(shown).fetchall()

    def rekeyed() -> None:
        task.run(as_of)
        transform.run(as_of)

    rows = scored_city.rows("select * from scores.risk where status = 'active' order by patient_key")
    as_of = clock(settings().city_url)
    one, other = rows[0], next(row for row in rows if row["person_key"] != rows[0]["person_key"])
    before, said = state(), scored_city.rows(held)
    with linkage.connect() as conn:
        change = linkage.merge(conn, one["patient_key"], other["patient_key"], "one person", actor="test")
    rekeyed()
    _, now = state()
    assert len(now) == len(before[1]) - 1, "one person, the newest of its scores"
    risk.score(as_of)
    assert [row for row in said if row not in scored_city.rows(held)] == [], "append-only"
    with linkage.connect() as conn:
        linkage.unmerge(conn, change, "two people", actor="test")
    rekeyed()
    risk.score(as_of)
    after = state()
    assert [row for row in after[0] if row not in before[0]] == []
    assert after == before
