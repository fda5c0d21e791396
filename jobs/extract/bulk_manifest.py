"""What the manifest of a FHIR Bulk Data export says: when it was made, and the links of its files.

Source: https://hl7.org/fhir/uv/bulkdata/STU2/export.html, "Response - Complete Status"; ``link`` is of version 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, ValidationError

from jobs.errors import CitywellError
from jobs.extract import web
from jobs.lake.landing import FileKind
from jobs.sources import FhirEndpoint

_CLOCKS_APART = timedelta(days=1)
"""A day more, for servers that tell local time as UTC."""


@dataclass(frozen=True)
class Link:
    """One file of a manifest."""

    kind: FileKind
    resource_type: str
    url: str
    count: int | None


@dataclass(frozen=True)
class BulkManifest:
    """What an export offers. ``needs_token`` says whether the links ask for our token.

    One that is not done offers the first of its links: those that follow only ever come after them.
    """

    transaction_time: datetime
    needs_token: bool | None
    links: tuple[Link, ...]
    is_done: bool


class _File(BaseModel):
    type: str = ""
    url: str
    count: int | None = Field(default=None, ge=0)


class _Next(BaseModel):
    relation: str = ""
    url: str = ""


class Page(BaseModel):
    """One page of a manifest, as the server wrote it."""

    transactionTime: datetime
    requiresAccessToken: bool | None = None
    output: list[_File] = []
    deleted: list[_File] | None = None
    error: list[_File] | None = None
    link: list[_Next] | None = None

    def links(self, base: str) -> Iterator[Link]:
        """Its files; what is not an absolute address is taken from ``base``."""
        kinds: tuple[tuple[FileKind, list[_File] | None], ...] = (
            ("output", self.output),
            ("deleted", self.deleted),
            ("error", self.error),
        )
        for kind, files in kinds:
            for file in files or []:
                yield Link(kind, file.type, web.joined(base, file.url), file.count)

    def following(self, base: str) -> str | None:
        """The address of the page after it."""
        return next(
            (web.joined(base, x.url) for x in self.link or [] if x.relation == "next" and x.url), None
        )


def page(document: bytes, where: str) -> Page:
    """A page of JSON. Raises CitywellError, which quotes nothing of it, when it is none."""
    try:
        return Page.model_validate_json(document)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, problem["loc"])) or "the document"
        raise _not_understood(f"{place}: {problem['type']}", where) from None


def made_at(page: Page, endpoint: FhirEndpoint, now: datetime) -> datetime:
    """transactionTime in UTC; one without an offset is in the endpoint's zone.

    Raises CitywellError for one beyond the calendar, and for one well ahead of ``now``: whatever changed before it
    would count as known, and never be asked for again.
    """
    moment = page.transactionTime
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(endpoint.time_zone))
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise _not_understood(
            "transactionTime: beyond the calendar", f"{endpoint.name} ({endpoint.base_url})"
        ) from None
    if moment > now + _CLOCKS_APART:
        raise CitywellError(
            f"The export says that it was made on {moment:%Y-%m-%d}, which is still to come",
            where=f"{endpoint.name}, transactionTime of the manifest",
            do="ask the hospital to set its server's clock (NTP), or set ours; then run again",
        )
    return moment


def _not_understood(problem: str, where: str) -> CitywellError:
    return CitywellError(
        f"The export's manifest cannot be understood: {problem}",
        where=where,
        do="report it to the maker of the server: Bulk Data Access v2 says what a manifest holds",
    )
