"""Monitoring: the step that a task or the command line calls.

Opens the lake at the versions published now, measures, publishes ``quality.monitoring`` and ``quality.alert_outcome``,
and says which questions are to be trained again. May be run again at any time, for an older instant too: it replaces
what it said of that instant.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import alerts
from jobs.crash import crash_here
from jobs.lake import engine, tables
from ml import registry
from ml.checks import MOST_OF_BUDGET
from ml.features import Facts
from ml.forecast import pipeline as forecast_pipeline
from ml.forecast.families import DERIVED, FAMILIES
from ml.forecast.store import model_name
from ml.lake import Lake, Summary, instant, written_version
from ml.metrics import wilson
from ml.monitoring import asking, decay, drift, fate, figures, forecasts, outcomes, page, reference, words
from ml.monitoring.figures import ALL, Figure
from ml.monitoring.profile import PROBABILITY, Profile
from ml.risk import meaning, questions, scores
from ml.risk.declared import Risk
from ml.risk.reading import open_lake
from ml.scoring import ACTIVE
from ml.tracking import Version

log = logging.getLogger(__name__)

FORECASTS = "forecasts"
"""What the summary calls all forecasts together."""

_SCORINGS = "select run_id, (tables ->> %s)::bigint from publication where kind = 'scores' and tables ? %s order by id"


@dataclass(frozen=True)
class Seen:
    """What was found of a question. unseen: figures on data that its newest training has not seen."""

    champion: Version
    newest: asking.Training
    figures: tuple[Figure, ...]
    unseen: tuple[Figure, ...]


def monitor(as_of: datetime | str) -> dict[str, Summary]:
    """Measure every question that has a champion, and the forecasts; publish; summaries by question, and one of
    ``forecasts``.

    ``outcome``: monitored, no_champion, or failed where the champion cannot be loaded or features no longer mean what
    it has learnt (the others go on; ``words`` say why). ``crossed``: how many figures crossed their lines; ``words``:
    which; ``is_new``: whether any of them had not in the run for the instant before; ``is_asked``: whether the question
    is to be trained again (``asking``); ``newest_training``: the instant of its newest.
    """
    moment = instant(as_of)
    past = forecasts.judged(forecast_pipeline.score_past(moment), forecasts.promised(_forecast_models()))
    measured: list[Figure] = list(past)
    found: dict[str, Summary] = {}
    with open_lake("monitor") as lake:
        facts = Facts.of(lake.spark, lake.inputs)
        held = _Held.of(lake, moment)
        for risk in questions.declared():
            champion = registry.champion(risk.name)
            if champion is None:
                found[risk.name] = {"outcome": "no_champion"}
                continue
            try:
                seen = _seen(lake, facts, risk, champion, moment, is_latest=held.is_latest)
            except registry.UnusableModel as error:
                found[risk.name] = {"outcome": "failed", "words": error.what}
                continue
            measured += seen.figures
            labels = {feature.name: feature.label for feature in risk.question.features}
            found[risk.name] = _summary(seen.figures, labels, held) | {
                "is_asked": asking.is_asked(seen.newest, seen.unseen, moment),
                "model_version": champion.number,
                "newest_training": seen.newest.as_of.isoformat(),
            }
        found[FORECASTS] = _summary(past, {}, held) | {"is_asked": False}
        _publish(lake, measured, moment)
    return {name: {"as_of": moment.isoformat(), **summary} for name, summary in found.items()}


def tell(found: Mapping[str, Summary]) -> int:
    """Tell the webhook, if one is set, what has newly crossed a line or is to be trained again; how many were told.

    At least once: a further run for the same instant tells it again, whether the one before was killed before it told
    or not; so what is new of a day may be told for its scores and for its forecasts. found: of :func:`monitor`. Raises
    CitywellError when a webhook is set and did not take all.
    """
    told = []
    for name, summary in found.items():
        if summary.get("is_new") or summary.get("is_asked"):
            log.warning("%s: %s", name, summary["words"])
            told.append(alerts.drifted(name, str(summary["words"]), is_asked=bool(summary["is_asked"])))
    return alerts.heard(told)


def write_pages(as_of: datetime | str) -> list[str]:
    """Write the Evidently report of each question whose features can be compared with what its champion has learnt;
    their names."""
    moment = instant(as_of)
    written = []
    with open_lake("drift reports") as lake:
        for risk in questions.declared():
            champion = registry.champion(risk.name)
            if champion is None or meaning.changed(risk, champion):
                continue
            compared = _compared(lake, risk, champion, moment)
            if compared is not None:
                page.write(risk, *compared)
                written.append(risk.name)
    return written


@dataclass(frozen=True)
class _Held:
    """What ``quality.monitoring`` has already. crossed: (target, kind, subject, metric) of what had crossed its line in
    the run for the instant before: an earlier one for this instant may have been killed before it told. is_latest: none
    was for a later instant."""

    crossed: frozenset[tuple[str, str, str, str]]
    is_latest: bool

    @classmethod
    def of(cls, lake: Lake, moment: datetime) -> _Held:
        if figures.TABLE not in lake.versions:
            return cls(frozenset(), True)
        rows = tables.read(lake.spark, figures.TABLE, lake.versions[figures.TABLE])
        instants = {row[0].replace(tzinfo=UTC) for row in rows.select("as_of").distinct().collect()}
        is_latest = all(at <= moment for at in instants)
        before = max((at for at in instants if at < moment), default=None)
        if before is None:
            return cls(frozenset(), is_latest)
        crossed = rows.where(F.col("is_crossed") & (F.col("as_of") == F.lit(before)))
        keys = crossed.select("target", "kind", "subject", "metric").collect()
        return cls(frozenset(map(tuple, keys)), is_latest)


def _seen(
    lake: Lake, facts: Facts, risk: Risk, champion: Version, moment: datetime, *, is_latest: bool
) -> Seen:
    newest = asking.newest_training(risk.name) or asking.Training.of(champion)
    measured = _moved(lake, risk, champion, moment)
    is_newest = newest.version is not None and newest.version.number == champion.number
    unseen = measured if is_newest else _moved_since(lake, risk, newest, moment)
    if any(figure.is_crossed for figure in unseen):
        has_more = asking.has_more_cases(risk, facts, newest.as_of, moment)
        unseen = unseen if has_more else []
    if scores.SCORES not in lake.versions:
        return Seen(champion, newest, tuple(measured), tuple(unseen))
    issued = outcomes.issued(lake.spark, risk, lake.versions[scores.SCORES], moment)
    came = engine.kept(outcomes.came_to_pass(issued, facts, risk, moment))
    known = outcomes.matured(came, moment)
    promised = decay.promise(champion)
    told = [
        figure
        for number, cases in known.groupby("model_version", sort=True)
        for figure in _performance(risk, str(number), cases, promised)
    ]
    since = pd.Timestamp(newest.as_of)
    is_unseen = (known["model_version"] == champion.number) & (known["ends_at"] > since)
    fates = fate.became(fate.alerts(issued), came, facts, moment)
    if is_latest:
        rows = fates.select(*fate.COLUMNS)
        tables.retrying(lambda: tables.replace_slice(lake.spark, fate.TABLE, rows, {"target": risk.name}))
    return Seen(
        champion,
        newest,
        (
            *measured,
            *(_judged_of(champion, figure) for figure in told),
            *fate.figures(fates, risk.name, moment),
        ),
        (*unseen, *_performance(risk, champion.number, known[is_unseen], promised)),
    )


def _moved(lake: Lake, risk: Risk, version: Version, moment: datetime) -> list[Figure]:
    """How features, and probabilities of ``version`` that stand, have moved since its training."""
    compared = _compared(lake, risk, version, moment)
    if compared is None:
        return []
    before, after = compared
    features = {n: column for n, column in after.columns.items() if n != PROBABILITY.name}
    said = {n: column for n, column in after.columns.items() if n == PROBABILITY.name}
    return [
        *drift.judged("input_drift", risk.name, version.number, before, replace(after, columns=features)),
        *drift.judged("prediction_drift", risk.name, version.number, before, replace(after, columns=said)),
        *_alert_share(_standing(lake, risk, version, moment), risk, version),
    ]


def _moved_since(lake: Lake, risk: Risk, training: asking.Training, moment: datetime) -> list[Figure]:
    """:func:`_moved` since a training; features alone where it came to no model, nothing where they have changed in
    meaning."""
    if training.version is not None:
        return [] if meaning.changed(risk, training.version) else _moved(lake, risk, training.version, moment)
    made = _scored_last(lake, risk.view.now, moment)
    before = None if made is None else reference.of_build(lake, risk, training.as_of)
    if made is None or before is None:
        return []
    return drift.judged("input_drift", risk.name, None, before, _asked(lake, risk, made, before))


def _compared(lake: Lake, risk: Risk, version: Version, moment: datetime) -> tuple[Profile, Profile] | None:
    """What the training of ``version`` saw, and what was scored last up to ``moment``: features, and the probabilities
    of ``version`` that stand. None where there is nothing to compare."""
    made = _scored_last(lake, risk.view.now, moment)
    before = None if made is None else reference.of_version(lake, risk, version)
    if made is None or before is None:
        return None
    after = _asked(lake, risk, made, before)
    said = reference.said(_standing(lake, risk, version, moment), before, made[0])
    return before, replace(after, columns={**after.columns, **said.columns})


def _asked(lake: Lake, risk: Risk, made: tuple[datetime, int], like: Profile) -> Profile:
    """The features of a scoring that :func:`_scored_last` found, in the bins of ``like``."""
    made_for, at = made
    return reference.now(risk, tables.read(lake.spark, risk.view.now, at), like, made_for)


def _scored_last(lake: Lake, table: str, moment: datetime) -> tuple[datetime, int] | None:
    """The instant of the last scoring up to ``moment`` and the version of the view's features of it; None where there
    was none, or where a scoring for a later instant has taken its place."""
    made = [(datetime.fromisoformat(run), at) for run, at in lake.conn.execute(_SCORINGS, (table, table))]
    up_to = [found for found in made if found[0] <= moment]
    if not up_to or max(up_to)[1] != lake.versions[table]:
        return None
    return max(up_to)


def _standing(lake: Lake, risk: Risk, version: Version, moment: datetime) -> DataFrame:
    """The scores of ``version`` that hold at ``moment``, one per case."""
    made = tables.read(lake.spark, scores.SCORES, lake.versions[scores.SCORES])
    is_said = (F.col("target") == risk.name) & (scores.issued_at() <= F.lit(moment))
    holds = (F.col("status") == ACTIVE) & (F.col("expires_at") > F.lit(moment))
    return scores.newest(made.where(is_said)).where(holds & (F.col("model_version") == version.number))


def _alert_share(standing: DataFrame, risk: Risk, version: Version) -> list[Figure]:
    """How many of the scores that hold are alerts, against what the gate allows of the alert budget."""
    [(cases, over)] = standing.agg(F.count("*"), F.sum(F.col("is_alert").cast("bigint"))).collect()
    if not cases:
        return []
    low, high = wilson(over, cases)
    line = MOST_OF_BUDGET * risk.alert_budget
    return [
        Figure(
            "prediction_drift", risk.name, version.number, ALL, "alert_share", over / cases, cases,
            low=low, high=high, line=line, is_crossed=low > line,
        )
    ]  # fmt: skip


def _performance(risk: Risk, number: str, cases: pd.DataFrame, promised: decay.Promise) -> list[Figure]:
    return decay.performance(
        risk.name,
        number,
        cases["label"].to_numpy(dtype=float),
        cases["probability"].to_numpy(),
        cases["person_now"].to_numpy(),
        promised,
    )


def _judged_of(champion: Version, figure: Figure) -> Figure:
    """Only the champion's figures have lines: what an earlier one promised nobody asks any more."""
    if figure.model_version == champion.number:
        return figure
    return replace(figure, line=None, is_crossed=False)


