"""The PostgreSQL of the stack: roles, passwords, databases, and what happens at a second start."""

from __future__ import annotations

import contextlib
import stat

import psycopg
import pytest

from infra.stack.postgres import DATABASES, Cluster, initialise, provision, recreate


def answer(cluster: Cluster, database: str, role: str, query: str) -> object:
    with psycopg.connect(cluster.dsn(database, role)) as connection:
        return connection.execute(query).fetchone()[0]


@pytest.mark.parametrize(("database", "owner"), [(name, roles[0]) for name, roles in DATABASES.items()])
def test_each_database_belongs_to_the_role_of_its_name(postgres, database, owner):
    query = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
    assert answer(postgres, database, owner, query) == owner


@pytest.mark.parametrize(
    ("role", "database"),
    [("care", "vault"), ("analyst", "control"), ("mlflow", "airflow"), ("serving", "vault")],
)
def test_a_role_does_not_reach_another_roles_database(postgres, role, database):
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg.connect(postgres.dsn(database, role))


@pytest.mark.parametrize("role", ["care", "analyst"])
def test_readers_of_serving_may_log_in_and_nothing_else(postgres, role):
    may_create = (
        "select has_schema_privilege('public', 'create') or has_database_privilege('serving', 'create')"
    )
    assert answer(postgres, "serving", role, may_create) is False


def test_a_wrong_password_is_refused(postgres):
    dsn = postgres.dsn("control", "control").replace("control:", "control:x", 1)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(dsn)


def test_passwords_are_kept_as_scram_and_in_files_of_the_owner(postgres):
    are_scram = "select bool_and(rolpassword like 'SCRAM-SHA-256$%') from pg_authid where rolcanlogin"
    assert answer(postgres, "postgres", "postgres", are_scram) is True
    files = [path for path in postgres.secrets.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"postgres", "control", "vault", "serving", "care", "analyst"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_it_listens_on_loopback_only(postgres):
    assert answer(postgres, "postgres", "postgres", "show listen_addresses") == "127.0.0.1"
    assert answer(postgres, "postgres", "postgres", "show unix_socket_directories") == ""


def test_a_second_start_keeps_roles_and_data(postgres):
    with psycopg.connect(postgres.dsn("control", "control")) as connection:
        connection.execute("create table kept (n int)")
    before = (postgres.secrets / "control").read_text()
    provision(postgres)
    assert (postgres.secrets / "control").read_text() == before
    assert answer(postgres, "control", "control", "select count(*) from kept") == 0
    recreate(postgres, "control")


def test_an_older_installation_learns_of_later_databases(postgres):
    rules = postgres.data / "pg_hba.conf"
    now = rules.read_text()
    assert "host city_pharmacy city_pharmacy,pharmacy_reader" in now
    rules.write_text("\n".join(line for line in now.splitlines() if "pharmacy" not in line))
    initialise(postgres)
    assert rules.read_text() == now


def test_a_lost_password_file_gets_a_new_password(postgres):
    (postgres.secrets / "analyst").unlink()
    provision(postgres)
    assert answer(postgres, "serving", "analyst", "select current_user") == "analyst"


def test_no_value_of_a_failed_statement_is_in_the_log(postgres):
    """Neither of its text nor of its parameters, nor what the error itself, its detail and its context quote."""
    failing = [
        "insert into told values (2, 'Canary Name')",
        "insert into told values ('Canary Name', 'x')",
        "select cast('Canary Name' as integer)",
        "do $$ begin raise exception 'Canary Name'; end $$",
        "do $$ begin raise warning 'Canary Name'; end $$",
        "select 'Canary Name' from nowhere",
        "selekt 'Canary Name'",
    ]
    with psycopg.connect(postgres.dsn("control", "control"), autocommit=True) as connection:
        connection.execute("create temp table told (n integer primary key, name text unique)")
        connection.execute("insert into told values (1, 'Canary Name')")
        for statement in failing:
            with contextlib.suppress(psycopg.Error):
                connection.execute(statement)
        with pytest.raises(psycopg.Error, match="Canary"):
            connection.execute("insert into told values (%s, %s)", (3, "Canary Name"))
        for line in (b"Canary Name\tx\n", b"4\tCanary Name\n", b"5\n"):
            with pytest.raises(psycopg.Error), connection.cursor().copy("copy told from stdin") as copy:
                copy.write(line)
    log = (postgres.directory.parent / "postgres.log").read_text()
    assert "database system is ready" in log
    assert "Canary" not in log
