"""The Airflow client against answers like Airflow's: patience, one run per trigger, failures in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from infra.airflow_client import AirflowClient, DagRun
from jobs.errors import CitywellError

RUN = DagRun("ingest_hospital", "manual__2026-01-31T00:00:00+00:00", "failed", None, None)
RUN_PATH = "/api/v2/dags/ingest_hospital/dagRuns"


def client(answer: Callable[[httpx.Request], Any]) -> AirflowClient:
    """A client whose server signs everybody in and else answers ``answer(request)``: JSON or a Response."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "t"})
        assert request.headers["Authorization"] == "Bearer t"
        given = answer(request)
        return given if isinstance(given, httpx.Response) else httpx.Response(200, json=given)

    return AirflowClient("http://airflow", "admin", "p", transport=httpx.MockTransport(handle), pause_s=0)


def dag_run(run_id: str, state: str = "queued") -> dict[str, Any]:
    return {
        "dag_id": RUN.dag_id,
        "dag_run_id": run_id,
        "state": state,
        "start_date": "2026-01-31T00:00:01Z",
        "end_date": "2026-01-31T00:00:11Z" if state in ("success", "failed") else None,
    }


def task(state: str, map_index: int = -1) -> dict[str, Any]:
    return {
        "task_id": "load",
        "map_index": map_index,
        "rendered_map_index": None,
        "state": state,
        "try_number": 3,
        "start_date": None,
        "duration": 1.5,
    }


def test_a_trigger_repeated_on_a_busy_server_makes_one_run():
    posted = []

    def answer(request: httpx.Request) -> Any:
        if request.method == "POST":
            posted.append(json.loads(request.content))
            if len(posted) == 1:
                raise httpx.ReadTimeout("busy")
            return httpx.Response(409, json={"detail": "already exists"})
        if request.method == "PATCH":
            return {}
        return dag_run(posted[0]["dag_run_id"])

    run = client(answer).trigger(RUN.dag_id, {"as_of": "2026-01-31"})
    assert posted[0] == posted[1]
    assert posted[0]["conf"] == {"as_of": "2026-01-31"}
    assert (run.run_id, run.state, run.has_ended) == (posted[0]["dag_run_id"], "queued", False)


def test_refused_parameters_are_told():
    def answer(request: httpx.Request) -> Any:
        return (
            httpx.Response(400, json={"detail": "as_of is not a date-time"})
            if request.method == "POST"
            else {}
        )

    with pytest.raises(CitywellError, match="400 as_of is not a date-time"):
        client(answer).trigger(RUN.dag_id)


def test_a_server_that_is_gone_is_named():
    def answer(request: httpx.Request) -> Any:
        raise httpx.ConnectError("refused")

    with pytest.raises(CitywellError) as error:
        client(answer).dag_ids()
    assert (error.value.what, error.value.do) == ("Airflow does not answer (ConnectError)", "citywell up")


def test_watching_ends_with_the_run():
    states = iter(["running", "success"])
    seen = []

    def answer(request: httpx.Request) -> Any:
        if request.url.path.endswith("taskInstances"):
            return {"task_instances": [task("running", map_index=1)]}
        return dag_run(RUN.run_id, next(states))

    ended = client(answer).watch(RUN, lambda run, tasks: seen.append((run.state, tasks[0].label)), seconds=60)
    assert (ended.state, ended.seconds) == ("success", 10.0)
    assert seen == [("running", "load [1]"), ("success", "load [1]")]


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (
            [
                {
                    "event": "Task failed",
                    "level": "error",
                    "error_detail": [{"exc_type": "E", "exc_value": "bad"}],
                },
                {"event": "done", "level": "info"},
            ],
            "E: bad",
        ),
        ([{"event": "killed", "level": "error"}, {"event": "done", "level": "info"}], "killed"),
        ([{"event": "only this", "level": "info"}], "only this"),
        ([], "its log is empty"),
    ],
)
def test_a_failed_run_names_task_and_message(log, message):
    def answer(request: httpx.Request) -> Any:
        if "/logs/" in request.url.path:
            assert request.url.path.endswith("/load/logs/3")
            return {"content": log}
        return {"task_instances": [task("success", 0), task("failed", 1), task("upstream_failed")]}

    with pytest.raises(CitywellError) as error:
        client(answer).check(RUN)
    assert error.value.what == f"ingest_hospital failed\nload [1]: {message}"
    assert error.value.where.endswith("/runs/manual__2026-01-31T00%3A00%3A00%2B00%3A00")


def test_following_watches_what_a_run_set_off_once():
    def answer(request: httpx.Request) -> Any:
        path = request.url.path
        if path.endswith("taskInstances"):
            return {"task_instances": []}
        if path == "/api/v2/assets/events":
            made = [{"dag_id": "transform", "run_id": "asset_1"}]
            is_first = request.url.params["source_dag_id"] == RUN.dag_id
            return {"asset_events": [{"asset_id": 7, "created_dagruns": made}] * 2 if is_first else []}
        if path == "/api/v2/assets/7":
            return {"scheduled_dags": [{"dag_id": "transform"}]}
        dag_id = path.split("/")[4]
        return {**dag_run(path.rpartition("/")[2], "success"), "dag_id": dag_id}

    ended = client(answer).follow(RUN, lambda run, tasks: None, seconds=60)
    assert [run.dag_id for run in ended] == ["ingest_hospital", "transform"]


def test_an_unknown_dag_is_told_with_what_airflow_could_not_read():
    def answer(request: httpx.Request) -> Any:
        if request.url.path.endswith("importErrors"):
            broken = {"filename": "train.py", "stack_trace": "Traceback\n  ...\nImportError: no module ml"}
            return {"import_errors": [broken]}
        return {"dags": [{"dag_id": "score"}]}

    with pytest.raises(CitywellError) as error:
        client(answer).wait_for_dag("train")
    assert "train.py: ImportError: no module ml" in error.value.what
    assert "score" in error.value.do
