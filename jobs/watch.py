"""Whether every source delivers as expected: in time, and about as much as usual.

Late and thin are the freshness and volume of a feed, as its endpoint's ``expected`` has them. What is found is
published as ``quality.deliveries`` and told to the webhook.
"""

from __future__ import annotations

import logging
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
"""Spans whose median is the usual number: two weeks of a daily or hourly feed."""
FEWEST = 3
"""Of fewer spans nothing is usual yet."""

_NEWEST = """
select transaction_time, is_full
from batch
where source = %s and status = 'published' and is_complete and transaction_time <= %s
order by transaction_time desc
limit 1
"""
# A span begins an hour late, for a daily delivery that comes sooner than the day before.
_SPANS = """
with delivery as (
    select
        floor(extract(epoch from %(newest)s - b.transaction_time + interval '1 hour') / 3600 / %(hours)s) as span,
        r.received
    from batch as b left join receipt as r using (batch_id)
    where
        b.source = %(source)s and b.status = 'published' and b.is_complete and not b.is_full
        and b.transaction_time <= %(newest)s
)

select coalesce(sum(received), 0)::bigint
from delivery
group by span
having span = 0 or sum(received) > 0
order by span
limit %(spans)s
"""
_HAS_COME = """
select exists (
    select from batch as b inner join receipt as r using (batch_id)
    where b.source = %s and b.status = 'published' and b.transaction_time <= %s and r.received > 0
)
"""


@dataclass(frozen=True)
class Delivery:
    """What an endpoint has delivered, as of ``watched_at``. age_hours: since the instant its newest delivery is of.

    received: number of records in the span that ends with the newest delivery: a day, or as many whole days as one
    may be expected within; null where that one was full. usual: median of the spans before, null while there are too
    few.
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
    """Look at every scheduled endpoint that has expectations, publish what is found, tell what is not as expected.

    Raises CitywellError when a webhook is set and could not be told."""
    with control.connect() as conn:
        control.migrate(conn)
        found = look(conn, as_of)
    with catalog.lake_session(name="watch") as spark:
        rows = spark.createDataFrame([tuple(asdict(each).values()) for each in found], SCHEMA)
        slice_ = {"watched_at": as_of}
        version = tables.retrying(lambda: tables.replace_slice(spark, TABLE, rows, slice_))
    catalog.publish("watch", as_of.isoformat(), {TABLE: version})
    unexpected = [each for each in found if each.verdict != "good"]
    for each in unexpected:
        log.warning("%s: %s", each.source, each.words)
    alerts.heard(alerts.not_as_expected(each.source, each.verdict, each.words) for each in unexpected)
    return found


def look(conn: Connection, as_of: datetime) -> list[Delivery]:
    """Every endpoint that has expectations and is not on demand, and how its newest delivery stands to them at
    ``as_of``."""
    endpoints = [e for source in load_all().values() for e in source.endpoints.values() if not e.on_demand]
    return [_judged(conn, endpoint, as_of) for endpoint in endpoints if endpoint.expected]


def _judged(conn: Connection, endpoint: Endpoint, as_of: datetime) -> Delivery:
    assert endpoint.expected is not None
    found = conn.execute(_NEWEST, (endpoint.name, as_of)).fetchone()
    has_come = conn.execute(_HAS_COME, (endpoint.name, as_of)).fetchone()
    if found is None or not has_come or not has_come[0]:
        words = "nothing complete has ever come" if found is None else "no record has ever come"
        return Delivery(as_of, endpoint.name, "never", None, None, None, None, words)
    newest_at, is_full = found
    age_hours = round((as_of - newest_at).total_seconds() / 3600, 1)
    allowed = endpoint.expected.within_hours
    hours = 24 * max(1, int(allowed // 24))
    received, usual = (None, None) if is_full else _came(conn, endpoint.name, newest_at, hours)
    verdict: Literal["good", "late", "thin"] = "good"
    words = "as expected"
    if age_hours > allowed:
        verdict, words = (
            "late",
            f"the newest delivery is {age_hours:g} h old; one is expected within {allowed:g} h",
        )
    elif received is not None and usual is not None and received < endpoint.expected.least_share * usual:
        verdict, words = "thin", f"{received} records came in {hours} h; {usual} are usual"
    return Delivery(as_of, endpoint.name, verdict, newest_at, age_hours, received, usual, words)


def _came(conn: Connection, source: str, newest_at: datetime, hours: int) -> tuple[int, int | None]:
    """The number of records that came in the ``hours`` up to ``newest_at``, and the median of such spans before.

    Empty ones are none: what has fallen silent is as unusual on its tenth day as on its first.
    """
    values = {"source": source, "newest": newest_at, "hours": hours, "spans": 1 + USUAL_OF}
    received, *before = [count for (count,) in conn.execute(_SPANS, values).fetchall()]
    return received, round(median(before)) if len(before) >= FEWEST else None
