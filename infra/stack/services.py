"""What the stack consists of. Nothing here starts anything."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from infra.city.messages.voices import VOICES
from infra.engine import sail
from infra.engine.launch import Command
from infra.stack import airflow, health, osuser, postgres, schemas
from infra.stack.model import Port, Program, Service, Tell
from infra.stack.postgres import Cluster
from jobs.errors import CitywellError
from jobs.settings import Settings
from jobs.sources import Hl7Endpoint, load_all

NO_TELEMETRY = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
}
CITY_ONLY = frozenset(
    {"city_population", "city_seed", "city_years", "city_admission_factor", "hospital_data", "air_data"}
)


def services(config: Settings) -> tuple[Service, ...]:
    """Every service, each behind those it waits for."""
    database, listened = cluster(config), hl7_ports(config)
    return (
        _postgres(config, database),
        _engine(config),
        *([_listener(config, listened)] if listened else []),
        _city(config, listened),
        *([] if config.mlflow_tracking_uri else [_mlflow(config, database)]),
        _airflow(config, database),
    )


def cluster(config: Settings) -> Cluster:
    """The stack's PostgreSQL."""
    return Cluster(
        config.home / "postgres", config.secrets_dir / "postgres", config.host, config.postgres_port
    )


def common_environment() -> dict[str, str]:
    """What every program gets: this environment's commands first, no telemetry, no proxy on loopback.

    SPT_NOENV keeps programs that rename themselves from wiping the environment by which they are recognised.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**NO_TELEMETRY, "PATH": path, "NO_PROXY": "127.0.0.1,localhost", "SPT_NOENV": "1"}


def settings_environment(config: Settings, *, leave_out: frozenset[str] = frozenset()) -> dict[str, str]:
    """The settings as environment variables, so that a program sees those of the ``up`` that started it."""
    return {
        f"CITYWELL_{name.upper()}": str(value.resolve() if isinstance(value, Path) else value)
        for name, value in config
        if value is not None and not isinstance(value, SecretStr) and name not in leave_out
    }


def _postgres(config: Settings, database: Cluster) -> Service:
    def prepare(tell: Tell) -> None:
        for opened in postgres.initialise(database):
            if not opened.is_relative_to(config.home):
                tell(f"made {opened} searchable: PostgreSQL runs as {osuser.USER} below it", lasting=True)

    program = Program(
        name="postgres",
        command=postgres.server_command(database),
        directory=database.directory,
        is_healthy=partial(postgres.is_ready, database),
        user=osuser.server_user(),
        ports=(Port(config.postgres_port, "CITYWELL_POSTGRES_PORT"),),
        address=f"{config.host}:{config.postgres_port}",
        stop_signal="INT",  # PostgreSQL's fast shutdown
        is_signalled_with_children=False,
        stop_seconds=30,
    )
    return Service(
        "postgres", (program,), prepare=prepare, provision=partial(schemas.provision_all, database)
    )


def _engine(config: Settings) -> Service:
    def prepare(tell: Tell) -> None:
        from infra.stack.keys import ensure_lake_keys  # imports much

        ensure_lake_keys(config)
        if config.engine == "spark":
            _ensure_spark(tell)
        else:
            shutil.rmtree(sail.checkpoints(config.home / "engine"), ignore_errors=True)

    command = _engine_command(config)
    program = Program(
        name="engine",
        command=command.argv,
        directory=config.home / "engine",
        is_healthy=partial(_engine_is_ready, config),
        environment={**settings_environment(config, leave_out=CITY_ONLY), **command.env},
        ports=(
            Port(config.engine_port, "CITYWELL_ENGINE_PORT"),
            *([Port(config.thrift_port, "CITYWELL_THRIFT_PORT")] if config.engine == "spark" else []),
        ),
        address=config.engine_remote,
    )
    if config.engine == "spark":
        return Service("engine", (program,), after=("postgres",), prepare=prepare, provision=_show_published)
    return Service("engine", (program,), prepare=prepare)


def _engine_is_ready(config: Settings) -> bool:
    return health.grpc_ready(f"{config.host}:{config.engine_port}") and (
        config.engine != "spark" or health.tcp_open(config.host, config.thrift_port)
    )


def _show_published() -> None:
    """What is published, in the catalog of an engine that has just started and knows no table."""
    from jobs.lake import catalog  # imports pyspark

    with catalog.lake_session():
        pass


def _ensure_spark(tell: Tell) -> None:
    """Java, and Delta's jars. Raises CitywellError that names what the machine lacks."""
    from infra.engine import spark  # imports pyspark

    if missing := spark.missing_tools():
        raise CitywellError(
            f"the Spark engine needs {' and '.join(missing)}",
            where="ENGINE=spark",
            do="install that, or leave ENGINE at sail",
        )
    tell("fetching Delta's jars")
    spark.fetch_jars()


