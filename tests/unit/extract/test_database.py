"""An owner's PostgreSQL: changed rows, late commits, counts of the same snapshot, columns that went."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from clinic import AS_OF, DAY_LATER, Desk, source

from infra.stack.postgres import Cluster
from jobs.errors import CitywellError
from jobs.extract import database
from jobs.extract.delivery import Places
from jobs.lake import control

OWNER = "serving"


@pytest.fixture
def owner(postgres: Cluster) -> Iterator[psycopg.Connection]:
    """A database of somebody else: here that of another of the cluster's roles."""
    with psycopg.connect(postgres.dsn(OWNER, OWNER), autocommit=True) as conn:
        conn.execute("drop schema if exists clinic cascade")
        conn.execute("create schema clinic")
        conn.execute("create table clinic.visit (id text, value numeric, note text, changed_at timestamptz)")
        yield conn
        conn.execute("drop schema clinic cascade")


@pytest.fixture
def desk(conn: control.Connection, postgres: Cluster, tmp_path: Path) -> Callable[..., Desk]:
    def of(**endpoint: Any) -> Desk:
        declared = {
            "protocol": "database",
            "host": "127.0.0.1",
            "port": str(postgres.port),
            "database": OWNER,
            "user": OWNER,
            "password_file": OWNER,
            "feeds": {
                "visit": {
                    "relation": "clinic.visit",
                    "change_column": "changed_at",
                    "overlap_hours": 2,
                    "without": ["deleted_at"],
                }
            },
            **endpoint,
        }
        places = Places(tmp_path / "landing", tmp_path / "keys")
        return Desk(
            conn,
            source(**declared),
            places,
            lambda source, endpoint, batch: database.extract(
                conn, source, endpoint, batch, places=places, secrets_dir=postgres.secrets
            ),
        )

    return of


def add(owner: psycopg.Connection, name: str, hours_before: float) -> None:
    moment = AS_OF - timedelta(hours=hours_before)
    owner.execute("insert into clinic.visit values (%s, 1.50, 'a \\ b', %s)", (name, moment))


def ids(desk: Desk, result: database.ExtractResult) -> list[str]:
    return [json.loads(line)["id"] for body in desk.content(result) for line in body.splitlines()]


def test_rows_land_with_their_digits_and_instants(
    owner: psycopg.Connection, desk: Callable[..., Desk]
) -> None:
    add(owner, "a", 1)
    at_desk = desk()
    result = at_desk.extract()
    (body,) = at_desk.content(result)
    assert body == b'{"id":"a","value":1.50,"note":"a \\\\ b","changed_at":"2026-03-01T03:30:00+00:00"}\n'
    (file,) = result.files
    assert (file.received, file.expected_lines, result.transaction_time) == (1, 1, AS_OF)


def test_a_transaction_that_commits_late_is_not_missed(
    owner: psycopg.Connection, desk: Callable[..., Desk]
) -> None:
    add(owner, "before", 30)
    add(owner, "seen twice", 1)
    at_desk = desk()
    at_desk.publish(at_desk.extract())
    add(owner, "dated before, committed after", 1.5)
    add(owner, "new", -1)
    add(owner, "still to come", -30)
    second = ids(at_desk, at_desk.extract(DAY_LATER))
    assert second == ["seen twice", "dated before, committed after", "new"]


def test_a_row_that_does_not_say_when_it_was_changed_is_told(
    owner: psycopg.Connection, desk: Callable[..., Desk]
) -> None:
    add(owner, "a", 1)
    owner.execute("insert into clinic.visit values ('legacy', 2, 'x', null)")
    result = desk().extract()
    assert ids(desk(), result) == ["a"]
    assert [f.message for f in result.findings] == [
        "1 rows of clinic.visit have no changed_at and were not read"
    ]
    assert not result.complete


def test_a_row_stays_one_line_whatever_line_ends_a_json_column_holds(
    owner: psycopg.Connection, desk: Callable[..., Desk]
) -> None:
    add(owner, "a", 1)
    owner.execute("alter table clinic.visit add column extra json")
    owner.execute("update clinic.visit set extra = %s", ('{\r\n "k": "l\\n"\n}',))
    at_desk = desk()
    result = at_desk.extract()
    (line,) = at_desk.content(result)[0].splitlines()
    assert json.loads(line)["extra"] == {"k": "l\n"}
    assert [(file.lines, file.received) for file in result.files] == [(1, 1)]


def test_a_column_that_went_stops_the_endpoint(owner: psycopg.Connection, desk: Callable[..., Desk]) -> None:
    owner.execute("alter table clinic.visit rename value to amount")
    with pytest.raises(CitywellError, match="no longer has value; new is amount"):
        desk().extract()


def test_a_renamed_mark_of_deletion_stops_the_endpoint(
    owner: psycopg.Connection, desk: Callable[..., Desk]
) -> None:
    feed = {"relation": "clinic.visit", "change_column": "changed_at"}
    owner.execute("alter table clinic.visit add column deleted_at timestamptz")
    assert desk(feeds={"visit": feed}).extract().findings == ()
    owner.execute("alter table clinic.visit rename deleted_at to removed_at")
    with pytest.raises(CitywellError, match="no longer has deleted_at; new is removed_at"):
        desk(feeds={"visit": feed}).extract(DAY_LATER)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ({"port": "1"}, "OperationalError"),
        ({"feeds": {"visit": {"relation": "clinic.gone", "change_column": "changed_at"}}}, "UndefinedTable"),
        ({"password_file": "nobody"}, "password of the owner's database is missing"),
    ],
)
def test_a_database_that_does_not_answer_is_named(
    owner: psycopg.Connection, desk: Callable[..., Desk], endpoint: dict[str, Any], words: str
) -> None:
    with pytest.raises(CitywellError, match=words):
        desk(**endpoint).extract()
