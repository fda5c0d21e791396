"""The steps that a task or the command line calls: train forecasting models, issue forecasts, score those of the past.

Each opens the lake at the versions published now and does one thing. Each may be run again at any time, for an older
instant too: training the same series again finds its version, and a batch of forecasts that is there is not added.
A family that cannot be forecast yet stops no other; its summary says why.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_

import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from jobs.crash import crash_here
from jobs.errors import CitywellError
from jobs.lake import tables
from jobs.writeback.forecasts import newest_batches
from ml import registry
from ml.forecast import backtest, gate, models, rows, store
from ml.forecast.families import ENCOUNTER, FAMILIES, SUPERSEDED, SURROUNDINGS, Family
from ml.forecast.panel import Grain, Panel
from ml.forecast.series import panel
from ml.gate import PROMOTED, REFUSED, Decision
from ml.lake import Lake, Summary, as_json, instant, opened, written_version
from ml.registry import Version

FORECASTS = "scores.forecast"
SCORED_DAYS: Mapping[Grain, int] = {"hour": 35, "day": 35, "week": 182}
"""Forecasts are scored for targets of so many days before the instant: of five weeks, and of half a year where a target
is a week, so that there are enough of them (``ml.monitoring.forecasts.FEWEST_DATES``); ours."""

log = logging.getLogger(__name__)


def train(
    as_of: datetime | str, families: Collection[str] = tuple(FAMILIES), *, max_age_days: int | None = None
) -> dict[str, Summary]:
    """Compare models on each family as known at ``as_of``, register the chosen ones, let the gate decide; by family.

    max_age_days: leave a family alone whose champion was trained for an instant so few days before ``as_of``; after a
    rollback also until so many have passed since the version left was trained, and since the rollback itself where that
    was, by the wall clock, before ``as_of``.
    ``outcome``: promoted, refused (by the gate), unchanged (trained before), fresh (left alone), too_short (no history
    to compare on) or not_told (no table, or nothing in it).
    """
    moment = instant(as_of)
    with _lake("train forecasts") as lake, threadpool_limits(models.THREADS):
        return {family.name: _train(lake, family, moment, max_age_days) for family in _asked_for(families)}


def issue(as_of: datetime | str, families: Collection[str] = tuple(FAMILIES)) -> Summary:
    """Forecast each family that has a champion from what was known at ``as_of``; append to ``scores.forecast``.

    ``rows``: issued, by family, those that were said last already included; ``added``: rows that were not.
    ``younger``: by family, the instant its model was trained for, where that is after ``as_of``; what such a model says
    of then is no foresight, and :func:`score_past` leaves it out.
    """
    moment = instant(as_of)
    issued: dict[str, int] = {}
    without: dict[str, str] = {}
    younger: dict[str, str] = {}
    added = 0
    with _lake("issue forecasts") as lake, threadpool_limits(models.THREADS):
        for family in _asked_for(families):
            champion = registry.champion(store.model_name(family.name))
            found = None if champion is None else _panel(lake, family, moment)
            if champion is None or found is None:
                without[family.name] = "no_champion" if champion is None else "not_told"
                continue
            if store.trained_for(champion) > moment:
                younger[family.name] = champion.tags["as_of"]
            forecaster, read = store.load(champion, found), _inputs(lake, family)
            table = rows.issued(found, forecaster, moment, champion, read, issued_at=datetime.now(UTC))
            issued[family.name] = table.num_rows
            added += _append(lake, table, batch_id(family.name, moment, champion, read))
        crash_here("forecast:appended")
        version = written_version(FORECASTS) if tables.exists(FORECASTS) else None
        if version is not None:
            lake.publish("scores", f"forecast {moment.isoformat()}", {FORECASTS: version})
    return {
        "as_of": moment.isoformat(),
        "rows": issued,
        "without": without,
        "younger": younger,
        "added": added,
        "version": version,
    }


def score_past(as_of: datetime | str) -> pa.Table:
    """Figures of the forecasts whose targets came in the SCORED_DAYS before ``as_of``:
    :data:`ml.forecast.rows.MONITORED`.

    Against what is known at ``as_of``; forecasts issued after it, or by a model that was trained for an instant after
    their issue, are left out.
    """
    moment = instant(as_of)
    found = [rows.MONITORED.empty_table()]
    with _lake("score forecasts") as lake:
        if FORECASTS not in lake.versions:
            return found[0]
        issues = tables.read(lake.spark, FORECASTS, lake.versions[FORECASTS])
        past = (
            newest_batches(issues.where(F.col("issue_at") <= F.lit(moment)))
            .where(F.col("target_at") < F.lit(moment))
            .where(
                reduce(
                    or_, (_came_since(grain, moment - timedelta(days)) for grain, days in SCORED_DAYS.items())
                )
            )
            .orderBy("family", "series", "issue_at", "target_at")
            .select(rows.SCHEMA.names)
            .toArrow()
        )
        past = rows.foretold(past, store.trainings(set(past["model_name"].to_pylist())))
        for family in FAMILIES.values():
            known = _panel(lake, family, moment)
            if known is not None:
                found.append(rows.scored(past, known))
    return pa.concat_tables(found)


def _came_since(grain: Grain, since: datetime) -> Column:
    return (F.col("grain") == grain) & (F.col("target_at") >= F.lit(since))


def batch_id(family: str, as_of: datetime, version: Version, data_versions: dict[str, int]) -> str:
    """Names a batch by all that goes into it: the same means the same forecasts. In the table a number follows it, of
    how many of the issue came before."""
    digest = hashlib.sha256(as_json(data_versions).encode()).hexdigest()[:8]
    return f"{family}.{as_of:%Y%m%dT%H%M%SZ}.v{version.number}.{digest}"


def _train(lake: Lake, family: Family, moment: datetime, max_age_days: int | None) -> Summary:
    name = store.model_name(family.name)
    holder = registry.champion(name)
    if holder is not None and "gate" not in holder.tags:
        registry.set_tags(holder, {"gate": PROMOTED})
    if holder is not None and max_age_days is not None:
        reason = _freshness(holder, moment, timedelta(days=max_age_days))
        if reason is not None:
            return _outcome("fresh", reason, holder)
    known = _panel(lake, family, moment)
    if known is None:
        return _outcome("not_told", "Nothing that this family counts has been told.", None)
    key = store.training_key(known, models.FITS)
    earlier = store.find_training(family.name, key)
    if earlier is not None and "gate" in earlier.tags:
        return _outcome("unchanged", earlier.tags.get("gate_reasons", "It is the champion."), earlier)
    try:
        result = backtest.backtest(known)
    except CitywellError as error:
        return _outcome("too_short", error.what, None)
    version = earlier or store.register(
        family, known, result, as_of=moment, data_versions=_inputs(lake, family), key=key
    )
    crash_here("forecast:registered")
    decision = _promote(result, version, holder)
    test = result.test
    return {
        **_outcome(PROMOTED if decision.is_promoted else REFUSED, " ".join(decision.reasons), version),
        "kind": result.chosen,
        "series": len(known.names),
        "mase": round(test.mase.value, 4),
        "against_naive": round(test.against_naive.value, 4),
        "coverage": round(test.coverage.value, 4),
    }


def _freshness(holder: Version, moment: datetime, max_age: timedelta) -> str | None:
    """Why a family is not trained again yet; None where it is to be."""
    age = moment - store.trained_for(holder)
    if age < max_age:
        return f"Version {holder.number} was trained {age.days} days ago."
    for left in (listed.version for listed in registry.versions(holder.name)):
        at = registry.rolled_back_at(left)
        if at is None:
            continue
        since = max(store.trained_for(left), at) if at <= moment else store.trained_for(left)
        if moment - since < max_age:
            return f"Version {left.number} was rolled back at {at:%Y-%m-%d %H:%M} UTC."
    return None


def _promote(result: backtest.Backtest, version: Version, holder: Version | None) -> Decision:
    """Judge, write down why, and move the alias if it passes; the tag ``gate`` comes last, as in :mod:`ml.gate`.

    A champion without it is one of a run that was killed between the two, which the next training finishes.
    """
    number = holder.number if holder else None
    decision = gate.judge(result.test, number, holder.tags if holder else None)
    registry.set_tags(version, decision.tags())
    moved = not decision.is_promoted or registry.set_champion(version.name, version.number, instead_of=number)
    if not moved:
        raise CitywellError(
            "The champion changed while a model was being judged.",
            where=f"model {version.name}",
            do="run one training at a time, then run this one again",
        )
    crash_here("forecast:moved")
    registry.set_tags(version, {"gate": PROMOTED if decision.is_promoted else REFUSED})
    return decision


def _append(lake: Lake, table: pa.Table, batch: str) -> int:
    """Rows added: none when the newest batch of the issue is made of the same. One that was made before and followed by
    another, as before a rollback, is added again: the last counts."""
    if not table.num_rows:
        return 0
    number = 0
    if tables.exists(FORECASTS):
        family, issue_at = table["family"][0].as_py(), table["issue_at"][0].as_py()
        is_of_issue = (F.col("family") == family) & (F.col("issue_at") == F.lit(issue_at))
        issue = tables.read(lake.spark, FORECASTS).where(is_of_issue)
        newest = newest_batches(issue).select("batch_id").first()
        if newest is not None and newest[0].rpartition(".")[0] == batch:
            return 0
        number = issue.select("batch_id").distinct().count()
    name = f"{batch}.{number}"
    frame = lake.spark.createDataFrame(table, rows.COLUMNS).withColumn("batch_id", F.lit(name))
    tables.retrying(lambda: tables.append_batch(lake.spark, FORECASTS, tables.fit(frame, FORECASTS), name))
    return table.num_rows


def _panel(lake: Lake, family: Family, moment: datetime) -> Panel | None:
    if not set(family.needs) <= set(lake.inputs):
        return None
    return panel(lake.spark, family, moment, lake.inputs)


def _inputs(lake: Lake, family: Family) -> dict[str, int]:
    """Versions of the tables that a family is counted from."""
    read = {*family.needs, *SURROUNDINGS, *((SUPERSEDED,) if ENCOUNTER in family.needs else ())}
    return {table: version for table, version in sorted(lake.inputs.items()) if table in read}


def _asked_for(families: Collection[str]) -> list[Family]:
    if unknown := set(families) - set(FAMILIES):
        raise CitywellError(
            f"There is no family {', '.join(sorted(unknown))}.",
            where="forecasts",
            do=f"ask for some of {', '.join(FAMILIES)}",
        )
    return [FAMILIES[name] for name in families]


def _outcome(outcome: str, reason: str, version: Version | None) -> Summary:
    return {"outcome": outcome, "reason": reason, "model_version": version.number if version else None}


@contextmanager
def _lake(work: str) -> Iterator[Lake]:
    others = {table for family in FAMILIES.values() for table in family.needs} - {ENCOUNTER}
    with opened(work, (ENCOUNTER,), (*sorted(others), SUPERSEDED, *SURROUNDINGS)) as lake:
        yield lake
