"""The DAGs run by Airflow itself: what stops with a failure, what goes on, which instant is passed on, who is told.

The tasks are the real ones wherever that takes seconds. Where it takes longer (a server that is down is asked for
minutes, training) a stub stands at the public function of ``jobs`` or ``ml`` that the task calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from jobs import alerts, ingest, transform
from jobs.errors import CitywellError
from jobs.settings import settings
from jobs.writeback import tasks as writeback_tasks
from ml import forecast, mining, monitoring, risk
from tests.support.airflow import Airflow, Run
from tests.support.exports import one_of_each
from tests.support.lake import Export, TestLake, instant
from tests.support.webhook import Webhook, running_webhook

FIRST, SECOND = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"
NORTH, HARBOUR = "hospital_north", "hospital_harbour"
BOTH = [NORTH, HARBOUR]
CITY, SILVER, GOLD = "citywell://silver/", "citywell://silver/hospital", "citywell://gold/"
CHAMPION, SCORES = "citywell://models/champions", "citywell://scores/risk"
FORECASTS = "citywell://scores/forecast"
RETRAIN = "citywell://models/retrain"
QUESTION = "readmission_30d"


@pytest.fixture(scope="module")
def webhook(lake: TestLake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    """The lake's installation has a webhook, and an MLflow in a file."""
    with running_webhook() as webhook, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("CITYWELL_WEBHOOK_URL", webhook.url)
        store = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
        monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", f"sqlite:///{store}")
        settings.cache_clear()
        yield webhook


@pytest.fixture(autouse=True)
def told(webhook: Webhook) -> list[dict[str, Any]]:
    """What the webhook is told during a test."""
    webhook.messages.clear()
    return webhook.messages


