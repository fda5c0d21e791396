"""Features, training and scoring on a lake: what is published, and that doing it again changes nothing.

The tests follow one lake through its days, in their order.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import httpx
import pytest
import uvicorn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.errors import CitywellError
from jobs.lake import control, tables
from jobs.settings import settings
from ml import registry, risk, serving
from ml.features import View
from ml.lake import Lake
from ml.risk import pipeline, questions
from ml.risk.readmission_30d import RISK
from tests.support.lake import TestLake
from tests.unit.ml import gold
from tests.unit.ml.small_city import city, publish

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
TARGET = RISK.name
PEOPLE = 900


@pytest.fixture(scope="module", autouse=True)
def mlflow(lake: TestLake, mlflow_uri: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", mlflow_uri)
        settings.cache_clear()
        yield
    settings.cache_clear()


@pytest.fixture(scope="module")
def built(lake: TestLake) -> dict[str, Any]:
    """The features of a city, after what happens before there is one."""
    with pytest.raises(CitywellError, match=r"Not published yet: gold\.dim_person"):
        risk.build_features(AS_OF)
    publish(city(PEOPLE))
    assert risk.score(AS_OF)[TARGET]["outcome"] == "no_champion"
    with pytest.raises(CitywellError, match="have not been built"):
        risk.train(TARGET, AS_OF)
    return risk.build_features(AS_OF.isoformat())


@pytest.fixture(scope="module")
def trained(built: dict[str, Any]) -> dict[str, Any]:
    return risk.train(TARGET, AS_OF, candidates=("logistic",))


@pytest.fixture(scope="module")
def scored(trained: dict[str, Any]) -> dict[str, Any]:
    return risk.score(AS_OF)[TARGET]


def test_features_are_published_with_what_they_were_made_from(built: dict[str, Any], lake: TestLake) -> None:
    [row] = lake.rows(
        "select count(*) as stays, count(distinct encounter_key) as keys, max(gold_versions) as versions, "
        "max(built_as_of) as built from features.discharges"
    )
    assert row["stays"] == row["keys"] == built["discharges"]["cases"]
    assert '"gold.fct_encounter": ' in row["versions"]
    assert '"gold.fct_encounter_superseded": ' in row["versions"]
    assert built["discharges"]["features"] == len(RISK.question.features)


def test_building_again_changes_no_row(built: dict[str, Any], lake: TestLake) -> None:
    before = lake.rows("select * from features.discharges order by encounter_key")
    again = risk.build_features(AS_OF)
    assert without_versions(again) == without_versions(built)
    assert lake.rows("select * from features.discharges order by encounter_key") == before


def without_versions(built: dict[str, Any]) -> dict[str, Any]:
    return {name: {**view, "version": None} for name, view in built.items()}


def test_a_model_is_trained_promoted_and_found_again(trained: dict[str, Any]) -> None:
    assert trained["outcome"] == "promoted", trained
    assert trained["metrics"]["auroc"][1] > 0.6
    champion = registry.champion("readmission_30d")
    assert champion is not None
    assert champion.number == trained["model_version"]
    assert trained["is_champion"]
    again = risk.train(TARGET, AS_OF, candidates=("logistic",))
    assert (again["outcome"], again["model_version"]) == ("unchanged", trained["model_version"])
    assert again["is_champion"], (
        "the champion is announced again: whoever was to hear of it may have been killed"
    )


def test_gold_built_again_makes_no_new_training(trained: dict[str, Any]) -> None:
    publish(city(PEOPLE))
    risk.build_features(AS_OF)
    again = risk.train(TARGET, AS_OF, candidates=("logistic",))
    assert (again["outcome"], again["model_version"]) == ("unchanged", trained["model_version"])


def test_an_older_run_again_leaves_a_newer_one_alone(
    trained: dict[str, Any], lake: TestLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "KEPT_BUILDS", 2)
    newer = AS_OF + timedelta(days=7)
    risk.build_features(newer)
    query = "select * from features.discharges order by built_as_of, encounter_key"
    before = lake.rows(query)
    assert {row["built_as_of"].replace(tzinfo=UTC) for row in before} == {AS_OF, newer}
    risk.build_features(AS_OF)
    assert risk.train(TARGET, AS_OF, candidates=("logistic",))["outcome"] == "unchanged"
    assert lake.rows(query) == before
    risk.build_features(AS_OF + timedelta(days=14))
    with pytest.raises(CitywellError, match="no features built for 20260101T"):
        pipeline.training_rows(TARGET, AS_OF)
    monkeypatch.setattr(pipeline, "KEPT_BUILDS", 1)
    risk.build_features(AS_OF)
    assert pipeline.training_rows(TARGET, AS_OF).num_rows, "the features asked for are kept, old as they are"


def test_open_discharges_are_scored_and_again_adds_nothing(scored: dict[str, Any], lake: TestLake) -> None:
    rows = lake.rows("select * from scores.risk order by risk_key")
    assert scored["open"] == scored["added"] == len(rows) > 20
    assert len({row["risk_key"] for row in rows}) == len(rows)
    opened = AS_OF - timedelta(days=30)
    assert all(opened < row["as_of"].replace(tzinfo=UTC) <= AS_OF for row in rows)
    assert all(row["expires_at"].replace(tzinfo=UTC) > AS_OF for row in rows)
    assert sum(scored["bands"].values()) == len(rows)
    assert risk.score(AS_OF)[TARGET]["added"] == 0
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
    tomorrow = risk.score(AS_OF + timedelta(days=1))[TARGET]
    assert tomorrow["added"] == 1
    added = [
        r for r in lake.rows("select risk_key, encounter_key from scores.risk") if r["encounter_key"] == "new"
    ]
    assert len(added) == 1
    assert len(lake.rows("select risk_key from scores.risk")) == len(before) + 1


def test_what_is_no_open_stay_any_more_is_withdrawn(scored: dict[str, Any], lake: TestLake) -> None:
    """One stay is deleted, one turns out to have ended in a hospice, one person dies; a day later the first is back."""
    moment = AS_OF + timedelta(days=2)
    active = lake.rows("select * from scores.risk where encounter_key <> 'new' order by encounter_key")
    deleted, hospice, dead = [row["encounter_key"] for row in active[:3]]
    dead_person = active[2]["person_key"]
    rows = city(PEOPLE)
    rows["encounters"] = [row for row in rows["encounters"] if row["encounter_key"] != deleted]
    for row in rows["encounters"]:
        if row["encounter_key"] == hospice:
            row["discharge_disposition_code"] = "hosp"
    for row in rows["persons"]:
        if row["person_key"] == dead_person:
            row |= {"is_deceased": True, "deceased_at": moment}
    publish(rows)
    found = risk.score(moment)[TARGET]
    assert (found["added"], found["withdrawn"]) == (0, 4), "and the stay that yesterday alone knew of"
    query = "select encounter_key, status_reason from scores.risk where status = 'withdrawn'"
    reasons = {row["encounter_key"]: row["status_reason"] for row in lake.rows(query)}
    assert reasons == {deleted: "stay_gone", hospice: "hospice", dead: "person_died", "new": "stay_gone"}
    assert risk.score(moment)[TARGET]["withdrawn"] == 0
    assert risk.score(moment + timedelta(hours=1))[TARGET]["withdrawn"] == 0, "once is enough"
    assert risk.score(AS_OF)[TARGET]["added"] == 0, "an older run brings nobody back"

    publish(city(PEOPLE))
    assert risk.score(moment + timedelta(hours=2))[TARGET]["added"] == 3
    assert risk.score(AS_OF)[TARGET]["withdrawn"] == 0, "an older run takes nothing back"
    repeated = lake.rows(
        "select risk_key, batch_id from scores.risk group by risk_key, batch_id having count(*) > 1"
    )
    assert repeated == [], "the grain of scores.risk: risk_key and batch_id"


def test_scores_follow_a_person_that_becomes_another_and_back(scored: dict[str, Any], lake: TestLake) -> None:
    """What was said stays, under the person of then; what counts is repeated under the person known now. Taken back, it
    all stands as before."""
    moment = AS_OF + timedelta(days=2, hours=3)
    newest = """
        select risk_key, person_key, patient_key, encounter_key, probability, reasons, status from (
            select *, row_number() over (partition by risk_key order by scored_at desc, batch_id desc) as place
            from scores.risk
        ) where place = 1 order by risk_key
    """
    risk.score(moment)[TARGET]
    before, said = lake.rows(newest), lake.rows("select risk_key, batch_id, person_key from scores.risk")
    one, other, *_ = dict.fromkeys(row["person_key"] for row in before if row["status"] == "active")
    rows = city(PEOPLE)
    rows["persons"] = [row for row in rows["persons"] if row["person_key"] != other]
    for row in (row for table in rows.values() for row in table if row["person_key"] == other):
        row["person_key"] = one
    publish(rows)
    risk.score(moment)[TARGET]
    now = {row["risk_key"]: row for row in lake.rows(newest)}
    assert now.keys() == {row["risk_key"] for row in before}, "no discharge has got a second key"
    assert [r for r in now.values() if r["person_key"] == other and r["status"] == "active"] == []
    kept = {
        tuple(row.values()) for row in lake.rows("select risk_key, batch_id, person_key from scores.risk")
    }
    assert {tuple(row.values()) for row in said} <= kept, "append-only"

    publish(city(PEOPLE))
    risk.score(moment)[TARGET]
    assert lake.rows(newest) == before


def test_a_stay_that_moves_to_another_patient_is_scored_there_and_back(
    scored: dict[str, Any], lake: TestLake
) -> None:
    """Of a stay that was filed under the wrong patient no score stands in that patient's chart."""
    moved_at = AS_OF + timedelta(days=2, hours=4)
    rows = city(PEOPLE)
    stay = next(row for row in rows["encounters"] if row["encounter_key"] == scored_stay(lake, but="p0"))
    first = {**stay, "superseded_at": moved_at}
    stay |= {"person_key": "p0", "patient_key": "p0", "usable_at": moved_at}

    def standing() -> dict[str, tuple[str, str | None]]:
        found = lake.rows(
            "select patient_key, status, status_reason from scores.risk "
            f"where encounter_key = '{stay['encounter_key']}' order by scored_at, batch_id"
        )
        return {row["patient_key"]: (row["status"], row["status_reason"]) for row in found}

    was = first["patient_key"]
    risk.score(moved_at - timedelta(minutes=1))[TARGET]
    assert standing() == {was: ("active", None)}
    publish(rows, [first])
    risk.score(moved_at + timedelta(hours=1))[TARGET]
    assert standing() == {was: ("withdrawn", "moved"), "p0": ("active", None)}
    risk.score(moved_at - timedelta(minutes=1))[TARGET]
    assert standing() == {was: ("withdrawn", "moved"), "p0": ("active", None)}, (
        "an older run brings nobody back"
    )

    publish(city(PEOPLE))
    risk.score(moved_at + timedelta(hours=2))[TARGET]
    assert standing() == {was: ("active", None), "p0": ("withdrawn", "moved")}


