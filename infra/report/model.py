"""What the City report shows. Counts of people are exact here and suppressed where they are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

OUTCOMES = ("published", "superseded", "duplicate", "deleted", "unmodelled", "quarantined")


@dataclass(frozen=True)
class Flow:
    """Records of one resource type from one source, by what became of them."""

    source: str
    resource_type: str
    received: int
    published: int = 0
    superseded: int = 0
    duplicate: int = 0
    deleted: int = 0
    unmodelled: int = 0
    quarantined: int = 0


@dataclass(frozen=True)
class Quarantined:
    """Rejected records of one source by one rule."""

    source: str
    rule: str
    records: int


@dataclass(frozen=True)
class Checked:
    """Checks of one table in the newest batch of one source."""

    source: str
    table: str
    checks: int
    failed: int
    warnings: int


@dataclass(frozen=True)
class Activity:
    """One hospital in one month: people arriving and admitted, mean number in its beds at midnight."""

    source: str
    month: date
    arrivals: int
    admissions: int
    occupancy: float


@dataclass(frozen=True)
class Coverage:
    """People of one source with at least one measurement of a kind."""

    source: str
    measurement: str
    people: int
    of_people: int


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ReliabilityBin:
    """Cases of about the same prediction: mean prediction and share observed."""

    predicted: float
    observed: float
    cases: int


@dataclass(frozen=True)
class Group:
    """The model on the test cases of one group, such as sex = female; cases and events to the nearest five."""

    group: str
    level: str
    cases: int
    events: int
    metrics: Mapping[str, Estimate]


@dataclass(frozen=True)
class Model:
    """The champion and how it did on people and times it had not seen."""

    name: str
    version: str
    family: str
    trained_at: datetime | None
    """The instant up to which it was trained."""
    cases: int
    events: int
    threshold: float | None
    metrics: Mapping[str, Estimate]
    roc: tuple[tuple[float, float], ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()
    groups: tuple[Group, ...] = ()
    candidates: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """People of one source whose newest score lies in a band."""

    source: str
    band: str
    people: int


@dataclass(frozen=True)
class Reason:
    """People for whom this was among the reasons of a high score."""

    label: str
    people: int


@dataclass(frozen=True)
class Written:
    """Scores of one hospital by whether they arrived there."""

    source: str
    sent: int
    refused: int
    pending: int


@dataclass(frozen=True)
class ReportData:
    """Everything on the page. What is empty is said to be missing, not left out."""

    as_of: datetime
    made_at: datetime
    engine: str
    tables: Mapping[str, int] = field(default_factory=dict)
    """Rows by table."""
    versions: Mapping[str, int] = field(default_factory=dict)
    """Published version by table."""
    flows: tuple[Flow, ...] = ()
    quarantine: tuple[Quarantined, ...] = ()
    checks: tuple[Checked, ...] = ()
    activity: tuple[Activity, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    model: Model | None = None
    scored: tuple[Scored, ...] = ()
    reasons: tuple[Reason, ...] = ()
    written: tuple[Written, ...] = ()
    served: int | None = None
    """Rows of ``serving.risk``; None while the serving database cannot be asked."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage, in order."""
