"""Where records come from: one endpoint a system, described by the protocol it speaks."""

from __future__ import annotations

import re
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from jobs.sources.declared import Declared, Name, ResourceType, Sentence, TimeZone

BaseUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+[^\s?#/]$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,80}$")]


class Expected(Declared):
    """What the owner's deliveries look like when all is well; ``citywell watch`` and its DAG alert about the rest."""

    within_hours: float = Field(gt=0, description="a complete delivery at least so often")
    least_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="a day, or as many whole days as within_hours has, with fewer records than this share of the usual "
        "number is thin",
    )


class Endpoint(Declared):
    """One system that sends records. Its name is the value of column ``source`` everywhere."""

    name: Name
    description: Sentence
    on_demand: bool = Field(
        default=False,
        description="left out of schedules and of what is watched; runs when somebody asks for it",
    )
    time_zone: TimeZone = Field(description="IANA zone of times without an offset and of partial dates")
    expected: Expected | None = None
    absence_means_deletion: bool = Field(
        default=False,
        description="what a full export leaves out has been deleted; every export is then a full one",
    )
    declares_numeric_version_id: bool = Field(
        default=False, description="versions within one source are growing numbers (FHIR: meta.versionId)"
    )

    @property
    def uses_since(self) -> bool:
        """Whether exports ask for what came since the last one only."""
        return not self.absence_means_deletion

    def sends(self, resource_type: str) -> bool:
        """Whether a whole export has the records of a type."""
        return True

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it is, for people."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where its own FHIR records stand."""
        return ()


class SmartSignIn(Declared):
    """SMART Backend Services: a signed assertion is exchanged for a token."""

    method: Literal["smart"]
    client_id: str = Field(min_length=1)
    alg: Literal["RS384", "ES384"]
    key_file: str | None = Field(
        default=None, description="private key (PEM) below keys/; default fhir_<endpoint>.pem"
    )
    scope: str | None = Field(
        default=None, description="scopes to ask for; default the read scope the server offers"
    )
    token_url: str | None = Field(
        default=None, description="for servers without .well-known/smart-configuration"
    )


class SecretHeader(Declared):
    """A secret that goes with every request, as an API key or a bearer token does."""

    method: Literal["secret_header"]
    header: str = Field(default="Authorization", pattern=r"^[A-Za-z0-9-]{1,60}$")
    prefix: str = Field(default="", description="what stands before the secret, such as 'Bearer '")
    secret_file: FileName = Field(description="file below keys/ that holds the secret")


class NoSignIn(Declared):
    """An open server: public data, tests and closed networks."""

    method: Literal["none"]


class FhirEndpoint(Endpoint):
    """One FHIR server with Bulk Data export."""

    protocol: Literal["fhir_bulk"]
    base_url: BaseUrl
    other_base_urls: tuple[BaseUrl, ...] = Field(
        default=(),
        description="further addresses by which its records refer to each other, as behind a proxy; below any other "
        "address than these and base_url a reference points at somebody else's record, and a deletion is rejected",
    )
    auth: Annotated[SmartSignIn | NoSignIn, Field(discriminator="method")]

    export_level: Literal["patient", "system", "group"] = "patient"
    group_id: str | None = Field(default=None, description="the group to export, at level group")
    types: tuple[ResourceType, ...] | None = Field(
        default=None, description="resource types to ask for; none means all"
    )
    supports_since: bool = Field(
        default=True, description="the server knows _since: exports ask for what came since the last one"
    )

    partial_manifests: bool = Field(
        default=False,
        description="the server knows allowPartialManifests (Bulk Data Access v3): files are fetched while the export "
        "still runs",
    )

    takes_forecasts: bool = Field(
        default=False,
        description="the hospital wants forecasts of its beds, as Observations about its organizations; it grants "
        "system/Observation.crus",
    )

    parallel_downloads: int = Field(default=4, ge=1, le=16)
    max_exports: int = Field(
        default=3, ge=1, le=10, description="exports started for one batch when links expire"
    )
    max_manifest_pages: int = Field(default=100, ge=1)
    poll_cap_s: float = Field(
        default=300, gt=0, description="longest wait between two polls, whatever Retry-After says"
    )
    deadline_minutes: float = Field(default=240, gt=0, description="longest wait of one run for an export")

    @model_validator(mode="after")
    def _group_is_named(self) -> Self:
        if (self.export_level == "group") != (self.group_id is not None):
            raise ValueError("group_id and export_level: group belong together")
        return self

    @property
    def address(self) -> str:
        return self.base_url

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where its own records stand."""
        return (self.base_url, *self.other_base_urls)

    def sends(self, resource_type: str) -> bool:
        return self.types is None or resource_type in self.types

    @property
    def uses_since(self) -> bool:
        """Whether what changed is asked for alone. Of a group never: a server need not send what is older of a patient
        who has joined it since (Bulk Data Access, Group export, ``_since``)."""
        return self.supports_since and not self.absence_means_deletion and self.export_level != "group"

    def key_path(self, keys_dir: Path) -> Path:
        """The private key of this endpoint."""
        file = self.auth.key_file if isinstance(self.auth, SmartSignIn) else None
        return keys_dir / (file or f"fhir_{self.name}.pem")


class CursorPages(Declared):
    """The answer names a cursor, which goes with the next request; the last answer's is missing, null or empty."""

    kind: Literal["cursor"]
    param: str = "cursor"
    next: str = Field(default="next_cursor", description="member of the answer that holds the next cursor")


