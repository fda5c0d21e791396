"""Risk scores back to the hospitals they came from, as FHIR RiskAssessments.

Flow: newest scores -> queue in ``control.writeback`` -> the hospital's own ids (audited vault) ->
conditional update ``PUT RiskAssessment?identifier=urn:citywell:risk|<risk_key>`` -> outcome recorded.

The identifier stands for person, target and encounter. So a repeated send finds what the first one made, a
newer score replaces the older one (a withdrawn one becomes ``entered-in-error``), and a run that was killed
at any point is simply run again. A score whose content has been sent is not sent again. What a hospital
refuses stays queued and is tried by the next run, after what has not been tried yet; until it expires.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Literal

import httpx
from pyspark.sql import SparkSession

from jobs import postgres
from jobs.crash import crash_here
from jobs.errors import CitywellError
from jobs.extract import web
from jobs.extract.smart_auth import SmartClient, load_key
from jobs.extract.waiting import SYSTEM_CLOCK, Clock
from jobs.identity import vault
from jobs.lake import control
from jobs.settings import settings
from jobs.sources import FhirEndpoint, SmartSignIn, find_endpoint, find_fhir_endpoint
from jobs.writeback import risk_assessment
from jobs.writeback.risk_assessment import IDENTIFIER_SYSTEM, Resource, Score

SCOPE = "system/RiskAssessment.crus"
CONNECTIONS = 8
ATTEMPTS = 5
LONGEST_WAIT_S = 60.0
IDENTIFIERS_PER_SEARCH = 40
SERVER_ERRORS_IN_A_ROW = 5
"""A server error is the trouble of one score until so many follow each other: then it is the hospital's."""
_NOBODY_HOME = (502, 503, 504)
_SERVER_ERROR = "server error, however often it was sent"
_RECORD_EVERY = 100
_MEDIA_TYPE = "application/fhir+json"
_ISSUE_CODE = re.compile(r"[a-z-]{1,40}")
_FHIR_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_LOCATION = re.compile(r"RiskAssessment/([A-Za-z0-9.-]{1,64})(?:/_history/([A-Za-z0-9.-]{1,64}))?$")
_ACTOR = "writeback"

State = Literal["pending", "sent", "refused"]

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
    reasons, status, is_alert, q.title, q.mitigation
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


@dataclass(frozen=True)
class _Outcome:
    risk_key: str
    state: State
    status: int | None = None
    reason: str | None = None
    server_id: str | None = None
    version: str | None = None


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


