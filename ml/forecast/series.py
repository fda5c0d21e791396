"""The series of a family, counted by the engine as they were known at an instant.

A period without an event is a count of 0 from the teller's first period to its last complete one: over by the instant
of the issue, and by the teller's newest delivery (``known_from``). It is a gap, and tells nothing, where the teller
told nothing of *any* kind in it although it usually tells so much that silence has a chance under one in a thousand
(SILENCE_MEAN; Poisson). Hours are heard by the day, and a day that is not over by what is usually told by its hour.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession

from jobs.sources import load_all
from ml.forecast.families import DISTRICTS, EXOGENOUS, SECTORS, SUPERSEDED, Family
from ml.forecast.panel import OTHER, STEP, Grain, Panel, hierarchy, summed

SILENCE_MEAN = 6.9
"""exp(-6.9) = 0.001: who tells more than this of a period, on average, is not silent by chance."""
USUAL_PERIODS = 28
"""Days or weeks with anything told that say how much is usual."""
LEAST_A_YEAR = 52
"""A series with fewer counts in its last 364 days is forecast together with others of its kind (OTHER)."""
WARDED_SHARE = 0.9
"""Wards are a level of their own where at least this share of what is counted names one."""
UNSEEN_DAYS = 30
"""Stays that began before a hospital's first record are not seen, so its occupancy is known from so many days after it:
by then nearly all of them have ended (average stay 7.7 days: OECD, Health at a Glance 2023)."""
NOT_BEGUN, GAP, HEARD = -1, 0, 1

Path = tuple[str, ...]


def panel(spark: SparkSession, family: Family, as_of: datetime, tables: Collection[str]) -> Panel | None:
    """The series of ``family`` as known at ``as_of``; None where nothing is counted yet.

    tables: those registered in the session. The last period is the newest that is complete for any teller; one that
    has told less has gaps at the end.
    """
    known = family.known.replace("{as_of}", f"timestamp '{as_of:%Y-%m-%d %H:%M:%S.%f}'")
    none = f"(select *, cast(null as timestamp) as superseded_at from {family.needs[0]} where false)"  # noqa: S608
    known = known.replace("{superseded}", SUPERSEDED if SUPERSEDED in tables else none)
    spark.sql(known).createOrReplaceTempView("known")
    told, events = _rows(spark, family.told), _rows(spark, family.events)
    until = _complete_until(spark, family.grain, as_of)
    if family.dated_by is not None:
        first, end = _span(spark, family.dated_by)
        told, events = _within(told, first, end), _within(events, first, end)
        until = {source: min(moment, end) for source, moment in until.items()}
    if told.empty or events.empty:
        return None
    starts = _starts(family.grain, told["at"], max(until.values()))
    if not len(starts):
        return None
    heard = _heard(family, told, until, starts)
    levels = _levels(family, events)
    events = _pooled(events, levels, starts)
    bottoms = _bottoms(events, levels, heard, starts, is_stock=family.is_stock)
    names, level_of, summing = hierarchy(list(bottoms), levels)
    values = summed(np.stack(list(bottoms.values())), summing)
    around = _surroundings(spark, family.grain, as_of, starts, tables)
    return Panel(family.name, family.grain, names, level_of, starts, values, summing, around, EXOGENOUS)


def _rows(spark: SparkSession, query: str) -> pd.DataFrame:
    """Rows of a query, instants as naive UTC."""
    found = spark.sql(query).toArrow().to_pandas()
    zoned = found.select_dtypes("datetimetz").columns
    return found.assign(**{name: found[name].dt.tz_convert("UTC").dt.tz_localize(None) for name in zoned})


def _complete_until(spark: SparkSession, grain: Grain, as_of: datetime) -> dict[str, np.datetime64]:
    """By source: what lies before is over, by its newest delivery and by ``as_of``. Local midnight; UTC for hours."""
    newest = _rows(spark, "select source, max(known_from) as known_from from known group by source")
    zones = {e.name: e.time_zone for source in load_all().values() for e in source.endpoints.values()}
    found = {}
    for source, known_from in zip(newest["source"], newest["known_from"], strict=True):
        instant = min(pd.Timestamp(known_from).tz_localize("UTC"), pd.Timestamp(as_of))
        if grain != "hour":
            instant = instant.tz_convert(zones.get(source, "UTC")).normalize()
        found[source] = np.datetime64(instant.tz_localize(None), "s")
    return found


def _span(spark: SparkSession, table: str) -> tuple[np.datetime64, np.datetime64]:
    """First day of a table by ``date``, and the day after its last; NaT where it is empty."""
    days = _rows(spark, f"select min(date) as first, max(date) as last from {table}").iloc[0]  # noqa: S608
    first, last = pd.to_datetime(days).to_numpy().astype("datetime64[s]")
    return first, last + np.timedelta64(1, "D")


def _within(rows: pd.DataFrame, first: np.datetime64, end: np.datetime64) -> pd.DataFrame:
    at = pd.to_datetime(rows["at"])
    return rows[(at >= first) & (at < end)].reset_index(drop=True)


def _starts(grain: Grain, told: pd.Series, until: np.datetime64) -> np.ndarray:
    """Starts of all complete periods from the first that anything is told of; hours from its day's first."""
    first = _floored(pd.to_datetime(told).to_numpy().astype("datetime64[s]"), _heard_by(grain)).min()
    starts = np.arange(first, until, STEP[grain])
    return starts[starts + STEP[grain] <= until]