class NumberedPages(Declared):
    """Pages are counted; the answer says how many there are."""

    kind: Literal["number"]
    param: str = "page"
    first: int = 1
    pages: str = Field(default="pages", description="member of the answer that holds the number of pages")


class LinkedPages(Declared):
    """The header Link names the next page (RFC 8288, relation next)."""

    kind: Literal["link"]


class HeaderPages(Declared):
    """A header of the answer holds what the next request asks to go on after; the last answer's is missing or empty."""

    kind: Literal["header"]
    header: str
    param: str


class SinglePage(Declared):
    """Everything comes in one answer."""

    kind: Literal["single"]


Pages = Annotated[
    CursorPages | NumberedPages | LinkedPages | HeaderPages | SinglePage, Field(discriminator="kind")
]


class Feed(Declared):
    """How one table of the source is sent by an endpoint."""

    names: dict[str, Name] = Field(
        default_factory=dict,
        description="what the endpoint calls a field, where that is not the table's own name for it",
    )
    without: frozenset[str] = Field(
        default=frozenset(),
        description="fields that the endpoint does not send; one that comes all the same is announced and left out",
    )
    identity: tuple[str, ...] = Field(
        default=(),
        description="the fields that tell one record of this feed from another, where its owner has a key of its own; "
        "by default the table's",
    )


class RestFeed(Feed):
    """A resource of a web service: JSON objects in pages, or one a line."""

    path: str = Field(pattern=r"^/[^\s?#]*$")
    params: dict[str, str] = Field(default_factory=dict, description="query parameters of every request")
    form: Literal["pages", "lines"] = Field(
        default="pages", description="pages: a JSON document with a list of records; lines: one record a line"
    )
    records: str | None = Field(
        default=None,
        description="member of a page that holds the list of records; none: the page is the list",
    )
    pages: Pages = SinglePage(kind="single")
    total: str | None = Field(
        default=None,
        description="member of a page, or header of lines, with the number of all records asked for",
    )
    answered_at: str | None = Field(
        default=None,
        description="member or header with the instant up to which the answer is complete; by default the batch's own",
    )
    since_param: str | None = Field(
        default=None,
        description="query parameter for what was changed since an instant; none asks for everything",
    )
    until_param: str | None = Field(
        default=None,
        description="query parameter that keeps pages from moving: what was changed up to the batch's instant",
    )
    overlap_hours: float = Field(
        default=24, ge=0, description="asked for again before the last instant, for what was stored late"
    )


class RestEndpoint(Endpoint):
    """A web service that answers with JSON."""

    protocol: Literal["rest"]
    base_url: BaseUrl
    auth: Annotated[SecretHeader | NoSignIn, Field(discriminator="method")]
    feeds: dict[Name, RestFeed]
    max_pages: int = Field(default=100_000, ge=1, description="of one feed; more is taken for a circle")
    wait_cap_s: float = Field(default=300, gt=0, description="longest wait, whatever Retry-After says")

    @property
    def address(self) -> str:
        return self.base_url


class CsvForm(Declared):
    """How a CSV file is written. One that declares nothing is RFC 4180 in UTF-8."""

    encoding: Literal["utf-8", "iso-8859-1", "iso-8859-15", "windows-1252"] = Field(
        default="utf-8", description="a byte order mark of UTF-8 is dropped"
    )
    delimiter: Literal[",", ";", "\t", "|"] = ","
    decimal_comma: bool = False
    date_time: str | None = Field(
        default=None, description="strptime format of instants, where they are not ISO 8601: '%d.%m.%Y %H:%M'"
    )
    date: str | None = Field(
        default=None, description="strptime format of dates, where they are not ISO 8601"
    )
    null: tuple[str, ...] = Field(default=("",), description="what stands for a value that is not there")
    true: tuple[str, ...] = ("true", "1")
    false: tuple[str, ...] = ("false", "0")
    footer: str | None = Field(
        default=None,
        description="first cell of a last line that is no record; its second cell states their number",
    )


