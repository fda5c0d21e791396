"""Whether every source delivers as expected: in time, and about as much as usual.

Late and thin are the freshness and volume of a feed, as its endpoint's ``expected`` has them. What is found is
published as ``quality.deliveries`` and told to the webhook.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from statistics import median
from typing import Literal

from jobs import alerts
from jobs.lake import catalog, control, tables
from jobs.lake.control import Connection
from jobs.sources import Endpoint, load_all

log = logging.getLogger(__name__)

TABLE = "quality.deliveries"
SCHEMA = (
    "watched_at timestamp, source string, verdict string, newest_at timestamp, age_hours double, received bigint, "
    "usual bigint, words string"
)
USUAL_OF = 14
"""Deliveries whose median is the usual number: two weeks of a daily feed."""
FEWEST = 3
"""Of fewer deliveries nothing is usual yet."""

_DELIVERIES = """
select b.transaction_time, coalesce(sum(r.received), 0)::bigint
from batch as b left join receipt as r using (batch_id)
where b.source = %s and b.status = 'published' and b.is_complete and not b.is_full and b.transaction_time <= %s
group by b.batch_id, b.transaction_time
order by b.transaction_time desc
limit %s
"""
_NEWEST = """
select max(transaction_time) from batch
where source = %s and status = 'published' and is_complete and transaction_time <= %s
"""


@dataclass(frozen=True)
class Delivery:
    """What an endpoint has delivered, as of ``watched_at``. age_hours: since the instant its newest delivery is of.

    usual: median number of records of the deliveries before; null while there are too few, or the newest was a full
    one.
    """

    watched_at: datetime
    source: str
    verdict: Literal["good", "late", "thin", "never"]
    newest_at: datetime | None
    age_hours: float | None
    received: int | None
    usual: int | None
    words: str


def run(as_of: datetime) -> list[Delivery]:
    """Look at every endpoint that has expectations, publish what is found, tell what is not as expected."""
    with control.connect() as conn:
        control.migrate(conn)
        found = look(conn, as_of)
    with catalog.lake_session(name="watch") as spark:
        rows = spark.createDataFrame([tuple(asdict(each).values()) for each in found], SCHEMA)
        slice_ = {"watched_at": as_of}
        version = tables.retrying(lambda: tables.replace_slice(spark, TABLE, rows, slice_))
    catalog.publish("watch", as_of.isoformat(), {TABLE: version})
    for each in found:
        if each.verdict != "good":
            log.warning("%s: %s", each.source, each.words)
            alerts.not_as_expected(each.source, each.verdict, each.words)
    return found


def look(conn: Connection, as_of: datetime) -> list[Delivery]:
    """Every endpoint that has expectations, and how its newest delivery stands to them at ``as_of``."""
    endpoints = [e for source in load_all().values() for e in source.endpoints.values()]
    return [_judged(conn, endpoint, as_of) for endpoint in endpoints if endpoint.expected]


def _judged(conn: Connection, endpoint: Endpoint, as_of: datetime) -> Delivery:
    assert endpoint.expected is not None
    row = conn.execute(_NEWEST, (endpoint.name, as_of)).fetchone()
    newest_at = row[0] if row else None
    if newest_at is None:
        words = "nothing complete has ever come"
        return Delivery(as_of, endpoint.name, "never", None, None, None, None, words)
    age_hours = round((as_of - newest_at).total_seconds() / 3600, 1)
    counts = conn.execute(_DELIVERIES, (endpoint.name, as_of, USUAL_OF + 1)).fetchall()
    received, usual = _volumes([(at == newest_at, count) for at, count in counts])
    allowed = endpoint.expected.within_hours
    verdict: Literal["good", "late", "thin"] = "good"
    words = "as expected"
    if age_hours > allowed:
        verdict, words = (
            "late",
            f"the newest delivery is {age_hours:g} h old; one is expected within {allowed:g} h",
        )
    elif received is not None and usual is not None and received < endpoint.expected.least_share * usual:
        verdict, words = "thin", f"{received} records came; {usual} are usual"
    return Delivery(as_of, endpoint.name, verdict, newest_at, age_hours, received, usual, words)


def _volumes(counts: Sequence[tuple[bool, int]]) -> tuple[int | None, int | None]:
    """Records of the newest delivery, and the usual number, where both can be told. counts: newest first."""
    if not counts or not counts[0][0]:
        return None, None
    received, before = counts[0][1], [count for _, count in counts[1:]]
    return received, round(median(before)) if len(before) >= FEWEST else None
