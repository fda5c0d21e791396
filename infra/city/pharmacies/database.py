"""The chain's PostgreSQL: its schema, and how the segments' rows come into it.

Database ``city_pharmacy``. Its owner, of the same name, is the chain; ``pharmacy_reader`` may read schema ``pharmacy``
and nothing else. Schema ``simulator`` remembers which segments are in. A segment is one transaction: whoever is killed
in it has changed nothing, and the next ``fill`` goes on. Rows replace those of their key that were changed earlier.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

from infra.city.options import Options
from infra.city.pharmacies.chain import read_table
from infra.city.pharmacies.shops import CHAIN

DATABASE, READER = "city_pharmacy", "pharmacy_reader"
KEYS = {
    "article": "article_no",
    "dispense": "dispense_id",
    "price": "price_id",
    "stock": "stock_id",
    "delivery": "delivery_id",
}
_SCHEMA = """
create schema if not exists pharmacy;
create schema if not exists simulator;
create table if not exists simulator.city (options text not null);
create table if not exists simulator.segment (number integer primary key);
create table if not exists pharmacy.article (
    article_no text primary key,
    atc_code text,
    name text not null,
    strength text,
    unit text not null,
    pack_size integer not null,
    is_prescription_only boolean not null,
    changed_at timestamptz not null,
    is_deleted boolean not null
);
create table if not exists pharmacy.dispense (
    dispense_id bigint primary key,
    pharmacy text not null,
    customer_no text,
    customer_family_name text,
    customer_given_name text,
    customer_birth_date date,
    customer_phone text,
    customer_postal_code text,
    national_id text,
    prescription_no text,
    article_no text not null,
    quantity integer not null,
    unit text not null,
    strength text,
    days_supply integer,
    unit_price numeric(10, 2) not null,
    dispensed_at timestamptz not null,
    reverses_id bigint,
    changed_at timestamptz not null,
    is_deleted boolean not null
);
create table if not exists pharmacy.price (
    price_id bigint primary key,
    article_no text not null,
    valid_from date not null,
    valid_to date,
    price numeric(10, 2) not null,
    currency text not null,
    changed_at timestamptz not null,
    is_deleted boolean not null
);
create table if not exists pharmacy.stock (
    stock_id bigint primary key,
    pharmacy text not null,
    article_no text not null,
    stock_date date not null,
    lot text not null,
    expires_on date not null,
    quantity integer not null,
    changed_at timestamptz not null,
    is_deleted boolean not null
);
create table if not exists pharmacy.delivery (
    delivery_id bigint primary key,
    pharmacy text not null,
    article_no text not null,
    supplier text not null,
    ordered_at timestamptz not null,
    promised_on date not null,
    ordered_quantity integer not null,
    delivered_at timestamptz,
    delivered_quantity integer,
    lot text,
    expires_on date,
    changed_at timestamptz not null,
    is_deleted boolean not null
);
"""


_COUNTS = """
select {name} as table_name, (changed_at at time zone 'UTC')::date as day, count(*) as row_count
from pharmacy.{table} group by 2
"""


class ChainDatabase:
    """The chain's database at ``dsn`` (as its owner), filled from the segments of the city of ``options``."""

    def __init__(self, dsn: str, options: Options) -> None:
        self.dsn, self.options = dsn, options

    def fill(self, segments: Path, count: int) -> int:
        """Bring the database to the end of the first ``count`` segments; returns how many were new. Rows of another
        city, or of days this one has not lived, go first. Raises psycopg.OperationalError while it is down."""
        with psycopg.connect(self.dsn, autocommit=True, connect_timeout=5) as connection:
            with connection.transaction():
                _migrate(connection)
                done = _segments_of(connection, json.dumps(asdict(self.options)), count)
            for number in range(done, count):
                with connection.transaction():
                    _fill_segment(connection, segments, number)
            return count - done


def _migrate(connection: psycopg.Connection) -> None:
    connection.execute("select pg_advisory_xact_lock(7100)")
    connection.execute(_SCHEMA)
    for table in KEYS:
        connection.execute(
            sql.SQL("create index if not exists {} on pharmacy.{} (changed_at)").format(
                sql.Identifier(f"{table}_changed"), sql.Identifier(table)
            )
        )
    counts = [sql.SQL(_COUNTS).format(name=sql.Literal(table), table=sql.Identifier(table)) for table in KEYS]
    view = sql.SQL("create or replace view pharmacy.row_counts as {}").format(
        sql.SQL(" union all ").join(counts)
    )
    connection.execute(view)
    connection.execute(
        sql.SQL(
            "grant usage on schema pharmacy to {0}; grant select on all tables in schema pharmacy to {0}"
        ).format(sql.Identifier(READER))
    )


def _segments_of(connection: psycopg.Connection, options: str, count: int) -> int:
    """How many segments of this city are in; what does not belong to it is removed."""
    found = connection.execute("select options from simulator.city").fetchone()
    row = connection.execute("select count(*) from simulator.segment").fetchone()
    done = int(row[0]) if row else 0
    if found == (options,) and done <= count:
        return done
    tables = sql.SQL(", ").join(sql.Identifier("pharmacy", table) for table in KEYS)
    connection.execute(sql.SQL("truncate {}, simulator.city, simulator.segment").format(tables))
    connection.execute("insert into simulator.city values (%s)", (options,))
    return 0


def _fill_segment(connection: psycopg.Connection, segments: Path, number: int) -> None:
    """The segment's rows, those that came late of the one before, and the note that they are in."""
    for table, key in KEYS.items():
        paths = [segments / f"{number:05d}" / CHAIN / f"{table}.arrow"]
        if number:
            paths.insert(0, segments / f"{number - 1:05d}" / CHAIN / f"late_{table}.arrow")
        for path in paths:
            if path.exists():
                _upsert(connection, table, key, read_table(path))
    connection.execute("insert into simulator.segment values (%s)", (number,))


def _upsert(connection: psycopg.Connection, table: str, key: str, rows: pa.Table) -> None:
    target, incoming = sql.Identifier("pharmacy", table), sql.Identifier(f"incoming_{table}")
    connection.execute(
        sql.SQL("create temporary table if not exists {} (like {}) on commit delete rows").format(
            incoming, target
        )
    )
    connection.execute(sql.SQL("truncate {}").format(incoming))
    names = sql.SQL(", ").join(sql.Identifier(name) for name in rows.column_names)
    text = io.BytesIO()
    pa_csv.write_csv(rows, text, pa_csv.WriteOptions(include_header=False))
    copy = sql.SQL("copy {} ({}) from stdin (format csv)").format(incoming, names)
    with connection.cursor() as cursor, cursor.copy(copy) as into:
        into.write(text.getvalue())
    updates = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in rows.column_names
    )
    connection.execute(
        sql.SQL(
            "insert into {0} as present select * from {1} "
            "on conflict ({2}) do update set {3} where excluded.changed_at >= present.changed_at"
        ).format(target, incoming, sql.Identifier(key), updates)
    )


def chain_database(
    dsn_of: Callable[[str, str], str], options: Options, say: Callable[[str], None]
) -> ChainDatabase | None:
    """The chain's database if this installation has one; None, and said so, where PostgreSQL was never started."""
    try:
        dsn = dsn_of(DATABASE, DATABASE)
    except FileNotFoundError:
        say(f"the pharmacy chain has no database here: there is no secret of the role {DATABASE}")
        return None
    return ChainDatabase(dsn, options)
