"""Syndromic surveillance as a task or the command line calls it: watch for outbreaks, day after day, publish
``gold.mining_outbreaks``, and tell whose turn it is to look into them.

Every run judges all days anew, each by what was known at its end, so that a run for the same instant gives the same
rows and a day that no run was made on is judged as it would have been.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
from pyspark.sql import functions as F

from jobs import alerts
from ml.lake import Lake, Summary, instant, opened
from ml.mining import inputs, outbreaks, shapes, store, syndromes
from ml.mining.inputs import Gold

NEEDED = ("gold.dim_person", "gold.fct_encounter", "gold.fct_condition")
USED_WHERE_THERE = (
    *(inputs.SUPERSEDED.format(table) for table in NEEDED[1:]),
    shapes.OUTBREAKS.table,
)
NEWS_DAYS = 7
"""Alarms of days before these are history, and told to nobody: the first run of a city judges years."""


def surveil(as_of: datetime | str) -> Summary:
    """Judge every day up to the one before ``as_of``, publish ``shapes.OUTBREAKS``, and sum up.

    ``new``: date, syndrome and area_code of the alarms of days that no other run has judged, the oldest first. Raises
    CitywellError when gold has not been published.
    """
    moment = instant(as_of)
    with opened("surveillance", NEEDED, USED_WHERE_THERE) as lake:
        gold = Gold.at(lake.spark, moment)
        found = find(gold)
        since = max(_judged_until(lake, moment), gold.today - timedelta(days=NEWS_DAYS + 1))
        store.publish(lake, "surveillance", moment, {shapes.OUTBREAKS: found})
    alarms = [(row.date, row.syndrome, row.area_code) for row in found.itertuples() if row.is_alarm]
    return {
        "as_of": moment.isoformat(),
        "alarms": len(alarms),
        "new": [
            {"date": day.isoformat(), "syndrome": syndrome, "area_code": area_code}
            for day, syndrome, area_code in sorted(alarms)
            if day > since
        ],
    }


def find(gold: Gold) -> pd.DataFrame:
    """The rows of ``shapes.OUTBREAKS``, without run."""
    residents = inputs.residents(gold)
    judged = [
        outbreaks.watch(counts, residents).assign(syndrome=name)
        for name, counts in syndromes.counts(gold).items()
    ]
    return pd.concat([table for table in judged if len(table)] or judged[:1], ignore_index=True)


def tell(found: Mapping[str, Any]) -> int:
    """Tell the webhook, if one is set, of the alarms that are new; how many were told. At least once: a further run for
    the same instant tells them again. found: of :func:`surveil`."""
    return alerts.heard(alerts.outbreak(**alarm) for alarm in found["new"])


def _judged_until(lake: Lake, moment: datetime) -> date:
    """The last day that a published run for another instant has judged."""
    if shapes.OUTBREAKS.table not in lake.inputs:
        return date.min
    others = lake.spark.table(shapes.OUTBREAKS.table).where(F.col("run_id") != store.run_id(moment))
    [row] = others.agg(F.max("date").alias("until")).collect()
    return row["until"] or date.min
