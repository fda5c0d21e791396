"""``citywell ingest``, ``sql``, ``watch`` and ``maintain``."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.dates import DEFAULT, instant_or_now

if TYPE_CHECKING:
    import psycopg

QUESTIONS = ("select", "with", "from", "values", "table", "show", "describe", "desc", "explain")
_NO_WORDS = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|--[^\n]*|/\*.*?\*/", re.DOTALL)
_READABLE = """
select format('%I.%I', n.nspname, c.relname)
from pg_class as c inner join pg_namespace as n on c.relnamespace = n.oid
where
    c.relkind in ('r', 'p', 'v', 'm') and n.nspname not in ('pg_catalog', 'information_schema')
    and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
order by 1
"""


def ingest(
    name: Annotated[str, typer.Argument(metavar="SOURCE", help="A source (hospital) or one endpoint of it.")],
    date: Annotated[str | None, typer.Option(help=f"Logical instant of the batch. {DEFAULT}")] = None,
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

    as_of = instant_or_now(date)
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


def watch(
    date: Annotated[str | None, typer.Option(help=f"As of which instant. {DEFAULT}")] = None,
) -> None:
    """Whether every source delivers in time, and about as much as usual. Exit code 1 when one does not.

    What is expected of a source stands in its YAML under `expected`. The DAG watch looks every hour, and tells the
    webhook.
    """
    from rich.console import Console

    from infra.cli.listing import print_list
    from jobs import watch as job

    found = job.run(datetime.fromisoformat(instant_or_now(date)))
    rows = [(d.source, d.verdict, _minute(d.newest_at), d.received, d.usual, d.words) for d in found]
    print_list(Console(), ("endpoint", "verdict", "newest", "records", "usual", ""), rows)
    if any(each.verdict != "good" for each in found):
        raise typer.Exit(1)


def _minute(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def sql(
    query: Annotated[str, typer.Argument(help="One SQL query.")],
    serving: Annotated[bool, typer.Option("--serving", help="Ask PostgreSQL's serving database.")] = False,
    role: Annotated[
        str | None,
        typer.Option(help="Database role, with --serving: serving, care or analyst. Default: serving."),
    ] = None,
) -> None:
    """Ask the lake's published tables, or with --serving PostgreSQL, and print CSV. Nothing is changed from here.

    Example: citywell sql "select status, count(*) n from gold.fct_encounter group by status"
    """
    if role is not None and not serving:
        raise typer.BadParameter("the lake has no roles: add --serving", param_hint="--role")
    columns, rows = _ask_postgres(query, role or "serving") if serving else _ask_lake(query)
    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    writer.writerows(rows)


def _ask_lake(query: str) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    from pyspark.errors import PySparkException

    from jobs.errors import CitywellError
    from jobs.lake.catalog import lake_session

    _refuse_changes(query)
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


def _refuse_changes(query: str) -> None:
    """Raises CitywellError for a statement that does not ask: an engine would carry it out, past the table contract."""
    from jobs.errors import CitywellError

    words = re.findall(r"\w+", _NO_WORDS.sub(" ", query).lower())
    first = "insert" if "insert" in words and {"into", "overwrite"} & set(words) else "".join(words[:1])
    if first not in QUESTIONS:
        raise CitywellError(
            f"The lake is read only here, and {first!r} asks nothing" if first else "There is no query",
            where="the query",
            do=f"ask, with {', '.join(QUESTIONS[:-1])} or {QUESTIONS[-1]}; tables are written by Citywell's own jobs",
        )


def _ask_postgres(query: str, role: str) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    import psycopg

    from jobs.errors import CitywellError
    from jobs.settings import settings

    where = f"database serving, role {role}"
    try:
        dsn = settings().postgres_dsn("serving", role)
        with psycopg.connect(dsn, options="-c default_transaction_read_only=on") as connection:
            try:
                cursor = connection.execute(query.encode())
            except psycopg.Error as error:
                connection.rollback()
                raise CitywellError(
                    str(error).strip(), where=where, do=_advice(error, connection, role)
                ) from error
            columns = [column.name for column in cursor.description or ()]
            return columns, cursor.fetchall() if columns else []
    except FileNotFoundError:
        raise CitywellError(
            f"there is no password of role {role!r}",
            where=str(settings().secrets_dir),
            do="`citywell up` makes the roles serving, care and analyst",
        ) from None
    except psycopg.Error as error:
        raise CitywellError(
            str(error).strip(), where=where, do="`citywell up`, and `citywell status` to see what is down"
        ) from error


def _advice(error: psycopg.Error, connection: psycopg.Connection[Any], role: str) -> str:
    """What to do about a query that PostgreSQL refused."""
    from psycopg import errors

    if isinstance(error, errors.ReadOnlySqlTransaction):
        return "ask with select: nothing is changed from here"
    if isinstance(error, errors.InsufficientPrivilege | errors.UndefinedTable):
        readable = [str(name) for (name,) in connection.execute(_READABLE)]
        return (
            f"role {role} may read {', '.join(readable)}"
            if readable
            else "`citywell run writeback` makes the tables that can be read"
        )
    return "mend the query"
