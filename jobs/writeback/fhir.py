"""Risk scores back to the hospitals they came from, as FHIR RiskAssessments.

Flow: newest scores -> queue in ``control.writeback`` -> the hospital's own ids (audited vault) ->
conditional update ``PUT RiskAssessment?identifier=urn:citywell:risk|<risk_key>`` -> outcome recorded.

The identifier stands for person, target and encounter. So a repeated send finds what the first one made, a
newer score replaces the older one (a withdrawn one becomes ``entered-in-error``), and a run that was killed
at any point is simply run again. A score whose content has been sent is not sent again. What a hospital
refuses stays queued and is tried by the next run, after what has not been tried yet; until it expires.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime

from pyspark.sql import SparkSession

from jobs import postgres
from jobs.crash import crash_here
from jobs.errors import CitywellError
from jobs.extract.waiting import SYSTEM_CLOCK, Clock
from jobs.identity import vault
from jobs.lake import control
from jobs.sources import find_endpoint
from jobs.writeback import risk_assessment
from jobs.writeback.hospital import SERVER_ERROR, HospitalServer, Outcome, Written, opened
from jobs.writeback.risk_assessment import IDENTIFIER_SYSTEM, Resource, Score

RISK = Written("RiskAssessment", IDENTIFIER_SYSTEM, "risk score")
CONNECTIONS = 8
SERVER_ERRORS_IN_A_ROW = 5
"""A server error is the trouble of one score until so many follow each other: then it is the hospital's."""
_NOBODY_HOME = (502, 503, 504)
_RECORD_EVERY = 100
_ACTOR = "writeback"

_DDL = """
create table if not exists writeback (
    risk_key text primary key,
    source text not null,
    digest text not null,
    state text not null,
    attempts integer not null default 0,
    last_status integer,
    last_reason text,
    server_id text,
    version text,
    updated_at timestamptz not null default now()
);
alter table writeback
    drop constraint if exists writeback_state_check,
    add constraint writeback_state_check check (state in ('pending', 'sent', 'refused', 'expired'));
create index if not exists writeback_due on writeback (source, state);
comment on table writeback is 'One row per score for a hospital: whether its newest content has arrived
there, or need not any more.';
"""

_NEWEST = """
select
    risk_key, patient_key, encounter_key, source, r.target, as_of, probability, band, model_name, model_version,
    reasons, status, is_alert, input_digest, q.title, q.mitigation, q.horizon_days
from (
    select *, row_number() over (partition by risk_key order by scored_at desc, batch_id desc) as place
    from scores.risk
    where source = '{source}'
) as r
left join scores.question as q on r.target = q.target
where
    place = 1
    and (
        status = 'withdrawn'
        or expires_at > greatest(timestamp '{as_of}', (select max(s.as_of) from scores.risk as s))
    )
"""


@dataclass(frozen=True)
class WritebackResult:
    """Scores of a hospital by state after a run. ``trouble``: why some were not even tried."""

    sent: int
    refused: int
    pending: int
    trouble: CitywellError | None = None


@dataclass(frozen=True)
class Verification:
    """Scores as the hospital holds them. The lists name risk keys."""

    expected: int
    matching: int
    missing: tuple[str, ...]
    different: tuple[str, ...]


def migrate(conn: control.Connection) -> None:
    """Make the table ``writeback`` of the control database. Changes nothing the second time."""
    postgres.migrate(conn, "writeback", _DDL.encode())


def newest(spark: SparkSession, source: str, as_of: datetime) -> list[Score]:
    """The newest score of every risk key of ``source`` in the published ``scores.risk``, where it is withdrawn or has
    not expired at ``as_of``. An older instant than that of the newest score counts as that one."""
    find_endpoint(source)
    moment = f"{as_of.astimezone(UTC):%Y-%m-%d %H:%M:%S.%fZ}"
    rows = spark.sql(_NEWEST.format(source=source, as_of=moment)).toArrow().sort_by("risk_key").to_pylist()
    return [Score(**{field.name: row[field.name] for field in fields(Score)}) for row in rows]


