"""Features, training and scoring on a lake: what is published, and that doing it again changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from jobs.errors import CitywellError
from jobs.lake import catalog, control, engine, tables
from jobs.settings import settings
from ml import readmission, registry
from ml.readmission import pipeline
from ml.readmission.features import QUESTION
from tests.support.lake import TestLake
from tests.unit.ml import gold

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
PEOPLE = 900


def city(people: int, seed: int = 0) -> dict[str, list[gold.Row]]:
    """A hospital where heart failure and a low sodium bring people back."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[gold.Row]] = {"persons": [], "encounters": [], "conditions": [], "measurements": []}
    for number in range(people):
        who, is_failing = f"p{number}", bool(rng.random() < 0.4)
        found["persons"].append(gold.person(who, born=int(rng.integers(1930, 1990))))
        day, stay = float(rng.uniform(0, 600)), 0
        while day < 728:
            start, end = FIRST + timedelta(days=day), FIRST + timedelta(days=day + 3)
            is_low = bool(rng.random() < 0.3)
            key = f"{who}-{stay}"
            found["encounters"].append(
                gold.encounter(
                    key=key, person=who, **{"from": _text(start), "to": _text(end)}, went_to="home"
                )
            )
            found["measurements"].append(
                gold.measurement(f"m{key}", who, "2951-2", 128.0 if is_low else 140.0, "mmol/L", _text(start))
            )
            if is_failing and not stay:
                found["conditions"].append(gold.condition(f"c{key}", who, "I50.9", _text(start)))
            is_back = rng.random() < 0.04 + 0.3 * is_failing + 0.2 * is_low
            day, stay = day + 3 + float(rng.uniform(2, 25) if is_back else rng.uniform(60, 500)), stay + 1
    found["encounters"].append(
        gold.encounter(
            key="last", person="p0", **{"from": "2025-12-31", "to": "2025-12-31T20:00"}, class_code="AMB"
        )
    )
    return found


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="minutes")


def publish(rows: dict[str, list[gold.Row]]) -> None:
    """Write gold tables as dbt would, and publish them."""
    with engine.session() as spark:
        facts = gold.facts(spark, **rows)
        frames = (facts.person, facts.encounter, facts.condition, facts.measurement, facts.medication_request)
        versions = {
            table: tables.replace_slice(spark, table, frame.selectExpr("*", "1 as part"), {"part": 1})
            for table, frame in zip(pipeline.GOLD, frames, strict=True)
        }
    catalog.publish("gold", "test", versions)


