"""Apache Spark with Delta Lake: one JVM that serves Spark Connect, and JDBC and ODBC beside it (Thrift).

Spark's own jars come with ``pyspark``; Delta's are fetched once by Maven (``pom.xml``) and put on the class path,
because ``--jars`` and ``spark.jars.packages`` leave some sessions without them. There is no metastore: a session
registers the Delta directories it reads.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyspark

from infra.engine.launch import IDLE_SESSION_S, Command, Engine, free_port, running, worker_env
from jobs.errors import CitywellError
from jobs.lake.engine import CALL_SITES

HERE = Path(__file__).resolve().parent
JARS = HERE / "jars"
NEEDED_JAVA = 17

_CONNECT = "org.apache.spark.sql.connect.service.SparkConnectServer"
_THRIFT = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"
_BESIDE_THRIFT = {
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
    "spark.databricks.delta.optimizeMetadataQuery.enabled": "false",
}
"""The Thrift server turns dates into java.time for every session of its JVM (spark.sql.datetime.java8API.enabled), and
Delta (4.4) fails to answer min and max of a date from its metadata then.
"""

TINY_DATA = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
"""Halves the processor time of tables of a few rows, where compiling and replanning cost more than running."""


def spark_command(
    host: str,
    port: int,
    directory: Path,
    cores: int | None = None,
    memory_gib: int = 4,
    extra: Mapping[str, str] | None = None,
    thrift_port: int | None = None,
) -> Command:
    """Starts Spark's Connect server on ``host:port``; with a ``thrift_port`` the Thrift server too, in the same JVM and
    over the same catalog.

    directory: takes the warehouse and scratch files. cores: worker threads, by default all of the machine.
    memory_gib: of the JVM's heap; tables that joins hold in memory take the most of it.
    extra: more configuration. Shuffles have as many partitions as there are cores and a Delta snapshot two,
    since the defaults (200, 50) start that many tasks for a table of ten rows. The operations of a client that
    was killed end by themselves after half a minute.
    """
    workers = cores or os.cpu_count() or 2
    home = Path(pyspark.__file__).parent
    config = {
        "spark.driver.extraClassPath": f"{JARS}/*",
        "spark.executor.extraClassPath": f"{JARS}/*",
        "spark.driver.memory": f"{memory_gib}g",
        "spark.driver.host": host,
        "spark.driver.bindAddress": host,
        "spark.connect.grpc.binding.address": host,
        "spark.connect.grpc.binding.port": str(port),
        "spark.local.dir": str(directory / "scratch"),
        "spark.sql.warehouse.dir": str(directory / "warehouse"),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.shuffle.partitions": str(workers),
        "spark.sql.session.timeZone": "UTC",
        CALL_SITES: "false",
        "spark.connect.execute.manager.detachedTimeout": "30s",
        "spark.connect.session.manager.defaultSessionTimeout": f"{IDLE_SESSION_S}s",
        "spark.ui.enabled": "false",
        "spark.log.level": "OFF",
        **(extra or {}),
    }
    served = _CONNECT
    if thrift_port is not None:
        config |= _BESIDE_THRIFT
        served = _THRIFT
    thrift = {"hive.server2.thrift.bind.host": host, "hive.server2.thrift.port": thrift_port}
    argv = [
        str(home / "bin" / "spark-submit"),
        *("--class", served, "--master", f"local[{workers}]"),
        *[part for key, value in config.items() for part in ("--conf", f"{key}={value}")],
        "spark-internal",
        *[part for key, value in thrift.items() if thrift_port for part in ("--hiveconf", f"{key}={value}")],
    ]
    env = {
        **worker_env(),
        "SPARK_HOME": str(home),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_NO_DAEMONIZE": "1",
    }
    return Command(argv, env)


def missing_tools() -> list[str]:
    """What this engine needs and the machine lacks, in words; empty when nothing is missing."""
    java = _java_major()
    missing = [] if java >= NEEDED_JAVA else [f"Java {NEEDED_JAVA} (found {java or 'none'})"]
    if not any(JARS.glob("delta-spark_*.jar")) and shutil.which("mvn") is None:
        missing.append("Maven")
    return missing


def fetch_jars() -> None:
    """Fetch Delta's jars into ``infra/engine/jars`` unless they are there."""
    if any(JARS.glob("delta-spark_*.jar")):
        return
    fetched = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "package"],
        capture_output=True,
        text=True,
        check=False,
    )
    if fetched.returncode != 0:
        raise CitywellError(
            "Delta's jars could not be fetched",
            where="infra/engine/pom.xml",
            do="run `mvn -f infra/engine/pom.xml package` and see what Maven says",
        )


@contextmanager
def running_spark(directory: Path, cores: int | None = None) -> Iterator[Engine]:
    """A Spark for tests: on a free loopback port, its log and scratch files in ``directory``, for tiny data."""
    fetch_jars()
    port, thrift_port = free_port(), free_port()
    command = spark_command(
        "127.0.0.1", port, directory, cores, memory_gib=2, extra=TINY_DATA, thrift_port=thrift_port
    )
    with running(command, port, directory / "spark.log") as engine:
        yield replace(engine, jdbc=f"jdbc:hive2://127.0.0.1:{thrift_port}/")


def _java_major() -> int:
    """Major version of the ``java`` on the path, 0 when there is none."""
    if shutil.which("java") is None:
        return 0
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    quoted = told.split('"')[1] if told.count('"') >= 2 else "0"
    return int(quoted.split(".")[0])
