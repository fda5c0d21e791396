"""The messages of a file, read into records by the way their endpoint speaks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake.formats.hl7v2 import Message, Piece, parse
from jobs.lake.strict import Rejected
from jobs.silver.hl7v2.admissions import admissions
from jobs.silver.hl7v2.fields import Dialect, Fields
from jobs.silver.hl7v2.orders import appointments, dispenses, prescriptions
from jobs.silver.hl7v2.records import Record, Refused
from jobs.silver.hl7v2.results import results
from jobs.silver.hl7v2.shapes import TABLES

_GLANCE_BYTES = 2048
_SEGMENT_END = re.compile(rb"[\r\n]")
_PLAIN = re.compile(r"[A-Z0-9]{3}")
_MAKERS = {
    "Admission": admissions,
    "Result": results,
    "Appointment": appointments,
    "Prescription": prescriptions,
    "Dispense": dispenses,
}


@dataclass(frozen=True)
class Speech:
    """How an endpoint speaks, the house whose numbers it tells, and houses of other identifier systems."""

    dialect: Dialect
    house: str
    houses: Mapping[str, str] = field(default_factory=dict)

    def recorder(self, key: bytes) -> Recorder:
        """What makes the endpoint's messages into records, with pseudonyms from the master key."""
        houses = {system: Pseudonymiser(key, house) for system, house in self.houses.items()}
        return Recorder(Pseudonymiser(key, self.house), self.dialect, houses)


class Read(NamedTuple):
    """One row of what a landed file holds: a record, a rejection (``rule``), or neither (an unmodelled message).

    piece: the message it is of, for its number in the file and the hash of its bytes. of: which of the message's rows,
    from 0.
    """

    piece: Piece
    of: int
    table: str | None
    record: Record | None
    key: str | None = None
    rule: str | None = None
    reason: str | None = None


def read(pieces: Iterable[Piece], recorder: Recorder, wanted: str | None = None) -> Iterator[Read]:
    """The rows of a file's messages, in their order; a message, whatever it is, has at least one.

    wanted: the one table whose rows are asked for; messages that are surely of another are passed over unread.
    """
    for piece in pieces:
        if wanted is not None and _is_surely_another(piece.body, wanted):
            continue
        table, count = None, 0
        try:
            message = parse(piece.body, recorder.dialect.charset, ended=piece.ended)
            table = table_of(message)
            for found in recorder.records(message) if table else ():
                if isinstance(found, Refused):
                    yield Read(piece, count, table, None, found.key, found.rule, found.reason)
                else:
                    yield Read(piece, count, table, found, found.key)
                count += 1
            if not count and table:
                raise Rejected("missing_segment", f"{message.type}^{message.trigger} orders nothing")
        except Rejected as rejected:
            yield Read(piece, count, table, None, None, *rejected.args)
            continue
        if not count:
            yield Read(piece, 0, None, None)


def _is_surely_another(body: bytes | None, wanted: str) -> bool:
    """Whether a message need not be read to know that it is not of the ``wanted`` table: its first segment says so
    plainly. What says it in any other way (another character set, EVN-1) is read."""
    if body is None or not body.startswith(b"MSH") or len(body) < 5:
        return True
    first = _SEGMENT_END.split(body[:_GLANCE_BYTES], maxsplit=1)[0]
    if len(first) == _GLANCE_BYTES or not first.isascii():
        return False
    fields = first.decode("ascii").split(chr(body[3]))
    kind = (fields[8] if len(fields) > 8 else "").split(chr(body[4]))
    is_plain = len(kind) > 1 and all(_PLAIN.fullmatch(part) for part in kind[:2])
    return is_plain and TABLES.get((kind[0], kind[1])) != wanted


def table_of(message: Message) -> str | None:
    """The table a message's records go to; None for a kind that is not modelled."""
    return TABLES.get((message.type, message.trigger))


class Recorder:
    """Makes the records of one endpoint's messages."""

    def __init__(
        self, pseudonyms: Pseudonymiser, dialect: Dialect, houses: Mapping[str, Pseudonymiser] | None = None
    ) -> None:
        self.dialect = dialect
        self._fields = Fields(pseudonyms, dialect, houses)

    def records(self, message: Message) -> Iterator[Record | Refused]:
        """The records of a message of a modelled kind (``table_of``). Raises Rejected where it has none to give."""
        table = table_of(message)
        if table is None:
            raise ValueError("not a kind of message that is modelled")
        sent = self._fields.moment(message, message.sent, "MSH-7")
        if sent is None:
            raise Rejected("missing_field", "MSH-7 is empty")
        yield from _MAKERS[table](self._fields, message, sent["at"])