class FileFeed(Feed):
    """Files of one kind in a directory."""

    pattern: str = Field(description="glob of the files below the endpoint's directory")
    csv: CsvForm = CsvForm()
    confirmed_by: str | None = Field(
        default=None,
        description="suffix of a file beside each, whose presence says that it is whole; a number in it states its "
        "records",
    )
    counted_by: str | None = Field(
        default=None,
        description="glob of JSON files beside them that list files under 'files', each with name and rows",
    )
    tells: str | None = Field(
        default=None,
        description="regular expression for what a file's name says of all its rows: each named group is a field",
    )

    @model_validator(mode="after")
    def _tells_fields(self) -> Self:
        try:
            has_fields = self.tells is None or bool(self.told_fields)
        except re.error as error:
            raise ValueError(f"tells is no regular expression: {error}") from None
        if not has_fields:
            raise ValueError("tells has no named group, such as (?P<day>[0-9-]+)")
        return self

    @property
    def told_fields(self) -> frozenset[str]:
        """The fields that stand in the files' names."""
        return frozenset(re.compile(self.tells).groupindex) if self.tells else frozenset()

    def told(self, name: str) -> dict[str, str]:
        """What the name of a file says of its rows; nothing where it is another kind of name."""
        match = re.search(self.tells, name) if self.tells else None
        return {field: text for field, text in match.groupdict().items() if text} if match else {}


class FilesEndpoint(Endpoint):
    """A directory into which files are dropped."""

    protocol: Literal["files"]
    directory: str
    feeds: dict[Name, FileFeed]
    settle_s: float = Field(
        default=5, ge=0, description="a file without confirmation is whole after so long unchanged"
    )

    @property
    def address(self) -> str:
        return self.directory


class TableFeed(Feed):
    """A table or view of the owner's database."""

    relation: str = Field(pattern=r"^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$", description="schema.table")
    change_column: Name = Field(description="instant of a row's last change")
    overlap_hours: float = Field(
        default=24,
        ge=0,
        description="asked for again before the last instant: a transaction may commit long after the change it dates",
    )


class DatabaseEndpoint(Endpoint):
    """A PostgreSQL database of the owner, read only."""

    protocol: Literal["database"]
    host: str
    port: int
    database: str
    user: str
    password_file: str = Field(description="file below secrets/ that holds the password")
    sslmode: Literal["prefer", "require", "verify-ca", "verify-full"] = "prefer"
    feeds: dict[Name, TableFeed]

    @model_validator(mode="before")
    @classmethod
    def _port_is_a_number(cls, data: Any) -> Any:
        """A port taken from a setting is text."""
        port = data.get("port") if isinstance(data, dict) else None
        return {**data, "port": int(port)} if isinstance(port, str) and port.isdecimal() else data

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


class Hl7Endpoint(Endpoint):
    """A system that sends HL7 v2 messages: over MLLP to our listener, and as batch files into a directory."""

    protocol: Literal["hl7v2"]
    house: Name | None = Field(
        default=None,
        description="the endpoint whose patients and visits it speaks of: numbers of both are the same then",
    )
    port_offset: int | None = Field(
        default=None,
        ge=0,
        le=99,
        description="where it sends over MLLP: so many ports above the setting hl7_port",
    )
    directory: str | None = Field(default=None, description="where its batch files (FHS, BHS) are dropped")
    pattern: str = Field(default="*.hl7", description="glob of the batch files")
    settle_s: float = Field(default=5, ge=0, description="a file is whole after so long unchanged")
    patient_system: str = Field(description="identifier system of patients where PID-3 names no authority")
    visit_system: str = Field(description="identifier system of visit numbers")
    systems: dict[str, str] = Field(
        default_factory=dict, description="identifier system by assigning authority, or authority^type"
    )
    houses: dict[str, Name] = Field(
        default_factory=dict,
        description="the endpoint whose numbers those of an identifier system are, where not the house's",
    )
    charset: str = Field(default="ascii", description="of messages that name none in MSH-18")

    @model_validator(mode="after")
    def _sends_somehow(self) -> Self:
        if self.port_offset is None and self.directory is None:
            raise ValueError("port_offset or directory: how does it send?")
        return self

    @property
    def address(self) -> str:
        ways = (
            f"MLLP, hl7_port + {self.port_offset}" if self.port_offset is not None else None,
            self.directory,
        )
        return "; ".join(way for way in ways if way)


AnyEndpoint = Annotated[
    FhirEndpoint | RestEndpoint | FilesEndpoint | DatabaseEndpoint | Hl7Endpoint,
    Field(discriminator="protocol"),
]
