"""Airflow 3 over its REST API: start a DAG run, watch it and the runs its assets set off, say what failed.

No Airflow import: Airflow is a server here. All failures are CitywellError.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from jobs.errors import CitywellError
from jobs.settings import Settings, settings

ENDED = {"success", "failed"}
TASK_FAILED = {"failed", "upstream_failed"}
POLL_S = 1.0
MESSAGE_CHARS = 2000
ATTEMPTS = 4


@dataclass(frozen=True)
class DagRun:
    """One run of a DAG. ``state`` is queued, running, success or failed; times are UTC, null until known."""

    dag_id: str
    run_id: str
    state: str
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def seconds(self) -> float | None:
        """From start to end; None until both are known."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class TaskRun:
    """One task of a run. ``map_index`` is -1 for a task that is not mapped; ``label`` tells mapped ones apart."""

    task_id: str
    map_index: int
    label: str
    state: str
    try_number: int
    seconds: float | None


class AirflowClient:
    """A signed-in client. Use as a context manager; the token is fetched at the first call."""

    def __init__(
        self,
        base_url: str,
        user: str,
        password: str,
        *,
        transport: httpx.BaseTransport | None = None,
        pause_s: float = 2.0,
    ) -> None:
        self._base_url, self._user, self._password, self._pause_s = base_url, user, password, pause_s
        self._http = httpx.Client(base_url=base_url, timeout=60, trust_env=False, transport=transport)

    @classmethod
    def of_stack(cls, config: Settings | None = None) -> Self:
        """The client of the local stack; its password is in ``secrets/airflow/admin``."""
        config = config or settings()
        path = config.secrets_dir / "airflow" / "admin"
        if not path.exists():
            raise CitywellError("the stack was never started", where=str(config.home), do="citywell up")
        return cls(config.airflow_url, "admin", path.read_text().strip())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def dag_ids(self) -> list[str]:
        """The DAGs Airflow has read so far."""
        return sorted(dag["dag_id"] for dag in self._get("/api/v2/dags", limit=100)["dags"])

    def import_errors(self) -> dict[str, str]:
        """file -> last line of what Python said when Airflow read it."""
        found = self._get("/api/v2/importErrors", limit=100)["import_errors"]
        return {error["filename"]: error["stack_trace"].strip().splitlines()[-1] for error in found}

    def wait_for_dag(self, dag_id: str, seconds: float = 60) -> None:
        """Return once Airflow knows ``dag_id``; a DAG file that cannot be read, or no such DAG, is an error."""
        deadline = time.monotonic() + seconds
        while dag_id not in (known := self.dag_ids()):
            problems = self.import_errors()
            if problems or time.monotonic() > deadline:
                listed = "; ".join(f"{file}: {message}" for file, message in problems.items())
                raise CitywellError(
                    f"Airflow knows no DAG {dag_id!r}" + (f" and could not read: {listed}" if listed else ""),
                    where=f"{self._base_url}/dags",
                    do=f"choose one of: {', '.join(known) or 'none yet'}; or mend the file",
                )
            time.sleep(POLL_S)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> DagRun:
        """Start a run, unpausing the DAG first. ``conf`` reaches the tasks as ``dag_run.conf``.

        The run's id is ours, so that a request sent twice makes one run.
        """
        self._send("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
        run_id = f"manual__{datetime.now(UTC).isoformat()}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        answer = self._patiently("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
        if answer.is_error and answer.status_code != httpx.codes.CONFLICT:
            raise CitywellError(
                f"Airflow does not start {dag_id}: {answer.status_code} {_detail(answer)}",
                where=f"{self._base_url}/dags/{dag_id}",
                do="see the message, and the DAG's parameters in dags/",
            )
        return self.run(dag_id, run_id)

    def run(self, dag_id: str, run_id: str) -> DagRun:
        return _dag_run(self._get(f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"))

    def tasks(self, run: DagRun) -> list[TaskRun]:
        """The tasks of ``run``, in the order in which they started; those that did not come last."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}/taskInstances"
        found = self._get(path, limit=500)["task_instances"]
        found.sort(key=lambda task: (task["start_date"] is None, task["start_date"] or ""))
        return [
            TaskRun(
                task_id=task["task_id"],
                map_index=task["map_index"],
                label=_label(task),
                state=task["state"] or "waiting",
                try_number=task["try_number"],
                seconds=task["duration"],
            )
            for task in found
        ]

    def runs_set_off_by(self, run: DagRun, seconds: float = 20) -> list[DagRun]:
        """Runs triggered by the assets that the ended ``run`` updated.

        The scheduler makes them a moment later: waits until each DAG scheduled on those assets has one, at
        most ``seconds`` (a DAG that needs several assets may rightly not have started).
        """
        deadline = time.monotonic() + seconds
        while True:
            events = self._asset_events(run)
            made = {(new["dag_id"], new["run_id"]) for event in events for new in event["created_dagruns"]}
            expected = {dag for asset in {e["asset_id"] for e in events} for dag in self._scheduled_on(asset)}
            if expected <= {dag_id for dag_id, _ in made} or time.monotonic() > deadline:
                return [self.run(*name) for name in sorted(made)]
            time.sleep(POLL_S)

    def follow(
        self, run: DagRun, changed: Callable[[DagRun, list[TaskRun]], None], seconds: float
    ) -> Iterator[DagRun]:
        """``watch`` the run, then the runs it set off, and theirs; yields each when it has succeeded.

        seconds: longest wait for each run. Raises CitywellError for the first that fails.
        """
        waiting, seen = [run], {(run.dag_id, run.run_id)}
        while waiting:
            ended = self.watch(waiting.pop(0), changed, seconds)
            self.check(ended)
            yield ended
            new = [r for r in self.runs_set_off_by(ended) if (r.dag_id, r.run_id) not in seen]
            seen |= {(r.dag_id, r.run_id) for r in new}
            waiting += new

    def watch(self, run: DagRun, changed: Callable[[DagRun, list[TaskRun]], None], seconds: float) -> DagRun:
        """Call ``changed`` at every poll until ``run`` has ended; the ended run, successful or not."""
        deadline = time.monotonic() + seconds
        while True:
            run = self.run(run.dag_id, run.run_id)
            changed(run, self.tasks(run))
            if run.has_ended:
                return run
            if time.monotonic() > deadline:
                raise CitywellError(
                    f"{run.dag_id} has not ended after {seconds:.0f} seconds",
                    where=self.address(run),
                    do="watch it there; `citywell status` says whether the scheduler is well",
                )
            time.sleep(POLL_S)

    def failures(self, run: DagRun) -> Iterator[tuple[TaskRun, str]]:
        """Each failed task of ``run`` with what it said last: the error's message, or the end of its log."""
        for task in self.tasks(run):
            if task.state == "failed":
                yield task, self.message(run, task)

    def message(self, run: DagRun, task: TaskRun) -> str:
        """The last error in the log of the task's last try."""
        path = (
            f"/api/v2/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}"
            f"/taskInstances/{task.task_id}/logs/{task.try_number}"
        )
        lines = self._get(path, map_index=task.map_index)["content"]
        return _last_error([line for line in lines if isinstance(line, dict)])[:MESSAGE_CHARS]

    def check(self, run: DagRun) -> None:
        """Raises CitywellError naming every failed task and its message when ``run`` has failed."""
        if run.state != "failed":
            return
        said = [f"{task.label}: {message}" for task, message in self.failures(run)]
        raise CitywellError(
            f"{run.dag_id} failed\n" + "\n".join(said),
            where=self.address(run),
            do="mend what the message says, then run it again: what is done already is not done twice",
        )

    def address(self, run: DagRun) -> str:
        """Where a person sees the run."""
        return f"{self._base_url}/dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}"

    def _asset_events(self, run: DagRun) -> list[dict[str, Any]]:
        query = {"source_dag_id": run.dag_id, "source_run_id": run.run_id, "limit": 100}
        return list(self._get("/api/v2/assets/events", **query)["asset_events"])

    def _scheduled_on(self, asset_id: int) -> list[str]:
        return [dag["dag_id"] for dag in self._get(f"/api/v2/assets/{asset_id}")["scheduled_dags"]]

    def _get(self, path: str, **query: Any) -> Any:
        return self._send("GET", path, None, query)

    def _send(self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None) -> Any:
        answer = self._patiently(method, path, body, query)
        if answer.is_error:
            raise CitywellError(
                f"Airflow refused: {answer.status_code} {_detail(answer)}",
                where=f"{method} {path}",
                do="see the log of airflow-api that `citywell status` names",
            )
        return answer.json()

    def _patiently(
        self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None
    ) -> httpx.Response:
        """The answer; asked again when a busy server lets us wait or fails. Every request bears repeating."""
        problem = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(self._pause_s)
            try:
                if "Authorization" not in self._http.headers:
                    self._sign_in()
                answer = self._http.request(method, path, json=body, params=query)
            except httpx.TransportError as error:
                problem = type(error).__name__
                continue
            if answer.is_server_error:
                problem = f"{answer.status_code} {_detail(answer)}".strip()
                continue
            return answer
        raise CitywellError(f"Airflow does not answer ({problem})", where=self._base_url, do="citywell up")

    def _sign_in(self) -> None:
        answer = self._http.post("/auth/token", json={"username": self._user, "password": self._password})
        if answer.is_error:
            raise CitywellError(
                f"Airflow did not accept the password of {self._user!r} ({answer.status_code})",
                where=self._base_url,
                do="`citywell down` and `citywell up` make it anew from secrets/airflow/admin",
            )
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _dag_run(found: dict[str, Any]) -> DagRun:
    def instant(name: str) -> datetime | None:
        return datetime.fromisoformat(found[name]) if found[name] else None

    return DagRun(
        found["dag_id"], found["dag_run_id"], found["state"], instant("start_date"), instant("end_date")
    )


def _label(task: dict[str, Any]) -> str:
    if task["map_index"] < 0:
        return str(task["task_id"])
    return f"{task['task_id']} [{task['rendered_map_index'] or task['map_index']}]"


def _last_error(lines: list[dict[str, Any]]) -> str:
    """The exception of the last log line that carries one; else the last line of level error; else the last."""
    for line in reversed(lines):
        for error in line.get("error_detail") or []:
            return f"{error['exc_type']}: {error['exc_value']}"
    events = [str(line["event"]) for line in lines if line.get("level") in ("error", "critical")]
    every = [str(line["event"]) for line in lines]
    return (events or every or ["its log is empty"])[-1]


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("detail", ""))
    except ValueError:
        return answer.text[:200]
