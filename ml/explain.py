"""Why a score is high, in words: what each feature adds to the log odds of a case, by Shapley values.

A Shapley value (Lundberg and Lee, NeurIPS 2017: SHAP) is a feature's part in the difference between the log odds of
the case and those of a *reference*.

* Of LightGBM's trees LightGBM itself finds it exactly (TreeSHAP, the path-dependent kind: Lundberg and others,
  Nature Machine Intelligence 2020); the reference is the mean of the cases it was trained on.
* Of other models the reference is a made-up person with the median or commonest value of every feature: no real
  person's record is kept as background. The value is found by permutation sampling (Strumbelj and Kononenko, Knowl Inf
  Syst 2014) in antithetic pairs, on the features themselves rather than on what a pipeline makes of them. Where
  features add up (logistic regression) all orders agree, and one is enough.

The permutations of many people are predicted in one call: 30 people take 0.1 s, where shap.PermutationExplainer took
5 s, after 10 s to import and 14 s to compile. Of a model whose probabilities pass through steps
(``recalibration.StepMap``) the log odds before them are taken apart: on a step nothing would seem to matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from ml import models
from ml.question import Cases, Feature, Question
from ml.recalibration import LogisticMap, Recalibrated, StepMap

MOST_REASONS = 5
LEAST_LOG_ODDS = 0.05
"""A part smaller than this (about one percentage point at most) is not worth a clinician's time."""
LOG_ODDS_DIGITS = 3
"""Parts are compared as they are told: which of two equal ones comes first is no matter of their last bits, which
differ with the people that are explained beside."""
PERMUTATION_PAIRS = 4
_ROWS_AT_ONCE = 100_000
"""At most so many predictions in one call."""


@dataclass(frozen=True)
class Reason:
    """feature: what it is about. label: the finding in words, with its value. effect: on the risk. log_odds: its
    Shapley value."""

    feature: str
    label: str
    effect: Literal["raises", "lowers"]
    log_odds: float


def reference(question: Question, cases: Cases) -> pd.DataFrame:
    """One row: a typical person who never was. Medians (missing where most lack the value), commonest codes."""
    typical: dict[str, object] = {}
    for feature in question.features:
        column = cases.x[feature.name]
        if feature.kind == "category":
            typical[feature.name] = column.mode().iloc[0]
        else:
            typical[feature.name] = float(column.median()) if column.notna().mean() > 0.5 else float("nan")
    return pd.DataFrame([typical])


def explain(
    pipeline: Pipeline, question: Question, x: pd.DataFrame, typical: pd.DataFrame, *, seed: int = 0
) -> list[list[Reason]]:
    """For each row of ``x`` its weightiest reasons, the weightiest first."""
    if x.empty:
        return []
    values = shapley_values(pipeline, question, x, typical, seed=seed)
    return [
        _reasons(question, row, parts)
        for row, parts in zip(x[question.feature_names].to_dict("records"), values, strict=True)
    ]