def _engine_command(config: Settings) -> Command:
    if config.engine == "spark":
        from infra.engine.spark import spark_command  # imports pyspark

        return spark_command(
            config.host,
            config.engine_port,
            config.home / "engine",
            memory_gib=config.engine_memory_gib,
            thrift_port=config.thrift_port,
        )
    return sail.sail_command(
        config.host, config.engine_port, config.home / "engine", config.engine_memory_gib
    )


def _listener(config: Settings, listened: Mapping[str, int]) -> Service:
    """What receives hospitals' messages as they are sent; each endpoint has a port of its own."""

    def prepare(tell: Tell) -> None:
        from infra.stack.keys import ensure_lake_keys  # imports much

        ensure_lake_keys(config)

    ports = listened.values()
    program = Program(
        name="listener",
        command=[
            *(sys.executable, "-m", "jobs.extract.mllp"),
            *(word for name, port in listened.items() for word in ("--listen", f"{name}={port}")),
        ],
        directory=config.landing_dir,
        is_healthy=partial(health.tcp_open, config.host, min(ports)),
        environment=settings_environment(config, leave_out=CITY_ONLY),
        ports=tuple(Port(port, "CITYWELL_HL7_PORT") for port in ports),
        address=f"{config.host}:{min(ports)}-{max(ports)}",
    )
    return Service("listener", (program,), prepare=prepare)


def hl7_ports(config: Settings) -> dict[str, int]:
    """The port of each endpoint that sends HL7 v2 over MLLP."""
    endpoints = [e for source in load_all().values() for e in source.endpoints.values()]
    return {
        e.name: config.hl7_port + e.port_offset
        for e in endpoints
        if isinstance(e, Hl7Endpoint) and e.port_offset is not None
    }


def _city(config: Settings, listened: Mapping[str, int]) -> Service:
    def prepare(tell: Tell) -> None:
        from infra.stack.keys import ensure_sign_in_keys  # imports much

        ensure_sign_in_keys(config)

    program = Program(
        name="city",
        command=[
            *(sys.executable, "-m", "infra.city", "serve"),
            *("--admission-factor", str(config.city_admission_factor)),
            *(
                word
                for voice in VOICES
                if voice.source in listened
                for word in ("--hl7", f"{voice.name}={config.host}:{listened[voice.source]}")
            ),
        ],
        directory=config.city_dir,
        is_healthy=partial(health.http_ok, f"{config.city_url}/city/clock"),
        environment=settings_environment(config),
        ports=(Port(config.city_port, "CITYWELL_CITY_PORT"),),
        address=config.city_url,
    )
    return Service("city", (program,), after=("postgres",), prepare=prepare)


def _mlflow(config: Settings, database: Cluster) -> Service:
    artifacts = config.home / "mlflow" / "artifacts"

    def prepare(tell: Tell) -> None:
        artifacts.mkdir(parents=True, exist_ok=True)

    listen = ["--host", config.host, "--port", str(config.mlflow_port), "--workers", "1"]
    program = Program(
        name="mlflow",
        command=[
            str(Path(sys.executable).with_name("mlflow")),
            *("server", *listen, "--artifacts-destination", str(artifacts)),
        ],
        directory=config.home / "mlflow",
        is_healthy=partial(health.http_ok, f"{config.mlflow_url}/health"),
        environment={
            "MLFLOW_BACKEND_STORE_URI": database.sqlalchemy_url("mlflow", "psycopg2"),
            "PGPASSFILE": str(database.passfile("mlflow")),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        ports=(Port(config.mlflow_port, "CITYWELL_MLFLOW_PORT"),),
        address=config.mlflow_url,
    )
    return Service("mlflow", (program,), after=("postgres",), prepare=prepare)


def _airflow(config: Settings, database: Cluster) -> Service:
    environment = {
        **settings_environment(config, leave_out=CITY_ONLY),
        "AIRFLOW_HOME": str(airflow.directory(config)),
        "PGPASSFILE": str(database.passfile("airflow")),
        "MLFLOW_TRACKING_URI": config.mlflow_url,
    }

    def prepare(tell: Tell) -> None:
        airflow.write_configuration(config, database)
        airflow.migrate(config, database, {**common_environment(), **environment}, tell)

    def component(name: str, command: list[str], monitored: str, ports: tuple[Port, ...] = ()) -> Program:
        return Program(
            name=name,
            command=command,
            directory=airflow.directory(config),
            is_healthy=partial(health.airflow_component, config.airflow_url, monitored),
            environment=environment,
            ports=ports,
            address=config.airflow_url if ports else "",
        )

    api_port = (Port(config.airflow_port, "CITYWELL_AIRFLOW_PORT"),)
    return Service(
        "airflow",
        (
            component("airflow-api", [airflow.executable(), "api-server"], "metadatabase", api_port),
            component(
                "airflow-scheduler",
                [sys.executable, "-m", "infra.stack.scheduler", "--skip-serve-logs"],
                "scheduler",
            ),
            component("airflow-dags", [airflow.executable(), "dag-processor"], "dag_processor"),
        ),
        after=("postgres",),
        prepare=prepare,
    )