@postgres.discreet(control.DATABASE)
def write_back(
    source: str,
    scores: Sequence[Score],
    *,
    conn: control.Connection,
    vault_conn: vault.Connection,
    run_id: str,
    clock: Clock = SYSTEM_CLOCK,
) -> WritebackResult:
    """Send what ``source`` does not hold yet of ``scores``, which are all of its that hold or are withdrawn; count its
    scores by state.

    Every outcome is recorded before this returns. Nothing is raised for what a hospital refuses, or when it
    is down or the key to it is missing: see ``trouble``. ``conn`` is in autocommit. Raises CitywellError when
    a database fails, and when another run is at work on the source.
    """
    migrate(conn)
    trouble = None
    with control.lock(conn, f"writeback {source}"):
        scores = _without_never_sent(conn, source, scores)
        _queue(conn, source, scores)
        _expire(conn, source, scores)
        crash_here("writeback:queued")
        due = _due(conn, source, scores)
        if due:
            ids = _identities(vault_conn, due, f"write risk scores back to {source}", run_id)
            try:
                with _hospital(source, clock) as hospital:
                    trouble = _send_all(conn, hospital, due, ids)
            except CitywellError as error:
                trouble = error
    return _result(conn, source, trouble)


def verify(
    source: str,
    scores: Sequence[Score],
    *,
    vault_conn: vault.Connection,
    run_id: str,
    clock: Clock = SYSTEM_CLOCK,
) -> Verification:
    """Read the hospital's RiskAssessments back and compare each with its score, field by field.

    Raises CitywellError when the hospital does not answer.
    """
    ids = _identities(vault_conn, scores, f"verify risk scores at {source}", run_id)
    held: dict[str, list[Resource]] = {}
    with _hospital(source, clock) as hospital:
        for found in hospital.search([score.risk_key for score in scores]):
            held.setdefault(risk_assessment.identifier(found) or "", []).append(found)
    missing, different = [], []
    for score in scores:
        expected, copies = _resource(score, ids), held.get(score.risk_key, [])
        if not copies and score.is_quiet:
            continue
        if not copies:
            missing.append(score.risk_key)
        elif len(copies) > 1 or expected is None or not risk_assessment.is_same(copies[0], expected):
            different.append(score.risk_key)
    matching = len(scores) - len(missing) - len(different)
    return Verification(len(scores), matching, tuple(missing), tuple(different))


def _hospital(source: str, clock: Clock) -> AbstractContextManager[HospitalServer]:
    return opened(source, RISK, clock)


def _identities(
    conn: vault.Connection, scores: Sequence[Score], purpose: str, run_id: str
) -> Mapping[str, vault.SourceIdentity]:
    keys = [key for score in scores for key in (score.patient_key, score.encounter_key) if key]
    return vault.resolve(conn, keys, vault.Access(_ACTOR, purpose, run_id))


def _resource(score: Score, ids: Mapping[str, vault.SourceIdentity]) -> Resource | None:
    """The RiskAssessment under the hospital's own ids; None when the patient is not one of its own.

    An encounter the vault does not know is left out: the score is about the person.
    """
    patient = ids.get(score.patient_key)
    if patient is None or patient.source != score.source:
        return None
    encounter = ids.get(score.encounter_key or "")
    return risk_assessment.resource(score, patient.source_id, encounter.source_id if encounter else None)


