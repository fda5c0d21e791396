"""Airflow in the process of a test: the DAGs of dags/, run by Airflow itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobs.settings import PROJECT_DIR


@dataclass
class Run:
    """A run that has ended. ``tasks``: state by name, ``load [hospital_north]`` for one that is mapped."""

    run_id: str
    state: str
    tasks: dict[str, str]
    results: dict[str, Any] = field(default_factory=dict)
    announced: dict[str, str] = field(default_factory=dict)


class Airflow:
    """DAGs of dags/ in an Airflow of the test's own; a failed task is not tried again."""

    def __init__(self) -> None:
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(PROJECT_DIR / "dags")
        assert bag.import_errors == {}
        self.dags = bag.dags
        for dag in self.dags.values():
            for task in dag.tasks:
                task.retries = 0

    def run(self, dag_id: str, conf: dict[str, Any] | None = None, *, set_off_by: Run | None = None) -> Run:
        """One run of ``dag_id``, as the assets that the run ``set_off_by`` updated would set it off."""
        from airflow.models import dagrun
        from airflow.models.asset import AssetEvent
        from airflow.utils.session import create_session
        from sqlalchemy import select

        make = dagrun.get_or_create_dagrun

        def make_with_events(**given: Any) -> Any:
            made = make(**given)
            if set_off_by is not None:
                query = select(AssetEvent).where(AssetEvent.source_run_id == set_off_by.run_id)
                events = given["session"].scalars(query).all()
                made.consumed_asset_events.extend(events)
                given["session"].commit()
            return made

        dag = self.dags[dag_id]
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(dagrun, "get_or_create_dagrun", make_with_events)
            # A run in this process writes what it was given into the DAG's own parameters.
            for param in (param for of in (dag, *dag.tasks) for _, param in of.params.items()):
                monkeypatch.setattr(param, "value", param.value)
            ended = dag.test(run_conf=conf)
        with create_session() as session:
            events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == ended.run_id)).all()
            announced = {event.asset.uri: event.extra.get("as_of") for event in events}
        found = ended.get_task_instances()
        return Run(
            run_id=ended.run_id,
            state=str(ended.state),
            tasks={_label(ti): str(ti.state) for ti in found},
            results={_label(ti): ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index) for ti in found},
            announced=announced,
        )


def _label(ti: Any) -> str:
    name = ti.task_id.rpartition(".")[2]
    return name if ti.map_index < 0 else f"{name} [{ti.rendered_map_index or ti.map_index}]"


@contextmanager
def running_airflow(home: Path) -> Iterator[Airflow]:
    """An Airflow with its database in ``home``. One per process: it reads its configuration when first imported."""
    options = {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__DAGS_FOLDER": PROJECT_DIR / "dags",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": home / "logs",
    }
    assert "airflow" not in sys.modules
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in options.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.syspath_prepend(PROJECT_DIR / "dags")
        from airflow.utils.db import initdb

        initdb()
        yield Airflow()
