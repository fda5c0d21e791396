"""Whose score falls when a question does not ask about them any more, and what a challenger may say: nothing aloud."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.errors import CitywellError
from jobs.lake import catalog, engine, tables
from jobs.settings import settings
from jobs.writeback import serving
from jobs.writeback.tasks import scored_lake
from ml import registry, risk
from ml.registry import Model, UnusableModel, Version
from ml.risk import questions, scores
from ml.risk.readmission_30d import RISK
from tests.support.lake import TestLake
from tests.support.mlflow import tracking_store
from tests.unit.ml.small_city import city, publish

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
NAME = RISK.name
OLD_ONLY = replace(RISK, population="age_years >= 60")


@pytest.fixture(scope="module", autouse=True)
def scored(lake: TestLake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The first scoring, by a champion and a challenger: versions 1 and 2."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        uri = tracking_store(tmp_path_factory.mktemp("mlflow"), NAME)
        monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", uri)
        settings.cache_clear()
        publish(city(900))
        risk.build_features(AS_OF)
        assert risk.train(NAME, AS_OF, candidates=("logistic",))["outcome"] == "promoted"
        assert risk.train(NAME, AS_OF, candidates=("hist_gradient_boosting",))["outcome"] == "refused"
        challenger = registry.aliased(NAME, registry.CHALLENGER)
        assert challenger is not None
        yield risk.score(AS_OF, [NAME])[NAME]
    settings.cache_clear()


def test_a_challenger_scores_the_same_cases_in_the_shadow(scored: dict[str, Any], lake: TestLake) -> None:
    assert scored["shadow"] == {"model_version": "2", "outcome": "scored", "added": scored["added"]}
    said = {
        table: lake.rows(f"select risk_key, model_version, status from {table} order by risk_key")
        for table in (scores.SCORES, scores.SHADOW)
    }
    assert {row["model_version"] for row in said[scores.SCORES]} == {"1"}
    assert {row["model_version"] for row in said[scores.SHADOW]} == {"2"}
    keys = [[row["risk_key"] for row in rows] for rows in said.values()]
    assert keys[0] == keys[1]
    again = risk.score(AS_OF + timedelta(minutes=1), [NAME])[NAME]
    assert (again["added"], again["shadow"]["added"]) == (0, 0)


def test_nobody_is_told_what_a_challenger_says(scored: dict[str, Any]) -> None:
    """What write-back opens has no shadow in it, and what serving is given is the champion's alone."""
    with engine.session() as spark:
        nowhere = spark.sql("select 'f' as facility_key, 'F' as name, true as is_current, 1 as part")
        version = tables.replace_slice(spark, "gold.dim_facility", nowhere, {"part": 1})
    catalog.publish("gold", "facility", {"gold.dim_facility": version})
    with scored_lake() as (spark, versions):
        assert scores.SHADOW not in versions
        assert not spark.catalog.tableExists(scores.SHADOW)
        told = serving.newest(spark, AS_OF).to_pylist()
    assert {row["model_version"] for row in told} == {"1"}
    assert 0 < len(told) <= scored["added"]


def test_a_challenger_that_cannot_score_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    load = registry.load

    def only_the_champion(version: Version, *, uri: str | None = None) -> Model:
        if version.number == "2":
            raise UnusableModel(
                "The model cannot be loaded (ValueError).", where="models:/x/2", do="train again"
            )
        return load(version, uri=uri)

    monkeypatch.setattr(registry, "load", only_the_champion)
    found = risk.score(AS_OF + timedelta(minutes=2), [NAME])[NAME]
    assert found["outcome"] == "scored"
    assert found["shadow"] == {
        "model_version": "2",
        "outcome": "cannot_score",
        "reason": "The model cannot be loaded (ValueError).",
    }


def standing(lake: TestLake) -> dict[str, str]:
    """Stay -> why its score does not stand, or ``active``."""
    rows = lake.rows(
        "select encounter_key, coalesce(status_reason, status) as word from "
        "(select *, row_number() over (partition by risk_key order by scored_at desc, batch_id desc) as place "
        "from scores.risk) where place = 1"
    )
    return {row["encounter_key"]: row["word"] for row in rows}


def test_a_score_falls_when_its_subject_is_not_asked_about_any_more(
    scored: dict[str, Any], lake: TestLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    young = {
        row["encounter_key"]
        for row in lake.rows("select encounter_key from features.discharges_now where age_years < 60")
    }
    before = standing(lake)
    assert young
    assert set(before.values()) == {"active"}
    later = AS_OF + timedelta(hours=1)
    with monkeypatch.context() as patch:
        patch.setattr(questions, "load", lambda name: OLD_ONLY)
        found = risk.score(later, [NAME])[NAME]
        assert found["withdrawn"] == len(young)
        assert standing(lake) == {key: scores.LEFT if key in young else "active" for key in before}
        assert risk.score(later + timedelta(minutes=1), [NAME])[NAME]["withdrawn"] == 0, "once is enough"

    assert risk.score(later + timedelta(hours=1), [NAME])[NAME]["added"] == len(young)
    assert standing(lake) == before
    monkeypatch.setattr(questions, "load", lambda name: OLD_ONLY)
    older = AS_OF + timedelta(minutes=30)
    assert risk.score(older, [NAME])[NAME]["withdrawn"] == 0, "an older run takes nothing back"
    assert standing(lake) == before


def test_a_question_that_fails_says_how_old_its_scores_are(
    lake: TestLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    [before] = lake.rows("select target, as_of, answered_at, model_version, cases from scores.answered")
    assert (before["target"], before["model_version"]) == (NAME, "1")
    assert before["as_of"].replace(tzinfo=UTC) > AS_OF, "an older run makes no score older"

    def broken(version: Version, *, uri: str | None = None) -> Model:
        raise UnusableModel("The model cannot be loaded (ValueError).", where="models:/x/1", do="train again")

    monkeypatch.setattr(registry, "load", broken)
    said = lake.rows("select * from scores.risk order by risk_key, batch_id")
    with pytest.raises(CitywellError) as raised:
        risk.score(AS_OF + timedelta(days=1), [NAME])
    assert "cannot be loaded" in raised.value.what
    stays = f"the scores as of {before['as_of'].replace(tzinfo=UTC).isoformat()} stay; they were made "
    assert stays in raised.value.what
    assert lake.rows("select * from scores.risk order by risk_key, batch_id") == said
