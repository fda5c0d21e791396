"""The command line: quick help, plain errors, dates; and SQL against PostgreSQL."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from infra import evaluate
from infra.cli.app import app
from infra.cli.dates import instant
from infra.evaluate import Line, figures
from infra.stack import lifecycle
from infra.stack.postgres import Cluster, free_port
from infra.stack.services import services
from jobs.errors import CitywellError
from jobs.settings import Settings, settings, unknown_variables

HEAVY = {"pyspark", "airflow", "mlflow", "pandas", "numpy", "great_expectations", "dbt", "httpx", "psycopg"}


def citywell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("citywell")), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", **environment},
    )


def test_help_names_every_command_with_examples():
    told = CliRunner().invoke(app, ["--help"]).output
    for word in ("up", "down", "status", "demo", "run", "ingest", "sql", "quarantine", "source", "evaluate"):
        assert f" {word} " in told
    assert "citywell sql --serving --role care" in told


def test_help_imports_nothing_heavy():
    code = "import sys, infra.cli.app; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not HEAVY & set(loaded)


def test_an_expected_failure_is_three_lines_and_exit_code_1(tmp_path):
    ended = citywell("sql", "--serving", "select 1", CITYWELL_HOME=str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "there is no password of role 'serving'",
        f"  where: {tmp_path}/secrets",
        "  do: `citywell up` makes the roles serving, care and analyst",
    ]


def test_debug_shows_the_traceback(tmp_path):
    ended = citywell("--debug", "sql", "--serving", "select 1", CITYWELL_HOME=str(tmp_path))
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-01-31", "2026-01-31T00:00:00+00:00"),
        ("2026-01-31T04:30:00Z", "2026-01-31T04:30:00+00:00"),
        ("2026-01-31T04:30:00+02:00", "2026-01-31T02:30:00+00:00"),
        (None, None),
    ],
)
def test_dates(written, meant):
    assert instant(written) == meant


def test_a_date_that_is_none_is_told():
    with pytest.raises(CitywellError, match=r"'31\.1\.26' is not a date"):
        instant("31.1.26")


@pytest.mark.parametrize(("is_met", "code"), [(True, 0), (False, 1)])
def test_a_figure_that_falls_short_is_told_by_the_exit_code(is_met, code, monkeypatch):
    lines = [
        Line("one", 1, "share", ">=1", True, 7),
        Line("other", 3, "values", "==0", is_met),
        figures.told("another", 2, "pairs", 9),
    ]
    monkeypatch.setattr(evaluate, "evaluate", lambda: iter(lines))
    told = CliRunner().invoke(app, ["evaluate"])
    assert told.exit_code == code
    assert told.output.splitlines() == [
        "one 1 share >=1 pass of 7",
        f"other 3 values ==0 {'pass' if is_met else 'short'}",
        "another 2 pairs - told of 9",
    ]


@pytest.mark.parametrize("command", [("report",), ("quarantine", "report", "hospital_north")], ids=" ".join)
@pytest.mark.parametrize(
    ("out", "said"),
    [(".", "is a directory"), ("nowhere/x", "there is no directory")],
    ids=["a directory", "in no directory"],
)
def test_a_report_goes_to_a_file_in_a_directory_that_exists(command, out, said, tmp_path):
    told = CliRunner().invoke(app, [*command, "--out", str(tmp_path / out)], env={"COLUMNS": "1000"})
    assert told.exit_code == 2
    assert said in told.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture
def serving(postgres: Cluster, monkeypatch: pytest.MonkeyPatch):
    for name, value in postgres.environment().items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield
    settings.cache_clear()


def sql(*arguments: str):
    return CliRunner().invoke(app, ["sql", "--serving", *arguments])


@pytest.mark.usefixtures("serving")
def test_sql_prints_csv():
    answer = sql("select 1 as n, 'a,b' as text, null as nothing")
    assert (answer.exit_code, answer.stdout) == (0, 'n,text,nothing\n1,"a,b",\n')


@pytest.mark.usefixtures("serving")
def test_sql_asks_as_the_role_it_is_told():
    assert sql("--role", "care", "select current_user").stdout == "current_user\ncare\n"


@pytest.mark.usefixtures("serving")
def test_sql_changes_nothing():
    answer = sql("create table gone (n int)")
    assert isinstance(answer.exception, CitywellError)
    assert "read-only transaction" in answer.exception.what
    assert answer.exception.do == "ask with select: nothing is changed from here"


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("table", ["secret", "risks"])
def test_sql_says_what_a_role_may_read(table):
    with psycopg.connect(settings().postgres_dsn("serving", "serving")) as connection:
        connection.execute(
            "create schema rights; create table rights.secret (n int); create view rights.open as select 1 as n;"
            "grant usage on schema rights to analyst; grant select on rights.open to analyst"
        )
    try:
        answer = sql("--role", "analyst", f"select * from rights.{table}")
    finally:
        with psycopg.connect(settings().postgres_dsn("serving", "serving")) as connection:
            connection.execute("drop schema rights cascade")
    assert isinstance(answer.exception, CitywellError)
    assert re.match(r"role analyst may read (.*, )?rights\.open(,|$)", answer.exception.do)
    assert "rights.secret" not in answer.exception.do


@pytest.mark.usefixtures("serving")
def test_a_query_that_is_wrong_is_to_be_mended():
    answer = sql("selct 1")
    assert isinstance(answer.exception, CitywellError)
    assert answer.exception.do == "mend the query"


def test_the_lake_has_no_roles():
    answer = CliRunner().invoke(app, ["sql", "--role", "care", "select 1"])
    assert answer.exit_code == 2
    assert "add --serving" in answer.stderr


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("drop table gold.dim_person", "The lake is read only here, and 'drop' asks nothing"),
        ("  -- select\n CREATE table t as select 1", "The lake is read only here, and 'create' asks nothing"),
        ("(/* select */ delete from gold.t)", "The lake is read only here, and 'delete' asks nothing"),
        (
            "with t as (select 1) insert into u from t",
            "The lake is read only here, and 'insert' asks nothing",
        ),
        ("from t insert overwrite u select *", "The lake is read only here, and 'insert' asks nothing"),
        (" ; ", "There is no query"),
    ],
)
def test_the_lake_is_only_asked(query, said):
    answer = CliRunner().invoke(app, ["sql", query])
    assert isinstance(answer.exception, CitywellError)
    assert answer.exception.what == said


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("select 'insert into t' as n -- drop", "n\ninsert into t\n"),
        ("(select 1 as n) union all (select 2) order by n", "n\n1\n2\n"),
        ("with t as (select 1 as n) select n from t", "n\n1\n"),
        ("values (1)", "col1\n1\n"),
    ],
)
def test_a_question_to_the_lake_is_answered(query, answer):
    asked = CliRunner().invoke(app, ["sql", query])
    assert asked.stdout == answer, asked.exception


def test_a_wrong_setting_is_named(tmp_path):
    ended = citywell("status", CITYWELL_HOME=str(tmp_path), CITYWELL_CITY_PORT="eighty")
    assert ended.returncode == 1
    assert ended.stderr.startswith("a setting is wrong: city_port: Input should be a valid integer")


@pytest.mark.parametrize("odd", [" ", "%", "#", "é"])
def test_a_data_directory_whose_path_the_engine_would_change_is_refused(odd, monkeypatch, tmp_path):
    monkeypatch.setenv("CITYWELL_HOME", str(tmp_path / f"city{odd}well"))
    settings.cache_clear()
    with pytest.raises(CitywellError, match="in the path of the data directory") as refused:
        settings()
    settings.cache_clear()
    assert f"no {odd!r} may be" in refused.value.what


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "::1"])
def test_a_host_is_one_address_of_this_machine(host, tmp_path):
    ended = citywell("status", CITYWELL_HOME=str(tmp_path), CITYWELL_HOST=host)
    assert ended.returncode == 1
    assert f"{host!r} is not one IPv4 address of this machine" in ended.stderr


@pytest.mark.parametrize("port", ["0", "65536", "-1"])
def test_a_port_is_one(port, tmp_path):
    ended = citywell("status", CITYWELL_HOME=str(tmp_path), CITYWELL_ENGINE_PORT=port)
    assert ended.returncode == 1
    assert ended.stderr.startswith("a setting is wrong: engine_port: Input should be ")


def test_a_variable_that_is_no_setting_is_told_once_with_the_nearest(tmp_path):
    ended = citywell(
        "source",
        "list",
        CITYWELL_HOME=str(tmp_path),
        CITYWELL_ENGIN_PORT="50052",
        CITYWELL_COLOUR="red",
        CITYWELL_TEST_DATA=str(tmp_path),
        CITYWELL_STACK=str(tmp_path),
        citywell_host="127.0.0.1",
    )
    assert ended.returncode == 0
    assert ended.stderr.splitlines() == [
        "CITYWELL_COLOUR is not a setting and is ignored; jobs/settings.py lists every setting",
        "CITYWELL_ENGIN_PORT is not a setting and is ignored; did you mean CITYWELL_ENGINE_PORT?",
    ]


def test_a_misspelt_line_of_the_env_file_is_found(tmp_path):
    file = tmp_path / ".env"
    file.write_text("CITYWELL_HOM=/data\nENGINE=sail\nCITYWELL_CITY_SEED=1\n")
    assert unknown_variables(file)["CITYWELL_HOM"] == "CITYWELL_HOME"
    assert "CITYWELL_CITY_SEED" not in unknown_variables(file)


@pytest.mark.parametrize("command", [("status",), ("source", "list")], ids=" ".join)
@pytest.mark.parametrize(
    "terminal", [{}, {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "dumb"}], ids=["pipe", "terminal"]
)
def test_a_path_and_an_address_can_be_copied(command, terminal, tmp_path):
    """In 80 columns too, which they do not fit in."""
    home = tmp_path / "a-directory-with-quite-a-long-name-of-many-words" / "home"
    ended = citywell(
        *command,
        CITYWELL_HOME=str(home),
        CITYWELL_HOST="127.111.222.133",
        COLUMNS="80",
        **terminal,
    )
    wanted = {
        "status": f"{home}/logs/postgres.log",
        "source": "http://127.111.222.133:8600/university/fhir",
    }[command[0]]
    assert wanted in ended.stdout, ended.stdout + ended.stderr
    assert ended.stdout.startswith(
        "program,state" if command[0] == "status" else "endpoint,protocol"
    ) != bool(terminal)


def test_a_check_of_a_source_tells_each_finding_in_one_line(tmp_path):
    ended = citywell(
        "source",
        "check",
        "hospital_north",
        CITYWELL_HOME=str(tmp_path),
        CITYWELL_CITY_PORT=str(free_port()),
        COLUMNS="40",
    )
    assert ended.returncode == 1
    assert "do: check that the server is up, base_url in the source definition, and" in ended.stdout


def test_a_relative_data_directory_is_below_where_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Settings(home="data").home == tmp_path / "data"


def test_the_spark_engine_without_java_is_told(tmp_path, monkeypatch):
    config = Settings(home=tmp_path, ENGINE="spark")
    [engine] = [service for service in services(config) if service.name == "engine"]
    lifecycle.prepare_home(config)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CitywellError, match=r"the Spark engine needs Java 17 \(found none\)"):
        engine.prepare(lambda *_, **__: None)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("sql", "select 1"), "The control database cannot be reached"),
        (("sql", "--serving", "select 1"), "connection failed"),
        (("run", "transform"), "Airflow does not answer"),
        (("report",), "the city does not answer"),
        (("ingest", "hospital_north"), "hospital_north: The control database cannot be reached"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_server_that_is_down_is_told_with_what_to_do(tmp_path, command, said):
    for role in ("postgres/control", "postgres/serving", "airflow/admin"):
        (tmp_path / "secrets" / role).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "secrets" / role).write_text("p")
    ports = {f"CITYWELL_{name}_PORT": str(free_port()) for name in ("POSTGRES", "AIRFLOW", "CITY")}
    ended = citywell(*command, CITYWELL_HOME=str(tmp_path), **ports)
    assert ended.returncode == 1
    assert ended.stderr.startswith(said), ended.stderr
    assert "citywell up" in ended.stderr
    assert "Traceback" not in ended.stderr
