"""What a BI tool reads over JDBC, from Apache Spark's Thrift server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pyspark
import pytest

from infra.engine.launch import Engine
from jobs.lake import catalog, control, engine
from tests.conftest import APACHE_SPARK
from tests.support.lake import Export, TestLake, instant

SPARK_HOME = Path(pyspark.__file__).parent


@pytest.mark.parametrize("lake", [APACHE_SPARK], indirect=True)
def test_what_is_published_is_read_at_the_version_published(lake: TestLake, spark_engine: Engine) -> None:
    ingest(lake, "2026-01-01", "ada")
    assert asked(spark_engine, "select count(*) as patients from silver.hospital__patient") == [
        "patients",
        "1",
    ]
    ingest(lake, "2026-01-02", "ada", "grace")
    assert asked(spark_engine, "select count(*) as patients from silver.hospital__patient") == [
        "patients",
        "2",
    ]


def ingest(lake: TestLake, at: str, *patients: str) -> None:
    lines = [
        {"resourceType": "Patient", "id": name, "meta": {"lastUpdated": f"{at}T00:00:00Z"}}
        for name in patients
    ]
    lake.ingest("hospital_north", Export(instant(at), {"Patient": lines}))
    with control.connect() as conn, engine.session() as spark:
        catalog.share(spark, conn)


def asked(server: Engine, query: str) -> list[str]:
    """Lines of CSV that Hive's command line client gets as the answer to ``query``."""
    command = [
        SPARK_HOME / "bin" / "beeline",
        "-u",
        server.jdbc,
        "--silent=true",
        "--outputformat=csv2",
        "-e",
        query,
    ]
    told = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "SPARK_HOME": str(SPARK_HOME)}
    )
    return told.stdout.split("> ", 1)[-1].split()