@pytest.fixture(scope="module", autouse=True)
def mlflow(lake: TestLake, mlflow_uri: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", mlflow_uri)
        settings.cache_clear()
        yield
    settings.cache_clear()


@pytest.fixture(scope="module")
def built(lake: TestLake) -> dict[str, object]:
    """The features of a city, after what happens before there is one."""
    with pytest.raises(CitywellError, match=r"Not published yet: gold\.dim_person"):
        readmission.build_features(AS_OF)
    publish(city(PEOPLE))
    assert readmission.score(AS_OF)["outcome"] == "no_champion"
    with pytest.raises(CitywellError, match="have not been built"):
        readmission.train(AS_OF)
    return readmission.build_features(AS_OF.isoformat())


@pytest.fixture(scope="module")
def trained(built: dict[str, object]) -> dict[str, Any]:
    return readmission.train(AS_OF, candidates=("logistic",))


@pytest.fixture(scope="module")
def scored(trained: dict[str, Any]) -> dict[str, Any]:
    return readmission.score(AS_OF)


def test_features_are_published_with_what_they_were_made_from(
    built: dict[str, object], lake: TestLake
) -> None:
    [row] = lake.rows(
        "select count(*) as stays, count(distinct encounter_key) as keys, max(gold_versions) as versions, "
        "sum(is_readmitted_30d) as events, max(built_as_of) as built from features.readmission"
    )
    assert row["stays"] == row["keys"] == built["index_stays"]
    assert row["events"] == built["readmitted"]
    assert built["censored"] > 0
    assert '"gold.fct_encounter": ' in row["versions"]
    assert built["features"] == len(QUESTION.features)


def test_building_again_changes_no_row(built: dict[str, object], lake: TestLake) -> None:
    before = lake.rows("select * from features.readmission order by encounter_key")
    again = readmission.build_features(AS_OF)
    assert {k: v for k, v in again.items() if k != "version"} == {
        k: v for k, v in built.items() if k != "version"
    }
    assert lake.rows("select * from features.readmission order by encounter_key") == before


def test_a_model_is_trained_promoted_and_found_again(trained: dict[str, Any]) -> None:
    assert trained["outcome"] == "promoted", trained
    assert trained["metrics"]["auroc"][1] > 0.6
    champion = registry.champion("readmission_30d")
    assert champion is not None
    assert champion.number == trained["model_version"]
    again = readmission.train(AS_OF, candidates=("logistic",))
    assert (again["outcome"], again["model_version"]) == ("unchanged", trained["model_version"])


def test_open_discharges_are_scored_and_again_adds_nothing(scored: dict[str, Any], lake: TestLake) -> None:
    rows = lake.rows("select * from scores.risk order by risk_key")
    assert scored["scored"] == scored["added"] == len(rows) > 20
    assert len({row["risk_key"] for row in rows}) == len(rows)
    opened = AS_OF - timedelta(days=30)
    assert all(opened < row["as_of"].replace(tzinfo=UTC) <= AS_OF for row in rows)
    assert all(row["expires_at"].replace(tzinfo=UTC) > AS_OF for row in rows)
    assert sum(scored["bands"].values()) == len(rows)
    assert readmission.score(AS_OF)["added"] == 0
    assert lake.rows("select * from scores.risk order by risk_key") == rows


def test_the_next_day_adds_only_what_is_new(scored: dict[str, Any], lake: TestLake) -> None:
    before = lake.rows("select risk_key from scores.risk")
    rows = city(PEOPLE)
    rows["encounters"].append(
        gold.encounter(
            key="new", person="p1", **{"from": "2025-12-30", "to": "2026-01-01T12:00"}, usable="2026-01-02"
        )
    )
    publish(rows)
    tomorrow = readmission.score(AS_OF + timedelta(days=1))
    assert tomorrow["added"] == 1
    added = [
        r for r in lake.rows("select risk_key, encounter_key from scores.risk") if r["encounter_key"] == "new"
    ]
    assert len(added) == 1
    assert len(lake.rows("select risk_key from scores.risk")) == len(before) + 1


def test_a_killed_scoring_is_finished_by_the_next(
    scored: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between its commit and its publication: the re-run adds nothing and publishes."""
    later = AS_OF + timedelta(days=5)
    publish(city(PEOPLE, seed=1))

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "_publish", kill)
        with pytest.raises(KeyboardInterrupt):
            readmission.score(later)
    written = tables.version("scores.risk")
    with control.connect() as conn:
        assert control.current_versions(conn)["scores.risk"] != written
    assert readmission.score(later)["added"] == 0
    with control.connect() as conn:
        assert control.current_versions(conn)["scores.risk"] == written == tables.version("scores.risk")


def test_features_of_another_instant_are_refused(built: dict[str, object]) -> None:
    with pytest.raises(CitywellError, match="built as of 2026-01-01"):
        readmission.train(AS_OF + timedelta(days=1))


def test_too_few_readmissions_are_an_outcome_not_a_failure(scored: dict[str, Any]) -> None:
    publish(city(60))
    moment = AS_OF + timedelta(hours=1)
    readmission.build_features(moment)
    summary = readmission.train(moment)
    assert summary["outcome"] == "too_few"
    assert "at least 50 are needed" in str(summary["reason"])


@pytest.mark.parametrize("text", ["yesterday", "2026-01-01T00:00:00"])
def test_an_instant_needs_a_time_zone(text: str) -> None:
    with pytest.raises(CitywellError, match="not an instant with a time zone"):
        readmission.score(text)
