"""Every setting of Citywell, typed and frozen, read in this module alone.

Values come from the environment (prefix ``CITYWELL_``) and from ``.env`` beside the project. ``ENGINE`` and
``CITY_POPULATION`` are also read without the prefix, because they are the two knobs a newcomer turns.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from functools import lru_cache
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal

import psutil
from dotenv import dotenv_values
from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobs.errors import CitywellError

PROJECT_DIR = Path(__file__).resolve().parent.parent
ENV_FILE = PROJECT_DIR / ".env"
PREFIX = "CITYWELL_"
NO_SETTINGS = ("CITYWELL_STACK", "CITYWELL_TEST_DATA")
"""Variables that are read elsewhere: the mark of the stack's processes, and where tests find foreign data."""

Port = Annotated[int, Field(ge=1, le=65535)]

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9'+&,;:()=@!$._/-]")


class Settings(BaseSettings):
    """Settings of one installation. All relative paths hang below ``home``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=ENV_FILE, extra="ignore", frozen=True)

    home: Path = Field(
        PROJECT_DIR / ".citywell", description="data directory: landing, lake, keys, logs, servers"
    )
    host: str = Field(
        "127.0.0.1", description="IPv4 address of this machine; every server binds to it, and is found by it"
    )
    engine: Literal["sail", "spark"] = Field(
        "sail", validation_alias=AliasChoices("CITYWELL_ENGINE", "ENGINE"), description="Spark Connect engine"
    )

    engine_memory_gib: int = Field(
        default_factory=lambda: max(4, psutil.virtual_memory().total // 3 // 2**30),
        ge=1,
        description="what Sail's sorts and joins may hold, or Spark's heap; a third of the machine's, at least 4",
    )

    postgres_port: Port = 55432
    engine_port: Port = 50051
    thrift_port: Port = Field(10000, description="JDBC and ODBC of the Spark engine (ENGINE=spark)")
    mlflow_port: Port = 5501
    airflow_port: Port = 8088
    city_port: Port = 8600
    hl7_port: Port = Field(
        6661, description="first of the ports on which HL7 v2 messages are received over MLLP"
    )

    city_population: int = Field(
        2000,
        ge=50,
        validation_alias=AliasChoices("CITYWELL_CITY_POPULATION", "CITY_POPULATION"),
        description="people in the simulated city",
    )
    city_seed: int = 7
    city_years: float = Field(2.0, gt=0, description="years of history the simulated city begins with")
    city_admission_factor: float = Field(
        3.0, gt=0, description="admissions to a real city's: a small city has enough of them to learn from"
    )
    hospital_data: Path | None = Field(None, description="directory of NDJSON served as hospital_given")
    air_data: Path | None = Field(
        None, description="directory of Beijing's readings (UCI), served as air_beijing and weather_beijing"
    )

    mlflow_tracking_uri: str | None = Field(
        None, description="MLflow that is managed elsewhere, instead of the stack's own server"
    )
    landing_retention_days: float = Field(
        90, gt=0, description="how long landed files of published batches are kept"
    )
    schedules: bool = Field(
        False,
        description="run the DAGs by their cron schedules; off beside the simulated city, which has its own time",
    )
    crash_at: str | None = Field(
        None, description="named point at which a load kills itself, for fault tests"
    )
    webhook_url: str | None = Field(None, description="receives a JSON POST when a task fails")

    @field_validator("home", "hospital_data", "air_data")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Servers and tasks run in directories of their own."""
        return path and path.expanduser().resolve()

    @field_validator("host")
    @classmethod
    def _one_address(cls, host: str) -> str:
        """Servers are told to each other by it, and PostgreSQL lets in who comes from it."""
        try:
            is_one = not IPv4Address(host).is_unspecified
        except ValueError:
            is_one = False
        if not is_one:
            raise ValueError(f"{host!r} is not one IPv4 address of this machine, such as 127.0.0.1")
        return host

    @field_validator("home")
    @classmethod
    def _plain(cls, path: Path) -> Path:
        """Sail (0.7.2) writes a table whose path holds any other character into another directory."""
        if odd := _NOT_PLAIN.search(str(path)):
            raise ValueError(
                f"no {odd[0]!r} may be in the path of the data directory, {path}; set CITYWELL_HOME to another"
            )
        return path

    @property
    def keys_dir(self) -> Path:
        return self.home / "keys"

    @property
    def landing_dir(self) -> Path:
        return self.home / "landing"

    @property
    def lake_dir(self) -> Path:
        return self.home / "lake"

    @property
    def logs_dir(self) -> Path:
        return self.home / "logs"

    @property
    def secrets_dir(self) -> Path:
        return self.home / "secrets"

    @property
    def city_dir(self) -> Path:
        return self.home / "city"

    @property
    def engine_remote(self) -> str:
        return f"sc://{self.host}:{self.engine_port}"

    @property
    def city_url(self) -> str:
        return f"http://{self.host}:{self.city_port}"

    @property
    def mlflow_url(self) -> str:
        return self.mlflow_tracking_uri or f"http://{self.host}:{self.mlflow_port}"

    @property
    def airflow_url(self) -> str:
        return f"http://{self.host}:{self.airflow_port}"

    def postgres_dsn(self, database: str, role: str) -> str:
        """libpq URI of ``database`` for ``role``; the password is read from ``secrets/postgres/<role>``.

        Raises FileNotFoundError when the stack has never been started.
        """
        password = (self.secrets_dir / "postgres" / role).read_text().strip()
        return f"postgresql://{role}:{password}@{self.host}:{self.postgres_port}/{database}"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once. Raises CitywellError naming each setting that has no sense."""
    try:
        return Settings()  # type: ignore[call-arg]
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise CitywellError(
            f"a setting is wrong: {wrong}",
            where="CITYWELL_* in the environment, or .env",
            do="mend it; jobs/settings.py lists every setting",
        ) from None


def unknown_variables(env_file: Path = ENV_FILE) -> dict[str, str | None]:
    """The variables ``CITYWELL_*`` of the environment and of ``.env`` that nothing reads, each with the setting whose
    name is nearest, if one is near."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    given = {*os.environ, *dotenv_values(env_file)}
    unknown = {
        name
        for name in given
        if name.upper().startswith(PREFIX) and name.upper() not in {*known, *NO_SETTINGS}
    }
    return {
        name: next(iter(get_close_matches(name.upper(), known, 1, 0.8)), None) for name in sorted(unknown)
    }
