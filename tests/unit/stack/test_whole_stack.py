"""The whole stack, started as a person starts it: well, on loopback only, no secret in sight, and gone after down."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator

import psutil
import pytest

from infra.stack import leftovers
from tests.support.installation import Installation, installed

pytestmark = pytest.mark.slow

PROGRAMS = {
    "postgres",
    "engine",
    "listener",
    "city",
    "mlflow",
    "airflow-api",
    "airflow-scheduler",
    "airflow-dags",
}


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with installed(CITYWELL_CITY_POPULATION="100", CITYWELL_CITY_YEARS="0.5") as installation:
        started = installation.citywell("up")
        assert started.returncode == 0, started.stdout + started.stderr
        yield installation


def test_all_of_it_is_well(installation):
    programs = json.loads(installation.citywell("status", "--json").stdout)
    assert {program["name"] for program in programs if program["is_healthy"]} == PROGRAMS
    assert sum(program["memory_mb"] for program in programs) < 3000


def test_everything_listens_on_loopback_only(installation):
    listening = [
        connection.laddr.ip
        for process in leftovers.find(installation.home)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) == 9
    assert set(listening) == {"127.0.0.1"}


def test_no_secret_shows_in_arguments_environments_or_logs(installation):
    files = [path for path in (installation.home / "secrets").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    secrets = {path.read_text().strip().rpartition(":")[2] for path in files}
    shown = [
        text for p in leftovers.find(installation.home) for text in (*p.cmdline(), *p.environ().values())
    ]
    shown += [log.read_text(errors="replace") for log in (installation.home / "logs").rglob("*.log")]
    assert not [secret for secret in secrets for text in shown if secret in text]


def test_a_second_up_finds_everything_running(installation):
    assert installation.citywell("up").stdout.splitlines()[-1] == "The stack was up already."


def test_down_leaves_nothing_running_and_the_data_in_place(installation):
    assert installation.citywell("down").returncode == 0
    assert leftovers.find(installation.home) == []
    assert (installation.home / "postgres" / "data" / "PG_VERSION").is_file()
    assert installation.citywell("down").stdout.splitlines() == ["Nothing was running."]