def test_a_discharge_that_a_message_told_is_scored_once(scored: dict[str, Any], lake: TestLake) -> None:
    """As gold has it before and after its record arrives."""
    told_at, arrived_at = AS_OF + timedelta(days=3), AS_OF + timedelta(days=4)
    stay = gold.encounter(
        key="told", person="p1", **{"from": "2025-12-28", "to": "2026-01-03T20:00"}, usable="2026-01-04"
    )
    by_message = {**stay, "told_by": "both", "end_told_by": "hl7"}
    rows = city(PEOPLE)
    publish({**rows, "encounters": [*rows["encounters"], by_message]})
    risk.score(told_at + timedelta(hours=1))[TARGET]
    query = "select as_of, probability, status from scores.risk where encounter_key = 'told'"
    [once] = lake.rows(query)
    assert once["as_of"].replace(tzinfo=UTC) == told_at

    rows["encounters"].append({**stay, "usable_at": arrived_at})
    publish(rows, [gold.superseded(by_message, "2026-01-05")])
    for moment in (arrived_at, arrived_at + timedelta(hours=1)):
        risk.score(moment)[TARGET]
        assert lake.rows(query) == [once]


def test_a_run_for_an_older_instant_leaves_the_score_of_a_stay_that_was_told_anew(
    scored: dict[str, Any], lake: TestLake
) -> None:
    """A discharge is taken back, and told again; the older run knows of the first alone."""
    later, older = AS_OF + timedelta(days=4, hours=20), AS_OF + timedelta(days=4, hours=9)
    first = gold.encounter(key="anew", person="p1", **{"from": "2025-12-28", "to": "2026-01-02T08:00"})
    stays = {**first, "status": "in-progress", "ended_at": None, "usable_at": gold.at("2026-01-05T10:00")}
    rows = city(PEOPLE)
    rows["encounters"].append(
        gold.encounter(key="anew", person="p1", **{"from": "2025-12-28", "to": "2026-01-05T12:00"})
    )
    taken_back = gold.superseded(first, "2026-01-05T10:00")
    publish(rows, [taken_back, gold.superseded(stays, "2026-01-05T12:00")])
    newest = "select as_of from scores.risk where encounter_key = 'anew' order by scored_at desc limit 1"
    risk.score(later, [TARGET])
    said = lake.rows(newest)
    assert said == [{"as_of": gold.at("2026-01-05T12:00").replace(tzinfo=None)}]
    risk.score(older, [TARGET])
    assert lake.rows(newest) == said


