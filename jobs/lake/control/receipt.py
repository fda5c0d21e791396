"""Receipts: what became of every record of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from psycopg.rows import class_row

from jobs.errors import CitywellError
from jobs.lake.control.database import Connection, query_of


@dataclass(frozen=True)
class Receipt:
    """What became of the records of one received file."""

    batch_id: str
    source: str
    file: str
    resource_type: str
    received: int
    published: int = 0
    superseded: int = 0
    duplicate: int = 0
    deleted: int = 0
    unmodelled: int = 0
    quarantined: int = 0
    withheld: int = 0
    """Of the quarantined: records that may not be taken, for want of the person's consent."""
    repaired: int = 0
    """Of the quarantined: records that have since been received again, repaired, and accepted."""

    @property
    def accounted(self) -> int:
        """Records of which it is known what became of them."""
        return (
            self.published
            + self.superseded
            + self.duplicate
            + self.deleted
            + self.unmodelled
            + self.quarantined
        )


def receipts(conn: Connection, name: str | None = None) -> list[Receipt]:
    """The receipts of one batch, or of all."""
    with conn.cursor(row_factory=class_row(Receipt)) as cursor:
        return cursor.execute(
            query_of(
                "select {columns} from receipt where %(batch)s::text is null or batch_id = %(batch)s "
                "order by batch_id, file, resource_type",
                Receipt,
            ),
            {"batch": name},
        ).fetchall()


def check_receipts(name: str, receipts: Sequence[Receipt]) -> None:
    """Raises CitywellError, naming the files, unless every receipt balances and belongs to batch ``name``."""
    wrong = [
        f"{r.file}: received {r.received}, accounted for {r.accounted}"
        for r in receipts
        if r.received != r.accounted or r.batch_id != name
    ]
    if wrong:
        raise CitywellError(
            f"{len(wrong)} of {len(receipts)} receipts do not balance: {'; '.join(wrong[:5])}",
            where=f"batch {name}",
            do="nothing of it was published; run it again, and report the files named if it happens again",
        )


def save_receipts(conn: Connection, name: str, receipts: Sequence[Receipt]) -> None:
    """Puts ``receipts`` in the place of those of a batch."""
    conn.execute("delete from receipt where batch_id = %s", (name,))
    with conn.cursor() as cursor:
        cursor.executemany(
            query_of("insert into receipt ({columns}) values ({values})", Receipt),
            [astuple(receipt) for receipt in receipts],
        )


@dataclass(frozen=True)
class Repair:
    """A rejected record, and the batch that has brought it again."""

    batch_id: str
    file: str
    line: int
    repaired_by: str


def repairs(conn: Connection, source: str | None = None) -> list[Repair]:
    """Rejected records that published batches have brought again, of one source or of all."""
    with conn.cursor(row_factory=class_row(Repair)) as cursor:
        return cursor.execute(
            query_of(
                "select {columns} from repair where repaired_by in (select b.batch_id from batch as b "
                "where b.status = 'published' and (%(source)s::text is null or b.source = %(source)s))",
                Repair,
            ),
            {"source": source},
        ).fetchall()


def save_repairs(conn: Connection, found: Sequence[Repair]) -> None:
    """Keep which rejected records a batch brings again, and count them in the receipts of their first files."""
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            query_of(
                "insert into repair ({columns}) values ({values}) on conflict (batch_id, file, line) do nothing",
                Repair,
            ),
            [astuple(repair) for repair in found],
        )
        cursor.execute(
            "update receipt as r set repaired = (select count(*) from repair as p where p.batch_id = r.batch_id "
            "and p.file = r.file) where r.batch_id = any(%s)",
            ([repair.batch_id for repair in found],),
        )