def _summary(found: Sequence[Figure], labels: Mapping[str, str], held: _Held) -> Summary:
    crossed: set[tuple[str, str, str, str]] = {
        (f.target, f.kind, f.subject, f.metric) for f in found if f.is_crossed
    }
    return {
        "outcome": "monitored",
        "figures": len(found),
        "crossed": len(crossed),
        "is_new": bool(crossed - held.crossed),
        "words": words.crossed(found, labels),
    }


def _publish(lake: Lake, measured: Sequence[Figure], moment: datetime) -> None:
    rows = lake.spark.createDataFrame(figures.as_table(measured, moment, datetime.now(UTC)), figures.COLUMNS)
    tables.retrying(lambda: tables.replace_slice(lake.spark, figures.TABLE, rows, {"as_of": moment}))
    crash_here("monitor:written")
    written = [table for table in (figures.TABLE, fate.TABLE) if tables.exists(table)]
    lake.publish("quality", f"monitor {moment.isoformat()}", {t: written_version(t) for t in written})
    crash_here("monitor:published")


def _forecast_models() -> dict[str, str]:
    """Model of forecasts as their figures name it -> the family whose champion makes them."""
    of = {name: name for name in FAMILIES} | {rule.name: rule.of for rule in DERIVED.values()}
    return {model_name(name): family for name, family in of.items()}
