"""``citywell ingest``, ``sql`` and ``maintain``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from infra.cli.dates import instant


def ingest(
    name: Annotated[str, typer.Argument(metavar="SOURCE", help="A source (hospital) or one endpoint of it.")],
    date: Annotated[str | None, typer.Option(help="Logical instant of the batch. Default: now.")] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Ask for everything again, not only for what came since the last export."
        ),
    ] = False,
) -> None:
    """Take a source's records into the lake here and now, without Airflow.

    Running it again with the same date goes on where it stopped, and changes nothing when it was done. --full is for
    when a server is known to have left something out: what is here already counts as duplicate.

    Example: citywell ingest hospital_north --full
    """
    from jobs import ingest as job
    from jobs.errors import CitywellError
    from jobs.sources import load_all

    as_of = instant(date) or datetime.now(UTC).replace(microsecond=0).isoformat()
    source = load_all().get(name)
    endpoints = [n for n, e in source.endpoints.items() if not e.on_demand] if source is not None else [name]
    failed = []
    for endpoint in endpoints:
        try:
            result = job.ingest(endpoint, as_of, full=full)
        except CitywellError as error:
            failed.append(error)
            typer.echo(f"{endpoint}: {error}", err=True)
            continue
        counts = ", ".join(f"{name} {result[name]:,}" for name in job.OUTCOMES)
        typer.echo(f"{result['batch_id']}: {counts}")
        for finding in result["findings"]:
            typer.echo(f"  {finding}")
    if failed:
        raise typer.Exit(1)


def maintain() -> None:
    """Compact the lake's tables, drop files no version in use needs, expire old landed files.

    Rows and published versions stay. CITYWELL_LANDING_RETENTION_DAYS says how long landed files are kept.
    """
    from jobs import maintenance

    done = maintenance.run(datetime.now(UTC))
    typer.echo(f"{done['tables']} tables maintained, {done['landed_files_expired']} landed files expired")


def sql(
    query: Annotated[str, typer.Argument(help="One SQL query.")],
    serving: Annotated[bool, typer.Option("--serving", help="Ask PostgreSQL's serving database.")] = False,
    role: Annotated[
        str, typer.Option(help="Database role, with --serving: serving, care or analyst.")
    ] = "serving",
) -> None:
    """Ask the lake's published tables, or with --serving PostgreSQL, and print CSV.

    Example: citywell sql "select status, count(*) n from gold.fct_encounter group by status"
    """
    columns, rows = _ask_postgres(query, role) if serving else _ask_lake(query)
    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    writer.writerows(rows)


def _ask_lake(query: str) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    from pyspark.errors import PySparkException

    from jobs.errors import CitywellError
    from jobs.lake.catalog import lake_session

    with lake_session() as spark:
        try:
            answer = spark.sql(query)
            return answer.columns, [tuple(row) for row in answer.collect()]
        except PySparkException as error:
            raise CitywellError(
                str(error).split("\n\nJVM stacktrace")[0].strip(),
                where="the query",
                do='see the published tables: citywell sql "show tables in gold"',
            ) from error


def _ask_postgres(query: str, role: str) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    import psycopg

    from jobs.errors import CitywellError
    from jobs.settings import settings

    try:
        dsn = settings().postgres_dsn("serving", role)
        with psycopg.connect(dsn, options="-c default_transaction_read_only=on") as connection:
            cursor = connection.execute(query.encode())
            return [
                column.name for column in cursor.description or ()
            ], cursor.fetchall() if cursor.description else []
    except FileNotFoundError:
        raise CitywellError(
            f"there is no password of role {role!r}",
            where=str(settings().secrets_dir),
            do="`citywell up` makes the roles serving, care and analyst",
        ) from None
    except psycopg.Error as error:
        raise CitywellError(
            str(error).strip(), where=f"database serving, role {role}", do="mend the query, or `citywell up`"
        ) from error
