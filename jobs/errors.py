"""The one error type a person meets: what was wrong, where, and what to do."""

from __future__ import annotations


class CitywellError(Exception):
    """An expected failure with advice. Never carries a value of a record.

    what: one sentence, what was wrong. where: source, batch, file, table or setting. do: the next step.
    """

    def __init__(self, what: str, *, where: str, do: str) -> None:
        super().__init__(what, where, do)
        self.what, self.where, self.do = what, where, do

    def __str__(self) -> str:
        return f"{self.what}\n  where: {self.where}\n  do: {self.do}"
