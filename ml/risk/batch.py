"""Batch scoring: answer every question for everybody it asks about, and publish what is new.

May be run again at any time, for an older instant too: a score that is there already is not added.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.crash import crash_here
from jobs.errors import CitywellError
from jobs.lake import engine, tables
from ml import registry, scoring
from ml.features import Facts, View
from ml.lake import Lake, Summary, instant, written_version
from ml.risk import questions, scores
from ml.risk.declared import Risk
from ml.risk.reading import of_question, open_lake, require_all


def score(as_of: datetime | str, names: Sequence[str] | None = None) -> dict[str, Summary]:
    """Score every open case of each question that has a champion, and publish what is new: summaries by question.

    names: of questions; by default all. The features are made once for each view and published as they are now
    (``features.<view>_now``). Scores that have not expired, of cases that can no longer be asked about, are withdrawn.
    ``outcome``: scored, or no_champion. A question whose champion cannot score keeps the scores it has and stops no
    other: when all have been tried, those in trouble are named in one CitywellError.
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
            rows = engine.kept(tables.read(lake.spark, view.now, versions[view.now]))
            for risk in asked:
                holder = champions[risk.name]
                if risk.view.name != view.name or holder is None:
                    continue
                try:
                    found[risk.name] = _score(lake, risk, holder, rows, standing, moment)
                    versions[scores.SCORES] = written_version(scores.SCORES)
                except CitywellError as error:
                    troubles[risk.name] = error
        crash_here("score:appended")
        if versions:
            versions[scores.QUESTIONS] = scores.write_questions(lake.spark, questions.declared())
            lake.publish("scores", moment.isoformat(), versions)
    if troubles:
        raise CitywellError(
            "Not all questions were answered: " + "; ".join(f"{n}: {e.what}" for n, e in troubles.items()),
            where="; ".join(dict.fromkeys(error.where for error in troubles.values())),
            do="; ".join(dict.fromkeys(error.do for error in troubles.values())),
        )
    return {risk.name: found.get(risk.name) or _no_champion(risk, moment) for risk in asked}


def _write_now(lake: Lake, view: View, facts: Facts, moment: datetime, standing: DataFrame) -> int:
    """Write the features of the view's open cases as they are at ``moment``; the table's version."""
    opened = view.cases.open(facts, moment, standing).where("exclusion is null").drop("exclusion")
    opened = engine.kept(opened)
    rows = view.made(opened, facts, questions.features_of(view)).withColumn("view", F.lit(view.name))
    tables.retrying(lambda: tables.replace_slice(lake.spark, view.now, rows, {"view": view.name}))
    version = written_version(view.now)
    written = tables.read(lake.spark, view.now, version)
    undated = written.where("starts_at is null").count()
    require_all(view, opened.count(), written.count(), undated)
    return version


def _score(
    lake: Lake, risk: Risk, holder: registry.Version, rows: DataFrame, standing: DataFrame, moment: datetime
) -> Summary:
    """Score the question's cases among a view's ``rows``, and append what is new."""
    model = registry.load(holder)
    asked = of_question(rows.where(risk.population), risk)
    unsaid = (
        scores.unsaid(lake.spark, risk, asked, holder.number, moment).orderBy("source", "case_key").toArrow()
    )
    scored_at = datetime.now(UTC)
    chunks = scoring.score(
        model,
        risk.question,
        unsaid,
        data_versions=lake.inputs,
        scored_at=scored_at,
        valid_days=risk.valid_days or risk.horizon_days,
    )
    found = pa.concat_tables([scoring.RISK_SCHEMA.empty_table(), *chunks])
    withdrawn = scores.withdrawals(lake.spark, risk, standing, moment, scored_at)
    batch_id = scores.batch_id(risk.name, moment, holder.number, lake.inputs)
    added, version = scores.add(lake.spark, found, withdrawn, batch_id)
    bands = pc.value_counts(found["band"]).to_pylist()
    open_cases = asked.count()
    return {
        "question": risk.name,
        "as_of": moment.isoformat(),
        "outcome": "scored",
        "open": open_cases,
        "added": added["active"],
        "withdrawn": added["withdrawn"],
        "bands": {item["values"]: item["counts"] for item in bands},
        "model_version": holder.number,
        "version": version,
    }


def _no_champion(risk: Risk, moment: datetime) -> Summary:
    return {
        "question": risk.name,
        "as_of": moment.isoformat(),
        "outcome": "no_champion",
        "reason": "No model has passed the gate yet, so nobody is scored.",
    }
