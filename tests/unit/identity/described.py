"""People described in the test, and what the vault says of who is one person."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.identity import vault
from jobs.identity.demographics import Demographics, normalised
from jobs.identity.vault import Description, Identity

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
ANNA = {
    "given": "Anna Maria",
    "family": "Lindqvist",
    "birth_date": "1961-04-09",
    "sex": "female",
    "phone": "+1-205-555-0101",
    "postal_code": "C05 41A",
    "street": "12 Mill Lane, Flat 3",
}
MOVED = {"phone": "+1-909-555-0900", "postal_code": "C11 20B", "street": "7 Dock Row"}
NORTH, HARBOUR, UNIVERSITY = "hospital_north", "hospital_harbour", "hospital_university"
FILLERS = 300


def national_id(number: int) -> str:
    """A valid national id of the city."""
    return f"{number:010d}-{number % 97:02d}"


def key(number: int) -> str:
    return f"{number:032x}"


A, B, C, D = (key(n) for n in (1, 2, 3, 4))


def patient(
    number: int, house: str = NORTH, *, day: int = 0, version: int | None = None, **said: str
) -> Identity:
    """A patient first seen on a day, described by ``said`` (see ``normalised``) in a version of a day."""
    seen_at = MONDAY + timedelta(days=day)
    version_at = MONDAY + timedelta(days=day if version is None else version)
    said = {"record_number": str(number), **said}
    described = Description(version_at, normalised(house=house, **said))
    return Identity(key(number), "k1", house, "Patient", f"id-{number}", seen_at, described)


def others(count: int = FILLERS, house: str = NORTH) -> list[Identity]:
    """People who are nobody else: names have frequencies, and the model something to be fitted to."""
    given = ("Ada", "Bea", "Carl", "Dora", "Emil", "Finn", "Gus", "Hilda", "Ivan", "Jon", "Klara", "Leo")
    family = ("Ash", "Brook", "Cliff", "Dale", "Elm", "Ford", "Grove", "Hill", "Isle", "Knoll", "Lake")
    return [
        patient(
            1_000_000 + n,
            house,
            given=given[n % len(given)],
            family=family[n % len(family)] + "er" * (n // 132),
            birth_date=f"{1930 + n * 7 % 80}-{1 + n % 12:02d}-{1 + n * 5 % 28:02d}",
            sex=("female", "male")[n % 2],
            national_id=national_id(5_000_000 + n * 31),
            phone=f"+1-300-555-{n:04d}",
            postal_code=f"C{1 + n % 12:02d} {10 + n % 89}B",
            street=f"{n} Quay Street",
        )
        for n in range(count)
    ]


def register(conn: vault.Connection, patients: Iterable[Identity], batch: str = "b1") -> None:
    vault.register(conn, batch, patients, method="source_patient")
    conn.commit()


def persons(conn: vault.Connection) -> set[frozenset[str]]:
    """The patients of each person that has several."""
    rows = conn.execute(
        "select array_agg(patient_key) from vault.person_link group by person_key having count(*) > 1"
    )
    return {frozenset(row[0]) for row in rows.fetchall()}


def state(conn: vault.Connection) -> dict[str, list[Any]]:
    """All that a change could change, and undoing must give back."""
    queries = {
        "links": "select * from vault.person_link order by patient_key",
        "decisions": "select * from vault.link_decision order by key_a, key_b",
        "review": "select key_a, key_b, weight, why from vault.link_review order by key_a, key_b",
        "pairs": "select * from vault.link_pair order by key_a, key_b",
    }
    return {name: conn.execute(query).fetchall() for name, query in queries.items()}


def demographics(conn: vault.Connection, number: int) -> Demographics:
    columns = ", ".join(Demographics._fields)
    row = conn.execute(
        f"select {columns} from vault.demographics where patient_key = %s",
        (key(number),),
    ).fetchone()
    assert row is not None
    return Demographics(*row)