def shapley_values(
    pipeline: Pipeline, question: Question, x: pd.DataFrame, typical: pd.DataFrame, *, seed: int = 0
) -> np.ndarray:
    """Shapley values in log odds, (rows, features). A row's sum is its log odds minus the reference's."""
    smooth = _before_steps(pipeline)
    if isinstance(_classifier(smooth), LGBMClassifier):
        return _of_trees(smooth, question, x)
    names = question.feature_names
    codes = {n: pd.Index(pd.concat([x[n], typical[n]]).unique()) for n in question.of_kind("category")}
    cases, start = _encoded(x[names], codes), _encoded(typical[names], codes)[0]
    orders = _orders(smooth, len(names), seed)
    per_block = max(1, _ROWS_AT_ONCE // (len(orders) * (len(names) + 1)))
    blocks = [cases[i : i + per_block] for i in range(0, len(cases), per_block)]
    return np.concatenate([_marginal(smooth, block, start, orders, names, codes) for block in blocks])


def _before_steps(pipeline: Pipeline) -> Pipeline:
    last = pipeline[-1]
    if isinstance(last, Recalibrated) and isinstance(last.mapping, StepMap):
        return Pipeline([*pipeline.steps[:-1], ("classify", last.classifier)])
    return pipeline


def _classifier(pipeline: Pipeline) -> object:
    last = pipeline[-1]
    return last.classifier if isinstance(last, Recalibrated) else last


def _of_trees(pipeline: Pipeline, question: Question, x: pd.DataFrame) -> np.ndarray:
    """By LightGBM. Its inputs are one column per feature, categories first."""
    parts = _classifier(pipeline).predict_proba(pipeline[:-1].transform(x), pred_contrib=True)  # type: ignore[attr-defined]
    inputs = [*question.of_kind("category"), *question.of_kind("number", "count", "flag")]
    values = parts[:, [inputs.index(name) for name in question.feature_names]]
    mapping = getattr(pipeline[-1], "mapping", None)
    return values * mapping.slope if isinstance(mapping, LogisticMap) else values


def _orders(pipeline: Pipeline, width: int, seed: int) -> np.ndarray:
    """The orders in which features turn, (orders, features)."""
    if isinstance(_classifier(pipeline), LogisticRegression):
        return np.arange(width)[None, :]
    rng = np.random.default_rng(seed)
    forward = [rng.permutation(width) for _ in range(PERMUTATION_PAIRS)]
    return np.array([order for one in forward for order in (one, one[::-1])])


def _marginal(
    pipeline: Pipeline,
    cases: np.ndarray,
    start: np.ndarray,
    orders: np.ndarray,
    names: list[str],
    codes: Mapping[str, pd.Index],
) -> np.ndarray:
    """Mean over ``orders`` of what each feature adds to the log odds when features turn one by one, in that order, from
    the reference's value into the case's. Only steps that change something are predicted."""
    differs = (cases != start) & ~(np.isnan(cases) & np.isnan(start))
    is_step = np.concatenate([np.ones((len(cases), len(orders), 1), dtype=bool), differs[:, orders]], axis=2)
    case, order, step = np.nonzero(is_step)
    has_turned = np.argsort(orders, axis=1)[order] < step[:, None]
    frame = pd.DataFrame(np.where(has_turned, cases[case], start), columns=names)
    for name, values in codes.items():
        frame[name] = values.to_numpy()[frame[name].astype(int)]
    p = np.clip(models.predict(pipeline, frame), 1e-6, 1 - 1e-6)
    log_odds = np.log(p / (1 - p))[np.cumsum(is_step).reshape(is_step.shape) - 1]
    steps = np.diff(log_odds, axis=2)
    added = np.empty_like(steps)
    np.put_along_axis(added, np.broadcast_to(orders, steps.shape), steps, axis=2)
    return added.mean(axis=1)


def _encoded(frame: pd.DataFrame, codes: Mapping[str, pd.Index]) -> np.ndarray:
    """The frame as numbers, categories as their place in ``codes``."""
    columns = {n: codes[n].get_indexer(frame[n]) if n in codes else frame[n] for n in frame.columns}
    return pd.DataFrame(columns).to_numpy(dtype=float)


def in_words(feature: Feature, value: object) -> str:
    """``emergency visits in the 6 months before: 3``, ``last sodium 128 mmol/L``, ``no heart failure``."""
    is_missing = value is None or (isinstance(value, float) and np.isnan(value))
    if is_missing:
        return f"{feature.label} not known"
    if feature.kind == "category":
        return f"{feature.label} {value}"
    number = float(value)  # type: ignore[arg-type]
    if feature.kind == "flag":
        return feature.label if number else f"not: {feature.label}"
    unit = f" {feature.unit}" if feature.unit else ""
    return f"{feature.label}: {_in_digits(number)}{unit}"


def _in_digits(number: float) -> str:
    """Three digits or more, never an exponent: ``1,812``, ``128``, ``10.4``, ``1.25``, ``0.035``."""
    size = abs(number)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 3
    text = f"{number:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def _reasons(question: Question, row: dict[str, object], parts: np.ndarray) -> list[Reason]:
    rounded = np.round(parts, LOG_ODDS_DIGITS)
    weightiest = np.argsort(-np.abs(rounded), kind="stable")[:MOST_REASONS]
    return [
        Reason(
            question.features[i].label,
            in_words(question.features[i], row[question.features[i].name]),
            "raises" if rounded[i] > 0 else "lowers",
            float(rounded[i]),
        )
        for i in weightiest
        if abs(rounded[i]) >= LEAST_LOG_ODDS
    ]