def _floored(moments: np.ndarray, grain: Grain) -> np.ndarray:
    """Start of the period of each moment; weeks begin on Monday."""
    if grain == "hour":
        return moments.astype("datetime64[h]").astype("datetime64[s]")
    days = moments.astype("datetime64[D]")
    if grain == "week":
        days = days - (days.astype(np.int64) + 3) % 7
    return days.astype("datetime64[s]")


def _places(at: pd.Series, grain: Grain, starts: np.ndarray) -> np.ndarray:
    """Index of the period of each moment; may lie outside."""
    moments = pd.to_datetime(at).to_numpy().astype("datetime64[s]")
    return (_floored(moments, grain) - starts[0]) // STEP[grain]


def _heard_by(grain: Grain) -> Grain:
    """Hours are heard by the day."""
    return "day" if grain == "hour" else grain


def _heard(
    family: Family, told: pd.DataFrame, until: Mapping[str, np.datetime64], starts: np.ndarray
) -> dict[str, np.ndarray]:
    """By teller: NOT_BEGUN, GAP or HEARD of each period."""
    grain = _heard_by(family.grain)
    heard = np.unique(_floored(starts, grain))
    place = _places(told["at"], grain, heard)
    found = {}
    for (source, teller), rows in told.groupby(["source", "teller"]):
        share = np.ones(len(heard))
        if family.grain == "hour":
            is_over = heard + STEP["day"] <= until[source]
            share[~is_over] = _share_by_hour(rows, pd.Timestamp(until[source]).hour)
        state = _silences(_amounts(rows["n"], place[rows.index], len(heard)), share)
        state = state[np.searchsorted(heard, _floored(starts, grain))]
        state[(starts + STEP[family.grain] > until[source]) & (state == HEARD)] = GAP
        found[str(teller)] = state
    return found


def _share_by_hour(told: pd.DataFrame, hour: int) -> float:
    """How much of what one teller tells of a day is of the time before this hour: in its newest USUAL_PERIODS days."""
    at = pd.to_datetime(told["at"])
    lately = at > at.max() - pd.Timedelta(days=USUAL_PERIODS)
    return float(told["n"][lately & (at.dt.hour < hour)].sum() / told["n"][lately].sum())


def _silences(amount: np.ndarray, share: np.ndarray) -> np.ndarray:
    """NOT_BEGUN before the first period with anything told, GAP where silence is not chance, else HEARD.

    share: of what is usual in a period, how much is due by now; 1 where it is over.
    """
    spoken = np.flatnonzero(amount > 0)
    if not spoken.size:
        return np.full(len(amount), NOT_BEGUN)
    usual = pd.Series(amount[spoken]).rolling(USUAL_PERIODS, min_periods=1).mean().to_numpy()
    before = np.searchsorted(spoken, np.arange(len(amount)), side="right") - 1
    due = share * usual[np.maximum(before, 0)]
    is_silent = (amount == 0) & (before >= 0) & (due > SILENCE_MEAN)
    return np.where(before < 0, NOT_BEGUN, np.where(is_silent, GAP, HEARD))


def _amounts(n: pd.Series, place: np.ndarray, periods: int) -> np.ndarray:
    """Sum of ``n`` in each period; what lies outside is left out."""
    is_in = (place >= 0) & (place < periods)
    found = np.zeros(periods)
    np.add.at(found, place[is_in], n.to_numpy()[is_in])
    return found


