"""What the City report tells of the risk questions, and of how forecasts are made: read from MLflow."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from infra.report.model import Against, Estimate, Forecaster, Group, Model, Question, ReliabilityBin
from jobs.errors import CitywellError
from ml import refusals, registry
from ml.aliases import CHAMPION, Listed
from ml.forecast import store
from ml.forecast.families import FAMILIES, Family
from ml.risk import questions as declared
from ml.risk.declared import Risk
from ml.tracking import Version, connected

log = logging.getLogger(__name__)

EVALUATION = "evaluation.json"
UNTRAINED = "No training has been run for it."
NOT_JUDGED = "The gate has not judged it yet."


def questions() -> tuple[Question, ...]:
    """Every declared question, in the order of their names; empty, and logged, where MLflow does not answer."""
    try:
        return tuple(_question(risk) for risk in declared.declared())
    except CitywellError as error:
        log.warning("the models are not in the report: %s", error.what)
        return ()


def forecasters() -> tuple[Forecaster, ...]:
    """Every declared family of forecasts, in the order of declaration; empty, and logged, where MLflow does not
    answer."""
    try:
        return tuple(_forecaster(family) for family in FAMILIES.values())
    except CitywellError as error:
        log.warning("how forecasts are made is not in the report: %s", error.what)
        return ()


def _forecaster(family: Family) -> Forecaster:
    versions = registry.versions(store.model_name(family.name))
    champion = next((item.version for item in versions if CHAMPION in item.aliases), None)
    tags = {} if champion is None else champion.tags
    return Forecaster(
        title=family.title,
        version=None if champion is None else champion.number,
        kind=tags.get("kind"),
        naive=tags.get("test_naive"),
        against_naive=_tested(tags, "against_naive"),
        mase=_tested(tags, "mase"),
        coverage=_tested(tags, "coverage"),
        reason=verdict_of(versions, None)[1],
    )


def _tested(tags: Mapping[str, str], name: str) -> Estimate | None:
    """A figure of a forecasting model's test, as ``ml.forecast.gate.tags`` writes it."""
    found = [tags.get(f"test_{name}{end}") for end in ("", "_low", "_high")]
    value, low, high = (None if text is None else float(text) for text in found)
    return None if value is None else Estimate(value, low, high)


def _question(risk: Risk) -> Question:
    versions = registry.versions(risk.name)
    champion = next((item.version for item in versions if CHAMPION in item.aliases), None)
    verdict, reason = verdict_of(versions, refusals.newest(risk.name))
    return Question(
        name=risk.name,
        title=risk.title,
        model=None if champion is None else _evaluated(champion),
        verdict=verdict,
        reason=reason,
        labels={feature.name: feature.label for feature in risk.question.features},
    )


def verdict_of(versions: list[Listed], refusal: refusals.Refused | None) -> tuple[str, str]:
    """What became of the training for the newest instant, and why, in words. versions: the newest first."""
    newest = versions[0].version if versions else None
    trained_for = datetime.fromisoformat(newest.tags["as_of"]) if newest else None
    if refusal is not None and (trained_for is None or refusal.as_of > trained_for):
        return "too_few", refusal.reason
    if newest is None:
        return "untrained", UNTRAINED
    return newest.tags.get("gate", "not judged"), newest.tags.get("gate_reasons", NOT_JUDGED)


def _evaluated(version: Version) -> Model:
    with connected(None) as mlflow:
        evaluation = json.loads(mlflow.artifacts.load_text(f"runs:/{version.run_id}/{EVALUATION}"))
        client = mlflow.MlflowClient()
        experiment = client.get_run(version.run_id).info.experiment_id
        children = client.search_runs(
            [experiment], f"tags.mlflow.parentRunId = '{version.run_id}'", max_results=100
        )
    compared: dict[str, float] = {}
    for child in children:
        family, value = child.data.params.get("family", ""), child.data.metrics.get("cv_auroc")
        if family and value is not None:
            compared[family] = max(value, compared.get(family, 0.0))
    return parse_model(version.name, version.number, version.tags, evaluation, compared)


def parse_model(
    name: str,
    version: str,
    tags: Mapping[str, str],
    evaluation: Mapping[str, Any],
    compared: Mapping[str, float],
) -> Model:
    """A Model from what training logged: the version's tags, ``evaluation.json``, AUROC of the families compared."""
    overall, as_of = evaluation["overall"], tags.get("as_of")
    return Model(
        name=name,
        version=version,
        family=tags.get("family", "unknown family").replace("_", " "),
        trained_at=datetime.fromisoformat(as_of) if as_of else None,
        cases=overall["cases"],
        events=overall["events"],
        threshold=evaluation.get("threshold"),
        metrics=_estimates(overall["metrics"]),
        roc=tuple((float(x), float(y)) for x, y in evaluation.get("roc", ())),
        reliability=tuple(
            ReliabilityBin(b["predicted"], b["observed"], b["cases"])
            for b in evaluation.get("reliability", ())
        ),
        groups=tuple(
            Group(division, level, g["cases"] or 0, g["events"] or 0, _estimates(g["metrics"]))
            for g in evaluation.get("groups", ())
            for division, _, level in [g["group"].partition("=")]
        ),
        candidates={family: Estimate(compared[family]) for family in sorted(compared)},
        baselines=tuple(
            Against(b["name"], Estimate(**b["auroc"]), Estimate(**b["difference"]))
            for b in evaluation.get("baselines", ())
        ),
    )


def _estimates(figures: Mapping[str, Mapping[str, float | None]]) -> dict[str, Estimate]:
    """Figures that could be computed: JSON has NaN or null for the others."""
    return {
        name: Estimate(figure["value"], figure.get("low"), figure.get("high"))
        for name, figure in figures.items()
        if figure["value"] is not None and figure["value"] == figure["value"]
    }
