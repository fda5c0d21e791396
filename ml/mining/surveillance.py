"""Syndromic surveillance as a task or the command line calls it: watch for outbreaks, day after day, publish
``gold.mining_outbreaks``, and tell of the alarms that are new.

Every run judges all days anew, each by what was known on the morning after it, so that a day that no run was made on is
judged as it would have been. What has been told is kept in ``control.told_outbreak``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd

from jobs import alerts, postgres
from jobs.lake import control
from ml.lake import Summary, instant, opened
from ml.mining import inputs, outbreaks, shapes, store, syndromes
from ml.mining.inputs import Gold

NEWS_DAYS = 7
"""Alarms of days before these are history, and told to nobody: the first run of a city judges years."""

_DDL = b"""
create table if not exists told_outbreak (
    date date not null,
    syndrome text not null,
    area_code text not null,
    told_at timestamptz not null default now(),
    primary key (date, syndrome, area_code)
);
comment on table told_outbreak is 'One row per alarm of gold.mining_outbreaks that has been told.';
"""
_NOTE = "insert into told_outbreak (date, syndrome, area_code) values (%s, %s, %s) on conflict do nothing"

Alarm = tuple[date, str, str]
"""date, syndrome, area_code"""


def surveil(as_of: datetime | str) -> Summary:
    """Judge every day up to the one before ``as_of``, publish ``shapes.OUTBREAKS``, and sum up.

    ``new``: date, syndrome and area_code of the alarms of the last NEWS_DAYS that have not been told, the oldest first.
    Raises CitywellError when gold has not been published.
    """
    moment = instant(as_of)
    with opened("surveillance", inputs.NEEDED_TO_WATCH, inputs.USED_TO_WATCH) as lake:
        gold = Gold.at(lake.spark, moment)
        found = find(gold)
        store.publish(lake, "surveillance", moment, {shapes.OUTBREAKS: found})
        told = _told(lake.conn)
    alarms = [(row.date, row.syndrome, row.area_code) for row in found.itertuples() if row.is_alarm]
    since = gold.today - timedelta(days=NEWS_DAYS)
    return {
        "as_of": moment.isoformat(),
        "alarms": len(alarms),
        "new": [
            {"date": day.isoformat(), "syndrome": syndrome, "area_code": area_code}
            for day, syndrome, area_code in sorted(set(alarms) - told)
            if day >= since
        ],
    }


def find(gold: Gold) -> pd.DataFrame:
    """The rows of ``shapes.OUTBREAKS``, without run."""
    residents, yesterday = inputs.residents(gold), gold.today - timedelta(days=1)
    judged = [
        outbreaks.watch(counts, residents, until=yesterday).assign(syndrome=name)
        for name, counts in syndromes.counts(gold).items()
    ]
    return pd.concat([table for table in judged if len(table)] or judged[:1], ignore_index=True)


def tell(found: Mapping[str, Any]) -> int:
    """Tell the webhook, if one is set, of the alarms that are new, and note that they have been told; how many were.

    At least once: what is told and not noted, as by a run that is killed in between, is told again. Raises
    CitywellError when a webhook is set and did not take all; then none is noted. found: of :func:`surveil`.
    """
    told = alerts.heard(alerts.outbreak(**alarm) for alarm in found["new"])
    with control.connect() as conn:
        postgres.migrate(conn, "told_outbreak", _DDL)
        for alarm in found["new"]:
            conn.execute(_NOTE, (alarm["date"], alarm["syndrome"], alarm["area_code"]))
    return told


def _told(conn: control.Connection) -> set[Alarm]:
    postgres.migrate(conn, "told_outbreak", _DDL)
    rows = conn.execute("select date, syndrome, area_code from told_outbreak").fetchall()
    return {(day, syndrome, area_code) for day, syndrome, area_code in rows}