def scored_stay(lake: TestLake, but: str) -> str:
    """The first scored stay of a patient other than ``but``."""
    [row] = lake.rows(
        f"select min(encounter_key) as stay from scores.risk where patient_key <> '{but}' and encounter_key <> 'new'"
    )
    return str(row["stay"])


def test_a_killed_scoring_is_finished_by_the_next(
    scored: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between its commit and its publication: the re-run adds nothing and publishes."""
    later = AS_OF + timedelta(days=5)
    publish(city(PEOPLE, seed=1))

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "publish", kill)
        with pytest.raises(KeyboardInterrupt):
            risk.score(later)[TARGET]
    written = tables.version("scores.risk")
    with control.connect() as conn:
        assert control.current_versions(conn)["scores.risk"] != written
    assert risk.score(later)[TARGET]["added"] == 0
    with control.connect() as conn:
        assert control.current_versions(conn)["scores.risk"] == written == tables.version("scores.risk")


def test_features_of_another_instant_are_refused(built: dict[str, Any]) -> None:
    with pytest.raises(CitywellError, match="no features built for 20260102T"):
        risk.train(TARGET, AS_OF + timedelta(days=1))


@pytest.mark.parametrize("broken", ["lost", "undated"])
def test_an_index_stay_without_its_features_stops_the_run(
    scored: dict[str, Any], lake: TestLake, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    whole = View.made

    def made(*given: Any) -> DataFrame:
        rows = whole(*given)
        if broken == "lost":
            return rows.limit(1)
        return rows.withColumn("starts_at", F.lit(None).cast("timestamp"))

    moment = AS_OF + timedelta(minutes=1)
    before = lake.rows("select distinct build_id from features.discharges")
    with monkeypatch.context() as patch:
        patch.setattr(View, "made", made)
        for step in (risk.build_features, risk.score):
            with pytest.raises(CitywellError, match=r"Of \d+ cases \d+ have features"):
                step(moment)
    risk.build_features(AS_OF)
    assert lake.rows("select distinct build_id from features.discharges") == before


def test_too_few_readmissions_are_an_outcome_not_a_failure(scored: dict[str, Any]) -> None:
    publish(city(60))
    moment = AS_OF + timedelta(hours=1)
    risk.build_features(moment)
    summary = risk.train(TARGET, moment)
    assert summary["outcome"] == "too_few"
    assert "at least 50 are needed" in str(summary["reason"])


@pytest.mark.parametrize("text", ["yesterday", "2026-01-01T00:00:00"])
def test_an_instant_needs_a_time_zone(text: str) -> None:
    with pytest.raises(CitywellError, match="not an instant with a time zone"):
        risk.score(text)[TARGET]


def test_people_are_scored_anew_when_something_changed(scored: dict[str, Any], lake: TestLake) -> None:
    """A question about people, from its features to its scores."""
    name, moment = "emergency_90d", AS_OF + timedelta(days=10)
    publish(city(PEOPLE))
    risk.build_features(moment)
    trained = risk.train(name, moment, candidates=("logistic",))
    assert trained["outcome"] == "promoted", trained
    first = risk.score(moment, [name])[name]
    assert first["added"] == first["open"] > 500
    assert 0 < first["bands"]["high"] < 0.15 * first["open"]

    again = risk.score(moment + timedelta(hours=1), [name])[name]
    assert (again["open"], again["added"]) == (first["open"], 0), "the same inputs say nothing new"

    rows = city(PEOPLE)
    someone = lake.rows(f"select patient_key from scores.risk where target = '{name}' limit 1")[0][
        "patient_key"
    ]
    rows["conditions"].append(gold.condition("new", someone, "J44.9", "2026-01-11T12:00"))
    publish(rows)
    began = datetime.now(UTC).replace(tzinfo=None)
    changed = risk.score(moment + timedelta(days=1), [name])[name]
    assert 1 <= changed["added"] < 0.05 * changed["open"], "someone, and of whom something left a window"
    newest = f"select status, patient_key from scores.risk where target = '{name}' and scored_at > timestamp '{{}}'"
    assert someone in {row["patient_key"] for row in lake.rows(newest.format(began))}

    for row in rows["persons"]:
        if row["person_key"] == someone:
            row |= {"is_deceased": True, "deceased_at": moment + timedelta(days=2)}
    publish(rows)
    died = risk.score(moment + timedelta(days=3), [name])[name]
    assert died["withdrawn"] == 1


@pytest.fixture
def served(unused_port: int) -> Iterator[str]:
    """The address of MLflow's scoring server with the champions."""
    with serving.app(questions.names()) as app:
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=unused_port, log_level="warning"))
        thread = Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.05)
            yield f"http://127.0.0.1:{unused_port}"
        finally:
            server.should_exit = True
            thread.join()


