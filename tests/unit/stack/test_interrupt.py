"""Ctrl-C on the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path


def interrupted(tmp_path: Path, prepared: str, *arguments: str) -> tuple[int, str, str]:
    """Exit code and what is told of a command, interrupted once what ``prepared`` it has printed ``begun``."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{prepared}; import sys; sys.argv[1:] = {list(arguments)}; from infra.cli import main; main()",
        ],
        env={**os.environ, "CITYWELL_HOME": str(tmp_path), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    said, told = process.communicate(timeout=30)
    return process.returncode, said, told


def test_an_interrupted_command_says_so_and_ends_with_130(tmp_path: Path) -> None:
    waiting = "import time, infra.demo as d; d.run = lambda *_: (print('begun', flush=True), time.sleep(60))"
    code, _, told = interrupted(tmp_path, waiting, "demo")
    assert (code, told.strip()) == (130, "stopped")


AIRFLOW = """
import time, httpx
from infra import airflow_client

RUN = {"dag_id": "score", "dag_run_id": "r1", "state": "running", "start_date": None, "end_date": None}

def answer(request):
    if request.url.path.endswith("taskInstances"):
        print("begun", flush=True)
        return httpx.Response(200, json={"task_instances": []})
    return httpx.Response(200, json={"access_token": "t", "dags": [{"dag_id": "score"}], **RUN})

airflow_client.AirflowClient.of_stack = classmethod(
    lambda cls: cls("http://airflow", "admin", "p", transport=httpx.MockTransport(answer))
)
"""


def test_whoever_stops_watching_a_run_is_told_that_it_goes_on(tmp_path: Path) -> None:
    prepared = f"exec({AIRFLOW!r})"
    code, said, _ = interrupted(tmp_path, prepared, "run", "score", "--date", "2026-01-03")
    assert code == 130
    assert "The run goes on in Airflow: http://airflow/dags/score/runs/r1" in said