def _send_all(
    conn: control.Connection,
    hospital: HospitalServer,
    due: Sequence[Score],
    ids: Mapping[str, vault.SourceIdentity],
) -> CitywellError | None:
    """Send ``due`` over a few connections and record the outcomes; the error that ended it early, if any.

    After the first score the hospital gives no answer to, or several server errors in a row, those not yet begun
    are left for the next run.
    """
    is_over = threading.Event()
    trouble: CitywellError | None = None

    def send(score: Score) -> Outcome | CitywellError | None:
        if is_over.is_set():
            return None
        assessment = _resource(score, ids)
        if assessment is None:
            return Outcome(
                score.risk_key, "refused", None, "the vault knows no such patient of this hospital"
            )
        try:
            return hospital.put(score.risk_key, assessment)
        except CitywellError as error:
            is_over.set()
            return error

    done: list[Outcome] = []
    failing: list[Outcome] = []
    has_answered = False
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="writeback") as pool:
        for score, outcome in zip(due, pool.map(send, due), strict=True):
            if isinstance(outcome, CitywellError):
                trouble = trouble or outcome
                outcome = Outcome(score.risk_key, "pending", None, "no answer")
            crash_here("writeback:sent")
            if outcome is None:
                continue
            if outcome.reason == SERVER_ERROR:
                failing.append(outcome)
                if len(failing) == SERVER_ERRORS_IN_A_ROW:
                    is_over.set()
                    trouble = trouble or hospital.trouble(outcome.status)
                continue
            if outcome.status is not None and trouble is None:
                has_answered = True
                done, failing = done + failing, []
            done.append(outcome)
            if len(done) >= _RECORD_EVERY:
                _record(conn, done)
                done = []
    if failing and not has_answered and all(outcome.status in _NOBODY_HOME for outcome in failing):
        trouble = trouble or hospital.trouble(failing[-1].status)
    if trouble is not None:
        failing = [replace(outcome, state="pending") for outcome in failing]
    _record(conn, done + failing)
    crash_here("writeback:recorded")
    return trouble


def _queue(conn: control.Connection, source: str, scores: Sequence[Score]) -> None:
    """Note each score; one whose content is new is pending again."""
    rows = [(score.risk_key, source, risk_assessment.digest(score)) for score in scores]
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            "insert into writeback as held (risk_key, source, digest, state) values (%s, %s, %s, 'pending') "
            "on conflict (risk_key) do update set digest = excluded.digest, state = 'pending', attempts = 0, "
            "last_status = null, last_reason = null, updated_at = now() "
            "where held.digest <> excluded.digest or held.state = 'expired'",
            rows,
        )


def _expire(conn: control.Connection, source: str, scores: Sequence[Score]) -> None:
    """What has not arrived and is none of ``scores`` any more need not arrive."""
    conn.execute(
        "update writeback set state = 'expired', updated_at = now() "
        "where source = %s and state in ('pending', 'refused') and risk_key <> all(%s)",
        (source, [score.risk_key for score in scores]),
    )


def _without_never_sent(conn: control.Connection, source: str, scores: Sequence[Score]) -> list[Score]:
    """``scores`` without those of which the hospital need not hear, and that were never queued for it."""
    queued = {row[0] for row in conn.execute("select risk_key from writeback where source = %s", (source,))}
    return [score for score in scores if not score.is_quiet or score.risk_key in queued]


def _due(conn: control.Connection, source: str, scores: Sequence[Score]) -> list[Score]:
    """The scores whose content the hospital does not hold, those tried least often first."""
    rows = conn.execute(
        "select risk_key, attempts from writeback where source = %s and state <> 'sent'", (source,)
    )
    attempts = dict(rows.fetchall())
    due = [score for score in scores if score.risk_key in attempts]
    return sorted(due, key=lambda score: attempts[score.risk_key])


def _record(conn: control.Connection, outcomes: Sequence[Outcome]) -> None:
    rows = [(o.state, o.status, o.reason, o.server_id, o.version, o.key) for o in outcomes]
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            "update writeback set state = %s, attempts = attempts + 1, last_status = %s, last_reason = %s, "
            "server_id = coalesce(%s, server_id), version = coalesce(%s, version), updated_at = now() "
            "where risk_key = %s",
            rows,
        )


def _result(conn: control.Connection, source: str, trouble: CitywellError | None) -> WritebackResult:
    rows = conn.execute("select state, count(*) from writeback where source = %s group by state", (source,))
    counts = dict(rows.fetchall())
    return WritebackResult(counts.get("sent", 0), counts.get("refused", 0), counts.get("pending", 0), trouble)