def test_a_single_request_gets_the_answer_of_the_batch(
    scored: dict[str, Any], lake: TestLake, served: str
) -> None:
    """Two questions of forty people each, over HTTP: what the batch said last of the same features."""
    moment = AS_OF + timedelta(days=14)
    publish(city(PEOPLE))
    risk.score(moment)
    columns = "person_key, encounter_key, probability, band, is_alert, reasons, model_version"
    for name in (TARGET, "emergency_90d"):
        said = lake.rows(
            f"select {columns} from scores.risk where target = '{name}' and status = 'active' "
            f"and expires_at > timestamp '{moment:%Y-%m-%d}' order by scored_at"
        )
        newest = {(row["person_key"], row["encounter_key"]): row for row in said}
        people = list(dict.fromkeys(person for person, _ in newest))[:40]
        assert people
        asked = [{"person_key": person, "question": name} for person in people]
        answer = httpx.post(
            f"{served}/invocations", json={"dataframe_records": asked}, timeout=60, trust_env=False
        )
        assert answer.status_code == 200, answer.text
        told = answer.json()["predictions"]
        assert {row["status"] for row in told} == {"answered"}
        for row in told:
            batch = newest[row["person_key"], row["encounter_key"]]
            assert {key: row[key] for key in batch} == batch


def test_a_single_request_says_who_is_not_asked_and_what_is_wrong(
    scored: dict[str, Any], served: str
) -> None:
    def ask(**request: str) -> httpx.Response:
        body = {"dataframe_records": [request]}
        return httpx.post(f"{served}/invocations", json=body, timeout=60, trust_env=False)

    told = ask(person_key="nobody", question=TARGET).json()["predictions"]
    assert [(row["status"], row["probability"]) for row in told] == [("not_asked", None)]
    told = ask(person_key="nobody", question="diabetes_2y").json()["predictions"]
    assert [row["status"] for row in told] == ["no_champion"]
    wrong = ask(person_key="nobody", question="happiness")
    assert wrong.status_code == 400
    assert "no risk question" in wrong.json()["message"]
    assert "Traceback" not in wrong.text


def test_people_are_scored_anew_when_a_score_runs_out(scored: dict[str, Any]) -> None:
    due = risk.score(AS_OF + timedelta(days=39, hours=1), ["emergency_90d"])["emergency_90d"]
    assert due["added"] > 0.9 * due["open"], "all but those scored since run out within a day"