class _Hospital:
    """The RiskAssessments of one hospital. Thread-safe.

    Raises CitywellError when the hospital does not answer or does not let us in.
    """

    def __init__(self, endpoint: FhirEndpoint, client: httpx.Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._url = f"{endpoint.base_url}/RiskAssessment"
        self._where = f"{endpoint.name} ({self._url})"
        self._auth: SmartClient | None = None
        if isinstance(endpoint.auth, SmartSignIn):
            key = load_key(endpoint.key_path(settings().keys_dir), endpoint.auth.alg)
            self._auth = SmartClient(
                endpoint.name, endpoint.base_url, endpoint.auth, key, client, scope=SCOPE, clock=clock
            )

    def put(self, risk_key: str, assessment: Resource) -> _Outcome:
        """Create or replace the one RiskAssessment that has our identifier ``risk_key``.

        A server error that lasts is a refusal with the reason _SERVER_ERROR.
        """
        link = httpx.URL(self._url, params={"identifier": f"{IDENTIFIER_SYSTEM}|{risk_key}"})
        if self._auth is not None:
            self._auth.token()  # what goes wrong here is no trouble of the score
        try:
            response = self._send("PUT", link, json=assessment)
        except web.Unavailable as error:
            if error.status is None or error.status < 500:
                raise
            return _Outcome(risk_key, "refused", error.status, _SERVER_ERROR)
        if response.status_code not in (200, 201):
            return _Outcome(risk_key, "refused", response.status_code, _issue(response))
        body = _json(response)
        meta = body.get("meta")
        located = _LOCATION.search(response.headers.get("Location", ""))
        server_id = _fhir_id(body.get("id")) or (located[1] if located else None)
        version = _fhir_id(meta.get("versionId") if isinstance(meta, dict) else None)
        version = version or (located[2] if located else None)
        return _Outcome(risk_key, "sent", response.status_code, None, server_id, version)

    def search(self, risk_keys: Sequence[str]) -> Iterator[Resource]:
        """The RiskAssessments that have one of our identifiers ``risk_keys``."""
        for start in range(0, len(risk_keys), IDENTIFIERS_PER_SEARCH):
            wanted = risk_keys[start : start + IDENTIFIERS_PER_SEARCH]
            tokens = ",".join(f"{IDENTIFIER_SYSTEM}|{key}" for key in wanted)
            link: httpx.URL | None = httpx.URL(self._url, params={"identifier": tokens})
            while link is not None:
                response = self._send("GET", link)
                if response.status_code != 200:
                    raise CitywellError(
                        f"The hospital does not let us read RiskAssessments (HTTP {response.status_code}).",
                        where=self._where,
                        do=f"Have the hospital grant {SCOPE} to this client.",
                    )
                bundle = _json(response)
                yield from (entry["resource"] for entry in bundle.get("entry", []))
                following = [x["url"] for x in bundle.get("link", []) if x.get("relation") == "next"]
                link = self._followable(following[0]) if following else None

    def trouble(self, status: int | None) -> CitywellError:
        """The hospital answers one score after the other with a server error."""
        return CitywellError(
            f"The hospital cannot take risk scores in: one after the other ends in a server error (HTTP {status}).",
            where=self._where,
            do="Have its administrators look at their server's log, then run the write-back again.",
        )

    def _followable(self, link: str) -> httpx.URL:
        """The link to a further page, which our token goes to: on the hospital's own server, and encrypted if that is.

        Raises CitywellError for any other.
        """
        base = httpx.URL(self._url)
        try:
            url = base.join(link)
        except (httpx.InvalidURL, TypeError):
            url = httpx.URL()
        web.refuse_downgrade(self._url, str(url), self._where)
        if (url.scheme, url.host, url.port) != (base.scheme, base.host, base.port):
            raise CitywellError(
                "The hospital hands out a link to a page on another server.",
                where=self._where,
                do="Ask its administrators to mend the base address it builds links from; nothing was sent there.",
            )
        return url

    def _send(self, method: str, link: httpx.URL, json: Resource | None = None) -> httpx.Response:
        headers = {"Accept": _MEDIA_TYPE} | ({"Content-Type": _MEDIA_TYPE} if json is not None else {})
        return web.send(
            self._client,
            lambda: self._client.build_request(method, link, json=json, headers=headers),
            what="Writing a risk score back" if method == "PUT" else "Reading risk scores back",
            where=self._where,
            clock=self._clock,
            cap_s=LONGEST_WAIT_S,
            auth=self._auth,
            attempts=ATTEMPTS,
        )


@contextmanager
def _hospital(source: str, clock: Clock) -> Iterator[_Hospital]:
    endpoint = find_fhir_endpoint(source)
    with web.new_client(endpoint.base_url) as client:
        yield _Hospital(endpoint, client, clock)


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
    hospital: _Hospital,
    due: Sequence[Score],
    ids: Mapping[str, vault.SourceIdentity],
) -> CitywellError | None:
    """Send ``due`` over a few connections and record the outcomes; the error that ended it early, if any.

    After the first score the hospital gives no answer to, or several server errors in a row, those not yet begun
    are left for the next run.
    """
    is_over = threading.Event()
    trouble: CitywellError | None = None

    def send(score: Score) -> _Outcome | CitywellError | None:
        if is_over.is_set():
            return None
        assessment = _resource(score, ids)
        if assessment is None:
            return _Outcome(
                score.risk_key, "refused", None, "the vault knows no such patient of this hospital"
            )
        try:
            return hospital.put(score.risk_key, assessment)
        except CitywellError as error:
            is_over.set()
            return error

    done: list[_Outcome] = []
    failing: list[_Outcome] = []
    has_answered = False
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="writeback") as pool:
        for score, outcome in zip(due, pool.map(send, due), strict=True):
            if isinstance(outcome, CitywellError):
                trouble = trouble or outcome
                outcome = _Outcome(score.risk_key, "pending", None, "no answer")
            crash_here("writeback:sent")
            if outcome is None:
                continue
            if outcome.reason == _SERVER_ERROR:
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


def _record(conn: control.Connection, outcomes: Sequence[_Outcome]) -> None:
    rows = [(o.state, o.status, o.reason, o.server_id, o.version, o.risk_key) for o in outcomes]
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


def _issue(response: httpx.Response) -> str:
    """Codes of an OperationOutcome: its other words may quote what we sent."""
    issues = _json(response).get("issue", [])
    codes = [str(issue.get("code", "")) for issue in issues if isinstance(issue, dict)]
    return ", ".join(code for code in codes if _ISSUE_CODE.fullmatch(code)) or "no reason given"


def _fhir_id(value: object) -> str | None:
    return value if isinstance(value, str) and _FHIR_ID.fullmatch(value) else None


def _json(response: httpx.Response) -> Resource:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
