"""What a source definition may say.

Frozen, and an unknown word is an error: a typing slip must not pass silently.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
Sentence = Annotated[str, StringConstraints(min_length=5, strip_whitespace=True)]
BaseUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+[^\s?#/]$")]
ResourceType = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z]{1,60}$")]
Sensitivity = Literal["none", "pseudonym", "health"]

_PLAIN_TYPES = ("string", "boolean", "int", "bigint", "double", "date", "timestamp")
_NESTED_TYPE = re.compile(r"(array|struct|map)<.+>")


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SmartSignIn(_Declared):
    """SMART Backend Services: a signed assertion is exchanged for a token."""

    method: Literal["smart"]
    client_id: str = Field(min_length=1)
    alg: Literal["RS384", "ES384"]
    key_file: str | None = Field(
        None, description="private key (PEM) below keys/; default fhir_<endpoint>.pem"
    )
    scope: str | None = Field(
        default=None, description="scopes to ask for; default the read scope the server offers"
    )
    token_url: str | None = Field(
        default=None, description="for servers without .well-known/smart-configuration"
    )


class NoSignIn(_Declared):
    """An open server: for tests and closed networks."""

    method: Literal["none"]


class Endpoint(_Declared):
    """One FHIR server with Bulk Data export. Its name is the value of column ``source`` everywhere."""

    name: Name
    description: Sentence
    base_url: BaseUrl
    other_base_urls: tuple[BaseUrl, ...] = Field(
        default=(),
        description="further addresses by which its records refer to each other, as behind a proxy; below any other "
        "address than these and base_url a reference points at somebody else's record, and a deletion is rejected",
    )
    auth: Annotated[SmartSignIn | NoSignIn, Field(discriminator="method")]
    on_demand: bool = Field(
        default=False, description="left out of schedules; runs when somebody asks for it"
    )

    export_level: Literal["patient", "system", "group"] = "patient"
    group_id: str | None = Field(default=None, description="the group to export, at level group")
    types: tuple[ResourceType, ...] | None = Field(
        None, description="resource types to ask for; none means all"
    )
    supports_since: bool = Field(
        default=True, description="the server knows _since: exports ask for what came since the last one"
    )
    absence_means_deletion: bool = Field(
        default=False,
        description="what a full export leaves out has been deleted; every export is then a full one, "
        "whatever supports_since says",
    )
    declares_numeric_version_id: bool = Field(default=False, description="meta.versionId is a growing number")
    time_zone: str = Field(description="IANA zone of times without an offset and of partial dates")

    parallel_downloads: int = Field(default=4, ge=1, le=16)
    max_exports: int = Field(
        default=3, ge=1, le=10, description="exports started for one batch when links expire"
    )
    max_manifest_pages: int = Field(default=100, ge=1)
    poll_cap_s: float = Field(
        300, gt=0, description="longest wait between two polls, whatever Retry-After says"
    )
    deadline_minutes: float = Field(default=240, gt=0, description="longest wait of one run for an export")

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("not an IANA time zone, such as Europe/Berlin") from None
        return value

    @model_validator(mode="after")
    def _group_is_named(self) -> Self:
        if (self.export_level == "group") != (self.group_id is not None):
            raise ValueError("group_id and export_level: group belong together")
        return self

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where its own records stand."""
        return (self.base_url, *self.other_base_urls)

    @property
    def uses_since(self) -> bool:
        """Whether exports ask for what came since the last one only."""
        return self.supports_since and not self.absence_means_deletion

    def key_path(self, keys_dir: Path) -> Path:
        """The private key of this endpoint."""
        file = self.auth.key_file if isinstance(self.auth, SmartSignIn) else None
        return keys_dir / (file or f"fhir_{self.name}.pem")


class Column(_Declared):
    """One column: what it means and what it may hold. A value outside that sends its row to quarantine."""

    type: str = Field(
        description="string, boolean, int, bigint, double, date, timestamp, array<…>, struct<…>"
    )
    description: Sentence
    unit: str | None = None
    sensitivity: Sensitivity
    required: bool = False
    values: tuple[str, ...] | None = Field(default=None, description="the allowed values, null aside")
    min: float | None = None
    max: float | None = None
    not_before: Name | None = Field(
        default=None, description="a column of the same table that is no later than this one"
    )
    precision: Name | None = Field(
        default=None, description="the column of the same table that says how precisely this one was written"
    )
    source: str | None = Field(default=None, description="where values, min or max come from")
    on_bad: Literal["quarantine"] = "quarantine"

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.type not in _PLAIN_TYPES and not _NESTED_TYPE.fullmatch(self.type):
            raise ValueError(f"type is none of {', '.join(_PLAIN_TYPES)}, array<…>, struct<…>, map<…>")
        if self.values is not None and self.type != "string":
            raise ValueError("values are for columns of type string")
        if not (self.min is None and self.max is None) and self.type not in ("int", "bigint", "double"):
            raise ValueError("min and max are for numeric columns")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max")
        return self