def ingest_of(airflow: Airflow, as_of: str, extract: Callable[[str], str]) -> Run:
    """A run of the ingest; ``extract``: endpoint -> batch id, in place of the download."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(ingest, "extract", lambda name, _, full: {"batch_id": extract(name)})
        return airflow.run("ingest_hospital", {"as_of": as_of, "endpoints": BOTH})


@pytest.fixture(scope="module")
def one_is_down(airflow: Airflow, lake: TestLake, webhook: Webhook) -> tuple[Run, Sequence[dict[str, Any]]]:
    """An ingest while a hospital does not answer, and what the webhook was told of it."""

    def extract(name: str) -> str:
        if name == HARBOUR:
            raise CitywellError("It does not answer", where=f"{name} (https://…)", do="Ask its people")
        return lake.land(name, one_of_each(instant("2026-01-01")))

    webhook.messages.clear()
    run = ingest_of(airflow, FIRST, extract)
    return run, list(webhook.messages)


@pytest.fixture(scope="module")
def modelled(airflow: Airflow, one_is_down: tuple[Run, object]) -> Run:
    """The transform that the ingest set off."""
    return airflow.run("transform", set_off_by=one_is_down[0])


def test_a_hospital_that_is_down_stops_nobody_else(one_is_down, lake):
    run, told = one_is_down
    assert run.tasks == {
        "endpoints": "success",
        f"extract [{NORTH}]": "success",
        f"load [{NORTH}]": "success",
        f"extract [{HARBOUR}]": "failed",
        "load [1]": "upstream_failed",
        "announce": "success",
        "complete": "upstream_failed",
    }
    assert run.state == "failed"
    assert run.announced == {SILVER: FIRST}
    assert lake.rows("select distinct source from silver.hospital__patient") == [{"source": NORTH}]
    assert [(m["task"], m["what"], m["where"]) for m in told] == [
        ("each.extract", "It does not answer", f"{HARBOUR} (https://…)")
    ]


def test_a_bad_batch_stops_its_hospital_alone(airflow, lake, told):
    def extract(name: str) -> str:
        lines = [b"{" for _ in range(50)] if name == NORTH else []
        return lake.land(name, Export(instant("2026-01-02"), {"Patient": lines}))

    run = ingest_of(airflow, SECOND, extract)
    assert (run.tasks[f"load [{NORTH}]"], run.tasks[f"load [{HARBOUR}]"]) == ("failed", "success")
    assert (run.state, run.tasks["announce"], run.announced) == ("failed", "success", {SILVER: SECOND})
    [message] = told
    assert "checks failed" in message["what"]
    assert NORTH in message["where"]


def test_an_unexpected_error_names_the_hospital_and_quotes_nothing(airflow, told):
    def extract(name: str) -> str:
        raise ValueError("Canary Name")

    run = ingest_of(airflow, SECOND, extract)
    assert (run.state, run.announced) == ("failed", {})
    assert {message["where"] for message in told} == {
        f"ingest_hospital.each.extract, {name}" for name in BOTH
    }
    assert "Canary" not in str(told)


def test_a_day_of_the_city_goes_on_without_the_system_that_is_down(airflow, lake, told, monkeypatch):
    sent = {
        "air_city": {"Reading": []},
        "transport_city": {"Incident": []},
        "energy_grid": {
            "HomeDevice": b"Netzgebiet;Stichtag;Beatmung;Sauerstoff;Heimdialyse\r\nCW01;01.01.2026;1;4;2\r\n"
        },
    }

    def extract(name: str, _: str, full: bool) -> dict[str, str]:
        if name == "weather_city":
            raise CitywellError("It does not answer", where=f"{name} (https://…)", do="Ask its people")
        files = sent.get(name, {"Patient": []})
        return {"batch_id": lake.land(name, Export(instant("2026-01-03"), files))}

    monkeypatch.setattr(ingest, "extract", extract)
    third = "2026-01-03T00:00:00+00:00"
    endpoints = [NORTH, "air_city", "weather_city", "transport_city", "energy_grid"]
    run = airflow.run("ingest_city", {"as_of": third, "endpoints": endpoints})
    assert (run.tasks[f"load [{NORTH}]"], run.tasks["other_systems [0]"]) == ("success", "success")
    assert (run.tasks["other_systems [1]"], run.tasks["announce"], run.state) == (
        "failed",
        "success",
        "failed",
    )
    assert run.announced == {CITY: third}
    assert lake.rows("select district_code from silver.energy__home_device") == [{"district_code": "CW01"}]
    [message] = told
    assert (message["what"], message["where"]) == (
        "1 of 2 endpoints failed: It does not answer",
        "weather_city (https://…)",
    )


def test_a_day_on_which_something_is_down_in_every_lane_goes_on_with_the_rest(
    airflow, lake, told, monkeypatch
):
    down = {"weather_city", "transport_city"}

    def extract(name: str, _: str, full: bool) -> dict[str, str]:
        if name in down:
            raise CitywellError("It does not answer", where=f"{name} (https://…)", do="Ask its people")
        return {"batch_id": lake.land(name, Export(instant("2026-01-04"), {"Reading": []}))}

    monkeypatch.setattr(ingest, "extract", extract)
    fourth, endpoints = "2026-01-04T00:00:00+00:00", ["air_city", "weather_city", "transport_city"]
    run = airflow.run("ingest_city", {"as_of": fourth, "endpoints": endpoints})
    assert (run.tasks["other_systems [0]"], run.tasks["other_systems [1]"]) == ("failed", "failed")
    assert (run.state, run.tasks["announce"], run.announced) == ("failed", "success", {CITY: fourth})
    assert run.results["announce"] == ["air_city"]
    assert {message["where"] for message in told} == {f"{name} (https://…)" for name in down}


def test_a_day_on_which_nothing_was_loaded_is_not_announced(airflow, told, monkeypatch):
    def extract(name: str, _: str, full: bool) -> dict[str, str]:
        raise CitywellError("It does not answer", where=name, do="Ask its people")

    monkeypatch.setattr(ingest, "extract", extract)
    endpoints = [NORTH, "air_city", "weather_city"]
    run = airflow.run("ingest_city", {"as_of": "2026-01-05T00:00:00+00:00", "endpoints": endpoints})
    assert (run.state, run.tasks["announce"], run.announced) == ("failed", "skipped", {})
    assert {message["where"] for message in told} == set(endpoints)


def test_gold_is_built_for_the_instant_of_the_ingest_that_set_it_off(modelled, lake):
    assert (modelled.state, modelled.announced) == ("success", {GOLD: FIRST})
    assert lake.rows("select count(*) as people from gold.dim_person") == [{"people": 1}]


def test_without_a_champion_nobody_is_scored_and_nothing_fails(airflow, modelled, told):
    run = airflow.run("score", set_off_by=modelled)
    scored = run.results["score_people"]
    assert {(one["outcome"], one["as_of"]) for one in scored.values()} == {("no_champion", FIRST)}
    assert (run.state, run.tasks["announce"], run.announced) == ("success", "skipped", {})
    assert told == []


def test_outbreaks_are_watched_for_in_the_gold_that_was_built(airflow, modelled, lake, told):
    run = airflow.run("surveil", set_off_by=modelled)
    assert (run.state, run.results["tell"]) == ("success", 0)
    assert run.results["watch_for_outbreaks"] == {"as_of": FIRST, "alarms": 0, "new": []}
    assert lake.rows("select count(*) as rows from gold.mining_outbreaks") == [{"rows": 0}]
    assert told == []


def test_a_new_alarm_is_told(airflow, monkeypatch, told):
    alarm = {"date": "2025-12-31", "syndrome": "gastro", "area_code": "C02"}
    monkeypatch.setattr(mining, "surveil", lambda as_of: {"new": [alarm]})
    run = airflow.run("surveil", {"as_of": FIRST})
    assert run.results["tell"] == 1
    assert [(message["error"], message["where"]) for message in told] == [("Outbreak", "district C02")]


def test_maintenance_leaves_every_row_and_sets_nothing_off(airflow, modelled, lake):
    before = lake.rows("select * from silver.hospital__patient")
    run = airflow.run("maintain")
    assert (run.state, run.announced) == ("success", {})
    assert run.results["compact_and_expire"]["tables"] > 10
    assert lake.rows("select * from silver.hospital__patient") == before


@pytest.mark.parametrize(("is_champion", "announced"), [(True, {CHAMPION: FIRST}), (False, {})])
def test_only_a_model_that_passed_the_gate_is_announced(airflow, monkeypatch, is_champion, announced):
    asked = []

    def train(name: str, as_of: str, candidates: tuple[str, ...], *, is_anew: bool) -> dict[str, object]:
        asked.append((name, as_of, candidates, is_anew))
        return {"is_champion": is_champion}

    monkeypatch.setattr(risk, "build_features", lambda as_of: {"as_of": as_of})
    monkeypatch.setattr(risk, "train", train)
    given = {"as_of": FIRST, "questions": [QUESTION], "candidates": ["logistic"]}
    run = airflow.run("train", given)
    assert asked == [(QUESTION, FIRST, ("logistic",), False)]
    assert (run.state, run.announced) == ("success", announced)


MOVED = {"outcome": "monitored", "words": "1 feature has moved: age (KS 0.31, line 0.20).", "is_new": True}


@pytest.fixture
def asked(airflow, scored, monkeypatch) -> Run:
    """A look at models that a scoring set off: one question is to be trained again, of another this is told alone."""
    found = {QUESTION: {**MOVED, "is_asked": True}, "emergency_90d": {**MOVED, "is_asked": False}}
    found["diabetes_2y"] = {"outcome": "no_champion"}
    monkeypatch.setattr(monitoring, "monitor", lambda as_of: found)
    monkeypatch.setattr(monitoring, "write_pages", lambda as_of: [])
    return airflow.run("monitor", set_off_by=scored)


def test_what_has_moved_is_told_and_only_what_is_asked_for_is_trained_again(
    airflow, asked, monkeypatch, told
):
    assert (asked.state, asked.announced) == ("success", {RETRAIN: FIRST})
    assert [(message["where"], message["do"].partition(";")[0]) for message in told] == [
        (QUESTION, "It is trained again now"),
        ("emergency_90d", "Nothing starts by itself"),
    ]
    assert all("age (KS 0.31" in message["what"] for message in told)
    trained = []

    def train(name: str, as_of: str, candidates: tuple[str, ...], *, is_anew: bool) -> dict[str, object]:
        trained.append((name, as_of, is_anew))
        return {"is_champion": False}

    monkeypatch.setattr(risk, "build_features", lambda as_of: {"as_of": as_of})
    monkeypatch.setattr(risk, "train", train)
    run = airflow.run("train", set_off_by=asked)
    assert (run.state, trained) == ("success", [(QUESTION, FIRST, True)])


def test_where_nothing_is_asked_for_nothing_is_trained(airflow, monkeypatch, told):
    quiet = {QUESTION: {"outcome": "monitored", "words": "", "is_new": False, "is_asked": False}}
    monkeypatch.setattr(monitoring, "monitor", lambda as_of: quiet)
    monkeypatch.setattr(monitoring, "write_pages", lambda as_of: [])
    run = airflow.run("monitor", {"as_of": FIRST})
    assert (run.state, run.announced, told) == ("success", {}, [])
    assert run.tasks["ask_for_training"] == "skipped"


def test_gold_that_fails_a_test_is_not_announced(airflow, monkeypatch, told):
    def fail(as_of: str) -> dict[str, object]:
        raise CitywellError("A test failed", where="dbt test not_null_dim_person", do="Mend the model")

    monkeypatch.setattr(transform, "run", fail)
    run = airflow.run("transform", {"as_of": FIRST})
    assert (run.state, run.announced) == ("failed", {})
    assert [message["where"] for message in told] == ["dbt test not_null_dim_person"]


@pytest.fixture
def scored(airflow, monkeypatch) -> Run:
    monkeypatch.setattr(risk, "score", lambda as_of: {QUESTION: {"outcome": "scored"}})
    monkeypatch.setattr(risk, "published", lambda as_of: True)
    return airflow.run("score", {"as_of": FIRST})


@pytest.mark.parametrize("is_published", [True, False])
def test_a_champion_in_trouble_keeps_the_other_questions_scores_from_nobody(
    airflow, monkeypatch, told, is_published
):
    def fail(as_of: str) -> dict[str, object]:
        raise CitywellError("Not all questions were answered", where=QUESTION, do="Train again")

    monkeypatch.setattr(risk, "score", fail)
    monkeypatch.setattr(risk, "published", lambda as_of: is_published and as_of == FIRST)
    run = airflow.run("score", {"as_of": FIRST})
    assert run.tasks == {
        "score_people": "failed",
        "announce": "success" if is_published else "skipped",
        "complete": "upstream_failed",
    }
    assert (run.state, run.announced) == ("failed", {SCORES: FIRST} if is_published else {})
    assert [(message["what"], message["where"]) for message in told] == [
        ("Not all questions were answered", QUESTION)
    ]


def test_a_hospital_that_takes_no_scores_does_not_keep_them_from_the_serving_database(
    airflow, scored, monkeypatch, told
):
    asked = []

    def fail(as_of: str) -> dict[str, object]:
        asked.append(as_of)
        raise CitywellError("It does not answer", where=HARBOUR, do="Ask its people")

    monkeypatch.setattr(writeback_tasks, "are_published", lambda table: table == writeback_tasks.SCORES)
    monkeypatch.setattr(writeback_tasks, "to_serving", lambda as_of: asked.append(as_of) or {"rows": 1})
    monkeypatch.setattr(writeback_tasks, "to_hospitals", fail)
    run = airflow.run("writeback", set_off_by=scored)
    assert scored.announced == {SCORES: FIRST}
    assert asked == [FIRST, FIRST]
    assert run.state == "failed"
    assert run.tasks == {
        "to_serving": "success",
        "to_hospitals": "failed",
        "forecasts_to_serving": "skipped",
        "forecasts_to_hospitals": "skipped",
    }
    assert [message["where"] for message in told] == [HARBOUR]


def test_forecasts_reach_the_serving_database_before_anybody_is_scored(airflow, monkeypatch):
    monkeypatch.setattr(forecast, "train", lambda as_of, max_age_days: {})
    monkeypatch.setattr(forecast, "issue", lambda as_of: {"rows": {"arrivals_daily": 3}})
    issued = airflow.run("forecast", {"as_of": FIRST})
    monkeypatch.setattr(writeback_tasks, "are_published", lambda table: table == writeback_tasks.FORECASTS)
    monkeypatch.setattr(writeback_tasks, "forecasts_to_serving", lambda: {"rows": 3})
    monkeypatch.setattr(writeback_tasks, "forecasts_to_hospitals", lambda as_of: {"as_of": as_of})
    run = airflow.run("writeback", set_off_by=issued)
    assert issued.announced == {FORECASTS: FIRST}
    assert run.state == "success"
    assert run.tasks == {
        "to_serving": "skipped",
        "to_hospitals": "skipped",
        "forecasts_to_serving": "success",
        "forecasts_to_hospitals": "success",
    }
    assert run.results["forecasts_to_hospitals"] == {"as_of": FIRST}


@pytest.mark.parametrize("is_down", [False, True])
@pytest.mark.parametrize("what", ["scores", "forecasts"])
def test_what_is_refused_is_told_whether_or_not_the_task_succeeds(airflow, monkeypatch, told, what, is_down):
    def send(as_of: str) -> dict[str, object]:
        if is_down:
            raise CitywellError("It does not answer", where=HARBOUR, do="Ask its people")
        return {}

    table = {"scores": writeback_tasks.SCORES, "forecasts": writeback_tasks.FORECASTS}[what]
    monkeypatch.setattr(writeback_tasks, "are_published", lambda asked: asked == table)
    monkeypatch.setattr(writeback_tasks, "to_serving", lambda as_of: {"rows": 1})
    monkeypatch.setattr(writeback_tasks, "forecasts_to_serving", lambda: {"rows": 1})
    monkeypatch.setattr(writeback_tasks, "to_hospitals", send)
    monkeypatch.setattr(writeback_tasks, "forecasts_to_hospitals", send)
    for name in ("scores", "forecasts"):
        refusals = [(NORTH, f"2 {name} were refused (HTTP 422)")] if name == what else []
        monkeypatch.setattr(alerts, f"_refused_{name}", lambda refusals=refusals: refusals)
    run = airflow.run("writeback", {"as_of": FIRST})
    assert run.state == ("failed" if is_down else "success")
    assert [message["where"] for message in told] == ([HARBOUR] if is_down else []) + [NORTH]


def test_a_training_that_fails_keeps_no_champion_from_anybody_and_fails_the_run(airflow, monkeypatch, told):
    def train(name: str, as_of: str, candidates: tuple[str, ...], *, is_anew: bool) -> dict[str, object]:
        if name == QUESTION:
            raise CitywellError("The features are gone", where=QUESTION, do="Build them")
        return {"is_champion": True}

    monkeypatch.setattr(risk, "build_features", lambda as_of: {"as_of": as_of})
    monkeypatch.setattr(risk, "train", train)
    run = airflow.run("train", {"as_of": FIRST, "questions": [QUESTION, "emergency_90d"]})
    assert (run.state, run.announced) == ("failed", {CHAMPION: FIRST})
    assert [message["where"] for message in told] == [QUESTION]
