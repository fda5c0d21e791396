"""What a system calls the parts of its records, against what is declared: nothing may change unnoticed.

A part that is new is announced and stays in the landing, where a later declaration finds it. One that is gone, or goes
by another name, stops its own endpoint before a record is read: its values would be missing from every one. A column is
there or not; an optional member may be missing from every JSON object, so that one that is gone cannot be told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from difflib import get_close_matches

import msgspec

from jobs.errors import CitywellError
from jobs.lake.landing import Finding
from jobs.sources import Feed, Field, FileFeed, Table, TableFeed

_LOOKED_AT = 200
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def of_header(header: Sequence[str], table: Table, feed: FileFeed, where: str) -> list[Finding]:
    """What is announced of the columns of a CSV file; ``header``: its first row, empty where that cannot be read.

    One that does not name half of the declared columns may be a record: none of its cells is told.
    Raises CitywellError for such a row, for a declared column that stands there twice, and as ``findings`` does.
    """
    declared = _declared(table, feed)
    named = declared.keys() & set(header)
    if 2 * len(named) < len(declared):
        raise CitywellError(
            f"The file has no header: its first row names {len(named)} of the {len(declared)} columns of "
            f"{table.resource}",
            where=where,
            do="ask its owner to send it again, with its header; where the columns have new names or another "
            "delimiter or encoding, say so in the feed",
        )
    twice = sorted(name for name, times in Counter(header).items() if times > 1 and name in declared)
    if twice:
        raise CitywellError(
            f"{table.resource} has more than one column {', '.join(twice)}",
            where=where,
            do="ask its owner which of them holds; nothing of this delivery was taken",
        )
    return findings(set(header), table, feed, where)


def findings(seen: Set[str], table: Table, feed: Feed, where: str) -> list[Finding]:
    """What is announced of the member names ``seen`` in a delivery. Raises CitywellError when a declared is gone."""
    declared = _declared(table, feed)
    has_columns = isinstance(feed, FileFeed | TableFeed)
    needed = {name for name, field in declared.items() if has_columns or not field.optional}
    gone = sorted(needed - seen)
    added = sorted(seen - declared.keys())
    if gone:
        raise CitywellError(
            f"{table.resource} no longer has {', '.join(gone)}"
            + (f"; new is {', '.join(added[:10])}" if added else ""),
            where=where,
            do=_advice(gone, added),
        )
    if not added:
        return []
    words = f"{table.resource} has parts that nothing declares: {', '.join(added[:20])}"
    return [Finding("added_field", words, resource_type=table.resource)]


def names(records: Sequence[bytes], table: Table, feed: Feed) -> set[str]:
    """The member names of JSON objects, or of the first and last hundreds of many.

    What is no object has none, and so has a deleted record: of it, little more is sent than that it is.
    """
    found: set[str] = set()
    few = (
        records if len(records) <= _LOOKED_AT else [*records[: _LOOKED_AT // 2], *records[-_LOOKED_AT // 2 :]]
    )
    for record in few:
        try:
            members = _MEMBERS.decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if not _is_deleted(members, table, feed):
            found |= members.keys()
    return found


def _is_deleted(members: Mapping[str, msgspec.Raw], table: Table, feed: Feed) -> bool:
    if table.deleted is None:
        return False
    raw = members.get(_sent_as(table.deleted.field, feed))
    said = None if raw is None else msgspec.json.decode(raw)
    return said is not None and (table.deleted.values is None or said in table.deleted.values)


def _declared(table: Table, feed: Feed) -> dict[str, Field]:
    """The fields that stand in records, by what the feed calls them; those that a file's name tells do not."""
    elsewhere = feed.without | (feed.told_fields if isinstance(feed, FileFeed) else frozenset())
    fields = (table.fields or {}).items()
    return {_sent_as(name, feed): field for name, field in fields if name not in elsewhere}


def _sent_as(name: str, feed: Feed) -> str:
    """What the feed calls a field."""
    return next((sent for sent, field in feed.names.items() if field == name), name)


def _advice(gone: list[str], added: list[str]) -> str:
    renamed = {name: near[0] for name in gone if (near := get_close_matches(name, added, 1, 0.5))}
    guess = f" (perhaps {next(iter(renamed.values()))!r} is {next(iter(renamed))!r} now)" if renamed else ""
    return (
        f"ask the owner what has changed; a new name is mapped under `names` of the feed{guess}, what is not sent "
        "any more stands under `without`; a member of JSON that may be missing is `optional`. Then run "
        "again: nothing of this delivery was taken"
    )