class Limit(_Declared):
    """The plausible range of a measured value, by code and unit (UCUM).

    A code may have a limit in several units.
    """

    code: str
    unit: str
    low: float
    high: float
    description: Sentence
    source: str = Field(description="where the limits come from")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Table(_Declared):
    """One entity of the source: bronze and silver table ``<source>__<entity>``."""

    resource: ResourceType
    grain: Sentence
    key: Name
    version_column: Name = "version_at"
    month_column: Name | None = Field(
        None, description="the instant whose month partitions the current table"
    )
    columns: dict[Name, Column]
    limits: tuple[Limit, ...] = ()

    @model_validator(mode="after")
    def _names_its_own_columns(self) -> Self:
        known = {self.key, *self.columns, *RECORD_COLUMNS}
        of_columns = {name for c in self.columns.values() for name in (c.not_before, c.precision)}
        named = {self.version_column, self.month_column, *of_columns} - {None}
        if unknown := sorted(str(name) for name in named - known):
            raise ValueError(f"not declared as columns: {', '.join(unknown)}")
        if twice := sorted({self.key, *RECORD_COLUMNS} & set(self.columns)):
            raise ValueError(f"columns of every table are not declared again: {', '.join(twice)}")
        if len({(limit.code, limit.unit) for limit in self.limits}) != len(self.limits):
            raise ValueError("two limits for one code and unit")
        return self


class Checks(_Declared):
    """What a staged batch as a whole must satisfy."""

    max_quarantined_pct: float = Field(
        ge=0, le=100, description="share of received records rejected by row rules"
    )
    tolerated_quarantined: int = Field(
        default=0, ge=0, description="rejected records of a table that never stop a batch, small as it may be"
    )
    max_absent_pct: float = Field(
        default=50,
        ge=0,
        le=100,
        description="share of a table's records that a full export may delete by leaving them out",
    )
    tolerated_absent: int = Field(
        default=20,
        ge=0,
        description="records of a table that a full export may leave out, whatever their share",
    )


class Source(_Declared):
    """One source definition: how its records come, who answers for them, and the tables they become."""

    name: Name
    description: Sentence
    protocol: Literal["fhir_bulk"]
    owner: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    schedule: str | None = Field(description="cron expression (UTC) or none for on demand only")
    endpoints: dict[Name, Endpoint]
    checks: Checks
    tables: dict[Name, Table]

    @model_validator(mode="before")
    @classmethod
    def _name_the_endpoints(cls, data: Any) -> Any:
        """The key of an endpoint is its name."""
        endpoints = data.get("endpoints") if isinstance(data, dict) else None
        if not isinstance(endpoints, dict):
            return data
        named = {n: {"name": n, **e} if isinstance(e, dict) else e for n, e in endpoints.items()}
        return {**data, "endpoints": named}


def _text(description: str, sensitivity: Sensitivity = "none") -> Column:
    return Column(type="string", description=description, sensitivity=sensitivity)


def _instant(description: str) -> Column:
    return Column(type="timestamp", unit="UTC", description=description, sensitivity="health")


def _flag(description: str) -> Column:
    return Column(type="boolean", description=description, sensitivity="none")


RECORD_COLUMNS: dict[str, Column] = {
    "source": _text("Endpoint the record came from"),
    "batch_id": _text("Export the record came with"),
    "file": _text("Landed file the record stood in"),
    "line": Column(type="bigint", description="Line of that file, counted from 1", sensitivity="none"),
    "line_hash": _text("Keyed hash of the received line", "pseudonym"),
    "version_at": _instant("Event version: meta.lastUpdated, else the transaction time of the export"),
    "version_number": Column(
        type="bigint", description="meta.versionId where the source declares it a number", sensitivity="none"
    ),
    "has_version_instant": _flag("Whether the record brought its own version instant"),
    "is_deleted": _flag("Whether this version is a tombstone"),
    "content_hash": _text("Hash of the allow-listed content; breaks ties between versions", "pseudonym"),
    "is_entered_in_error": _flag("Whether the sender marked the record as entered in error"),
    "valid_from": _instant("When the fact holds"),
    "available_at": _instant("When a clinician could first have known it"),
    "known_from": _instant("Transaction time of the export that brought it here"),
    "usable_at": _instant("When features may use it: available_at on a first load, else the later of both"),
    "month": _text("Partition: the month or year of valid_from, or why there is none"),
    "key_id": _text("The key the pseudonyms were made with"),
}
"""Columns of every bronze and silver table, by the record contract."""
