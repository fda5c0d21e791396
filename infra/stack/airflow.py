"""Airflow 3 with LocalExecutor on PostgreSQL: its configuration file and its database.

The three programs of ``airflow standalone`` that Citywell needs run side by side under the supervisor
(decision 0002): so each is restarted when it dies, and no log server listens beyond loopback.
"""

from __future__ import annotations

import base64
import configparser
import io
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import psycopg

from infra.stack.model import Tell
from infra.stack.postgres import Cluster
from infra.stack.secrets import ensure_secret, write_private
from jobs.errors import CitywellError
from jobs.settings import PROJECT_DIR, Settings

ADMIN = "admin"


def executable() -> str:
    """The ``airflow`` command of this environment."""
    return str(Path(sys.executable).with_name("airflow"))


def directory(config: Settings) -> Path:
    """AIRFLOW_HOME."""
    return config.home / "airflow"


def admin_password(config: Settings) -> str:
    """Password of the user ``admin``, made at first call."""
    return ensure_secret(config.secrets_dir / "airflow" / ADMIN)


def write_configuration(config: Settings, database: Cluster) -> None:
    """``airflow.cfg`` (mode 0600: it holds signing keys) and the file of user passwords."""
    home = directory(config)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    passwords = home / "passwords.json"
    write_private(passwords, json.dumps({ADMIN: admin_password(config)}) + "\n")

    parser = configparser.RawConfigParser()
    parser.read_dict(_options(config, database, passwords))
    text = io.StringIO()
    parser.write(text)
    write_private(home / "airflow.cfg", text.getvalue())


def migrate(config: Settings, database: Cluster, environment: Mapping[str, str], tell: Tell) -> None:
    """Bring Airflow's database to this Airflow's schema; skipped when the last migration was this version's.

    Raises CitywellError with the end of the log when ``airflow db migrate`` fails.
    """
    marker = directory(config) / "migrated.json"
    release = version("apache-airflow-core")
    if marker.exists() and json.loads(marker.read_text()) == [release, _schema_revision(database)]:
        return
    tell("preparing its database")
    log = config.logs_dir / "airflow-migrate.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [executable(), "db", "migrate"],
            env={**os.environ, **environment},
            cwd=directory(config),
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=900,
        )
    if done.returncode:
        raise CitywellError(
            f"Airflow's database could not be prepared; the log ends:\n{log.read_text()[-1500:]}",
            where=str(log),
            do="see the log; `citywell up` tries again",
        )
    marker.write_text(json.dumps([release, _schema_revision(database)]))


def _schema_revision(database: Cluster) -> str | None:
    """The schema revision the database says it has; None when it is empty."""
    with psycopg.connect(database.dsn("airflow", "airflow")) as connection:
        row = connection.execute("select to_regclass('alembic_version')").fetchone()
        if row is None or row[0] is None:
            return None
        revision = connection.execute("select version_num from alembic_version").fetchone()
    return None if revision is None else str(revision[0])


def _options(config: Settings, database: Cluster, passwords: Path) -> dict[str, dict[str, object]]:
    """Everything that differs from Airflow's defaults. SQLAlchemy needs the driver in the database's URL.

    Timeouts are longer, because on two busy cores the API server may take many seconds to answer.
    """
    kept = config.secrets_dir / "airflow"
    return {
        "core": {
            "executor": "LocalExecutor",
            "dags_folder": PROJECT_DIR / "dags",
            "load_examples": False,
            "dags_are_paused_at_creation": False,
            "parallelism": max(3, os.cpu_count() or 1),
            "fernet_key": ensure_secret(kept / "fernet_key", _fernet_key),
            "hostname_callable": "socket.gethostname",
            "simple_auth_manager_users": f"{ADMIN}:admin",
            "simple_auth_manager_passwords_file": passwords,
            "execution_api_server_url": f"{config.airflow_url}/execution/",
            "min_serialized_dag_update_interval": 5,
        },
        "database": {
            "sql_alchemy_conn": database.sqlalchemy_url("airflow", "psycopg2"),
            "sql_alchemy_conn_async": database.sqlalchemy_url("airflow", "asyncpg"),
            "check_migrations": False,
        },
        "api": {
            "host": config.host,
            "port": config.airflow_port,
            "base_url": config.airflow_url,
            "workers": 1,
            "secret_key": ensure_secret(kept / "api_secret_key"),
            "instance_name": "Citywell",
        },
        "api_auth": {"jwt_secret": ensure_secret(kept / "jwt_secret", lambda: secrets.token_urlsafe(64))},
        "logging": {"base_log_folder": config.logs_dir / "airflow", "colored_console_log": False},
        "dag_processor": {
            "dag_processor_child_process_log_directory": config.logs_dir / "airflow" / "dag_processor",
            "dag_file_processor_timeout": 180,
            "parsing_processes": 1,
            "refresh_interval": 5,
            "min_file_process_interval": 120,
        },
        "workers": {"execution_api_timeout": 30},
        "scheduler": {"scheduler_idle_sleep_time": 0.5, "orphaned_tasks_check_interval": 30},
    }


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
