"""Batch scoring: answer every question for everybody it asks about, and publish what is new.

May be run again at any time, for an older instant too: a score that is there already is not added.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.crash import crash_here
from jobs.errors import CitywellError
from jobs.lake import control, engine, tables
from jobs.writeback import ages
from ml import registry
from ml.features import Facts, View
from ml.lake import Lake, Summary, instant, written_version
from ml.risk import questions, scores
from ml.risk.declared import Risk
from ml.risk.issue import issue
from ml.risk.reading import of_question, open_lake, replace_slice, require_all

log = logging.getLogger(__name__)


def score(as_of: datetime | str, names: Sequence[str] | None = None) -> dict[str, Summary]:
    """Score every open case of each question that has a champion, and publish what is new: summaries by question.

    names: of questions; by default all. The features are made once for each view and published as they are now
    (``features.<view>_now``). Scores that have not expired, of cases that can no longer be asked about, are withdrawn.
    ``outcome``: scored, or no_champion. A question whose champion cannot score keeps the other scores it has and stops
    no other question: when all have been tried and what is new is published (:func:`published`), those in trouble are
    named in one CitywellError.

    A challenger scores the same cases into ``scores.shadow``, which nobody is told of; ``shadow`` of a summary says how
    many it added, or why it could not, which is no trouble of the run.
    """
    moment = instant(as_of)
    asked = [questions.load(name) for name in names or questions.names()]
    found: dict[str, Summary] = {}
    troubles: dict[str, CitywellError] = {}
    with open_lake("score") as lake:
        champions = {risk.name: registry.champion(risk.name) for risk in asked}
        facts = Facts.of(lake.spark, lake.inputs)
        versions: dict[str, int] = {}
        for view in {risk.view.name: risk.view for risk in asked if champions[risk.name]}.values():
            standing = engine.kept(view.cases.standing(facts))
            versions[view.now] = _write_now(lake, view, facts, moment, standing)
            rows = tables.read(lake.spark, view.now, versions[view.now])
            for risk in asked:
                holder = champions[risk.name]
                if risk.view.name != view.name or holder is None:
                    continue
                try:
                    found[risk.name] = _score(lake, risk, holder, rows, standing, moment)
                except CitywellError as error:
                    troubles[risk.name] = error
                    continue
                if challenger := registry.aliased(risk.name, registry.CHALLENGER):
                    found[risk.name]["shadow"] = _shadow(lake, risk, challenger, rows, moment)
        crash_here("score:appended")
        if found:
            runs = [_answered(risk, found[risk.name], moment) for risk in asked if risk.name in found]
            versions[scores.ANSWERED] = scores.write_answered(lake.spark, runs)
        if versions:
            appended = filter(tables.exists, (scores.SCORES, scores.SHADOW))
            versions |= {table: written_version(table) for table in appended}
            versions[scores.QUESTIONS] = scores.write_questions(lake.spark, questions.declared())
            lake.publish("scores", moment.isoformat(), versions)
        held = {run.target: run for run in scores.answered(lake.spark)} if troubles else {}
    if troubles:
        told = [f"{name}: {error.what} {_what_stays(held.get(name))}" for name, error in troubles.items()]
        raise CitywellError(
            "Not all questions were answered: " + "; ".join(told),
            where="; ".join(dict.fromkeys(error.where for error in troubles.values())),
            do="; ".join(dict.fromkeys(error.do for error in troubles.values())),
        )
    return {risk.name: found.get(risk.name) or _no_champion(risk, moment) for risk in asked}


def published(as_of: datetime | str) -> bool:
    """Whether a scoring for this instant has published anything, be it one that ended in trouble."""
    with control.connect() as conn:
        return control.is_published(conn, "scores", instant(as_of).isoformat())


def _write_now(lake: Lake, view: View, facts: Facts, moment: datetime, standing: DataFrame) -> int:
    """Write the features of the view's open cases as they are at ``moment``; the table's version."""
    opened = view.cases.open(facts, moment, standing).where("exclusion is null").drop("exclusion")
    opened = engine.kept(opened)
    rows = view.made(opened, facts, questions.features_of(view)).withColumn("view", F.lit(view.name))
    replace_slice(lake.spark, view.now, rows, {"view": view.name})
    version = written_version(view.now)
    written = tables.read(lake.spark, view.now, version)
    undated = written.where("starts_at is null").count()
    require_all(view, opened.count(), written.count(), undated)
    return version


def _score(
    lake: Lake, risk: Risk, holder: registry.Version, rows: DataFrame, standing: DataFrame, moment: datetime
) -> Summary:
    """Withdraw what must no longer be acted on, whether or not the champion can score; then score the question's cases
    among a view's ``rows``, and append what is new."""
    open_now = scores.opened(rows, risk)
    fallen = scores.withdrawals(lake.spark, risk, standing, open_now, moment, datetime.now(UTC))
    batch_id = scores.batch_id(risk.name, moment, holder.number, lake.inputs, fallen)
    withdrawn = scores.add(lake.spark, fallen, batch_id)
    asked = of_question(rows.where(risk.population), risk)
    issued = issue(lake, risk, holder, asked, moment, scores.SCORES)
    return {
        "question": risk.name,
        "as_of": moment.isoformat(),
        "outcome": "scored",
        "open": asked.count(),
        "added": issued.added,
        "withdrawn": withdrawn,
        "bands": dict(issued.bands),
        "model_version": holder.number,
        "version": written_version(scores.SCORES),
    }


def _answered(risk: Risk, summary: Summary, moment: datetime) -> scores.Answered:
    return scores.Answered(
        risk.name, moment, datetime.now(UTC), str(summary["model_version"]), int(str(summary["open"]))
    )


def _what_stays(last: scores.Answered | None) -> str:
    if last is None:
        return "(nobody has been scored yet)"
    age = ages.ago(datetime.now(UTC) - last.answered_at)
    return f"(the scores as of {last.as_of.isoformat()} stay; they were made {age})"


def _shadow(
    lake: Lake, risk: Risk, challenger: registry.Version, rows: DataFrame, moment: datetime
) -> Summary:
    """Append what the challenger says of the question's cases to ``scores.shadow``; or why it cannot."""
    summary: Summary = {"model_version": challenger.number}
    try:
        asked = of_question(rows.where(risk.population), risk)
        issued = issue(lake, risk, challenger, asked, moment, scores.SHADOW)
    except CitywellError as error:
        log.warning("challenger %s of %s cannot score: %s", challenger.number, risk.name, error.what)
        return {**summary, "outcome": "cannot_score", "reason": error.what}
    return {**summary, "outcome": "scored", "added": issued.added}


def _no_champion(risk: Risk, moment: datetime) -> Summary:
    return {
        "question": risk.name,
        "as_of": moment.isoformat(),
        "outcome": "no_champion",
        "reason": "No model has passed the gate yet, so nobody is scored.",
    }
