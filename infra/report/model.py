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
class Against:
    """A published score on the same test cases; ``difference``: AUROC of the model minus the score's."""

    name: str
    auroc: Estimate
    difference: Estimate


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
    baselines: tuple[Against, ...] = ()


@dataclass(frozen=True)
class Question:
    """A risk question and how far it has come.

    model: None while no model answers it. verdict: of the training for the newest instant, promoted, refused, too_few
    or untrained; reason: why, in words. labels: feature -> what a clinician reads.
    """

    name: str
    title: str
    model: Model | None
    verdict: str
    reason: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """People of one source whose newest score of a question lies in a band."""

    target: str
    source: str
    band: str
    people: int


@dataclass(frozen=True)
class Reason:
    """People for whom this feature was among the reasons of a high score of a question."""

    target: str
    feature: str
    people: int


@dataclass(frozen=True)
class Written:
    """Scores of one hospital by whether they arrived there."""

    source: str
    sent: int
    refused: int
    pending: int


@dataclass(frozen=True)
class Statistic:
    """A variable of all people: its mean with its 95 % interval, median and quartiles, in ``unit`` (UCUM)."""

    variable: str
    unit: str
    people: int
    mean: Estimate
    quartile_1: float
    median: float
    quartile_3: float


@dataclass(frozen=True)
class Correlation:
    """Spearman's rho of two variables: as they are, and given age and sex, which a pair with age has not.

    is_told: whether ``best`` is told from chance.
    """

    variable: str
    other: str
    crude: Estimate
    given_age_and_sex: Estimate | None
    people: int
    is_told: bool

    @property
    def best(self) -> Estimate:
        """The one given age and sex, where there is one."""
        return self.given_age_and_sex or self.crude


@dataclass(frozen=True)
class Rule:
    """People with the antecedent have the consequent ``lift`` times as often as all do.

    both_people: how many have antecedent and consequent; antecedent_people, consequent_people: how many have the one,
    with or without the other.
    """

    antecedent: str
    consequent: str
    both_people: int
    antecedent_people: int
    consequent_people: int
    confidence: float
    lift: Estimate
    lift_given_age_and_sex: float


@dataclass(frozen=True)
class Cluster:
    """A cluster of patients or of districts, and what marks it in words."""

    kind: str
    number: int
    members: int
    words: str
    stability: float | None


@dataclass(frozen=True)
class District:
    """A postal district. The middle is in degrees (WGS 84), None where nobody knows it; ``cluster``: its number."""

    code: str
    name: str
    longitude: float | None
    latitude: float | None
    cluster: int | None


@dataclass(frozen=True)
class FacilityDay:
    """A day on which a facility's count was far from what was to be expected."""

    facility: str
    day: date
    counted: str
    observed: float
    expected: float


@dataclass(frozen=True)
class Unusual:
    """People of whom something of a kind is told as unusual."""

    kind: str
    what: str
    people: int


@dataclass(frozen=True)
class Alarm:
    """A day with an alarm for a syndrome in a district: who came in the three days that end with it, and how many were
    to be expected, by what was known on the next morning."""

    district: str
    syndrome: str
    day: date
    observed: int
    expected: float


@dataclass(frozen=True)
class Watched:
    """The days on which outbreaks of a syndrome were looked for."""

    syndrome: str
    first: date
    last: date


@dataclass(frozen=True)
class Mined:
    """What the newest runs of mining and surveillance found in the records known at ``as_of``, and at
    ``watched_as_of``; None where there was no run. ``alarms`` and ``watched`` are of surveillance."""

    as_of: datetime | None = None
    watched_as_of: datetime | None = None
    statistics: tuple[Statistic, ...] = ()
    correlations: tuple[Correlation, ...] = ()
    rules: tuple[Rule, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    districts: tuple[District, ...] = ()
    facility_days: tuple[FacilityDay, ...] = ()
    unusual: tuple[Unusual, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    watched: tuple[Watched, ...] = ()


@dataclass(frozen=True)
class Quantiles:
    """What is to be expected of one period that begins at ``at``."""

    at: datetime
    p05: float
    p10: float
    p50: float
    p90: float
    p95: float


@dataclass(frozen=True)
class Series:
    """A series of forecasts; ``place``: the city, or the facility or district it is of, by name where it has one."""

    place: str
    level: str
    ahead: tuple[Quantiles, ...]


@dataclass(frozen=True)
class Forecast:
    """The newest issue of a family. ``past``: the city's last periods that were over at the issue, None where nothing
    was told."""

    family: str
    title: str
    counts: str
    grain: str
    issue_at: datetime
    model_version: str
    series: tuple[Series, ...]
    past: tuple[tuple[datetime, float | None], ...] = ()


@dataclass(frozen=True)
class Forecaster:
    """How a family is forecast. version, kind: of the champion, None without one. On its test: error by that of the
    ``naive`` forecast, MASE, and the share within the 90 % intervals. reason: the gate's words on the newest training.
    """

    title: str
    version: str | None
    kind: str | None
    naive: str | None
    against_naive: Estimate | None
    mase: Estimate | None
    coverage: Estimate | None
    reason: str


@dataclass(frozen=True)
class Monitored:
    """A figure of ``quality.monitoring``: of a model's inputs, predictions, performance, forecasts or alerts on a day.

    subject: the feature or group it is of, None for the whole. line: what it should not cross.
    """

    day: date
    kind: str
    target: str
    subject: str | None
    metric: str
    value: float
    line: float | None
    is_crossed: bool
    n: int


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
    questions: tuple[Question, ...] = ()
    """Empty while MLflow cannot be asked."""
    people_scored: int = 0
    scored: tuple[Scored, ...] = ()
    reasons: tuple[Reason, ...] = ()
    written: tuple[Written, ...] = ()
    served: int | None = None
    """Rows of ``serving.risk``; None while the serving database cannot be asked."""
    mined: Mined | None = None
    forecasts: tuple[Forecast, ...] = ()
    forecasters: tuple[Forecaster, ...] = ()
    """Of every declared family; empty while MLflow cannot be asked."""
    monitored: tuple[Monitored, ...] | None = None
    """None while nothing has been monitored."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage, in order."""