def _levels(family: Family, events: pd.DataFrame) -> Path:
    """Levels of the family's hierarchy, without wards where too little names one."""
    if "ward" not in family.levels:
        return family.levels
    counted = events["n"].abs()
    is_warded = float(counted[events["ward"].notna()].sum()) >= WARDED_SHARE * float(counted.sum())
    return family.levels if is_warded else tuple(level for level in family.levels if level != "ward")


def _pooled(events: pd.DataFrame, levels: Path, starts: np.ndarray) -> pd.DataFrame:
    """``events`` with the last part of rare paths replaced by OTHER."""
    events = events.assign(**{level: events[level].fillna(OTHER).astype(str) for level in levels})
    moments = pd.to_datetime(events["at"]).to_numpy().astype("datetime64[s]")
    lately = events[(moments > starts[-1] - np.timedelta64(364, "D")) & (events["n"] > 0).to_numpy()]
    often = lately.groupby(list(levels))["n"].sum()
    kept = set(often[often >= LEAST_A_YEAR].index)
    keys = list(zip(*(events[level] for level in levels), strict=True))
    is_rare = [(key if len(levels) > 1 else key[0]) not in kept for key in keys]
    return events.assign(**{levels[-1]: events[levels[-1]].where(~np.array(is_rare), OTHER)})


def _bottoms(
    events: pd.DataFrame, levels: Path, heard: Mapping[str, np.ndarray], starts: np.ndarray, *, is_stock: bool
) -> dict[Path, np.ndarray]:
    """By path, in order: the values of each period, NaN where a teller of it has a gap or none has begun."""
    grain = next(name for name, step in STEP.items() if len(starts) < 2 or starts[1] - starts[0] == step)
    place = _places(events["at"], grain, starts)
    found = {}
    for key, rows in events.reset_index(drop=True).groupby(list(levels)):
        values = _amounts(rows["n"], place[rows.index], len(starts))
        states = np.stack([heard[str(teller)] for teller in rows["teller"].unique()])
        is_known = (states != GAP).all(axis=0) & (states == HEARD).any(axis=0)
        if is_stock:
            values = np.cumsum(values)
            begun = np.flatnonzero(is_known)
            is_known[: (begun[0] if begun.size else 0) + UNSEEN_DAYS] = False
        found[tuple(map(str, key))] = np.where(is_known, values, np.nan)
    return found


def _surroundings(
    spark: SparkSession, grain: Grain, as_of: datetime, starts: np.ndarray, tables: Collection[str]
) -> np.ndarray:
    """(periods, EXOGENOUS): means of the city's days that were over at ``as_of``, NaN where nothing is told.

    Of a week the mean of its days; of an hour the day before, the newest that was over then.
    """
    found = np.full((len(starts), len(EXOGENOUS)), np.nan)
    for column, (name, table, query) in enumerate(_CITY_DAYS):
        if table not in tables:
            continue
        rows = _rows(spark, query.replace("{until}", f"date '{as_of:%Y-%m-%d}'"))
        days = pd.to_datetime(rows["date"]).to_numpy().astype("datetime64[D]")
        values = pd.Series(rows[name].to_numpy(dtype=float), index=days).dropna()
        if grain == "week":
            values = values.groupby(_floored(values.index.to_numpy(), "week")).mean()
        wanted = starts - np.timedelta64(1, "D") if grain == "hour" else starts
        wanted = _floored(wanted, "week" if grain == "week" else "day")
        found[:, column] = values.reindex(pd.DatetimeIndex(wanted)).to_numpy()
    return found


_CITY_DAYS = tuple(
    (
        name,
        table,
        f"select date, {measure} as {name} from {table} where {rows} and date < {{until}} group by date",  # noqa: S608
    )
    for name, table, measure, rows in (
        (EXOGENOUS[0], DISTRICTS, f"round(avg({EXOGENOUS[0]}), 3)", "kind = 'district'"),
        (EXOGENOUS[1], DISTRICTS, f"round(avg({EXOGENOUS[1]}), 3)", "kind = 'district'"),
        (EXOGENOUS[2], DISTRICTS, f"sum({EXOGENOUS[2]})", "kind = 'district'"),
        (EXOGENOUS[3], SECTORS, f"round(avg({EXOGENOUS[3]}), 4)", "true"),
    )
)
