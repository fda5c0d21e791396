"""What a person watches while DAGs run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from infra.airflow_client import DagRun, TaskRun
from infra.cli.board import RunBoard

RUN = DagRun("ingest_hospital", "manual__1", "running", None, None)
TASKS = [
    TaskRun("each.load", 0, "each.load [hospital_north]", "success", 1, 2.5),
    TaskRun("each.load", 1, "each.load [hospital_harbour]", "running", 1, None),
]


@pytest.mark.parametrize("is_terminal", [False, True])
def test_mapped_tasks_are_told_by_their_endpoint(is_terminal):
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=100)
    with RunBoard(console) as board:
        board.changed(RUN, TASKS)
    shown = console.file.getvalue()
    assert "each.load [hospital_north]" in shown
    assert "each.load [hospital_harbour]" in shown
    assert "2.5 s" in shown


def test_a_change_is_told_once_where_there_is_no_terminal():
    console = Console(file=io.StringIO(), width=100)
    board = RunBoard(console)
    board.changed(RUN, TASKS)
    board.changed(RUN, TASKS)
    assert len(console.file.getvalue().splitlines()) == 2
