"""Probabilities that are put right after the fact, without touching their order.

A map from raw to better probabilities is learnt from out-of-fold probabilities, so that no case is judged by a model
that has seen its person. Two kinds, the simpler first:

* ``logistic``: logit of the outcome = intercept + slope * logit of the probability (Cox, Biometrika 1958; the same
  form as J. Platt's, 1999, on the logit instead of the margin);
* ``isotonic``: the best rising step function (Zadrozny and Elkan, KDD 2002), interpolated between its steps.

A map is used only when it lowers the log loss of cases it was not learnt from by more than one standard error over the
folds; of two that do, the simpler, unless the other is better by as much. A line that falls is never used: a model that
ranks the wrong way round is not a matter of calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline

LEAST_PROBABILITY = 1e-6

Folds = Sequence[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class LogisticMap:
    """expit(intercept + slope * logit p)."""

    intercept: float
    slope: float

    def __call__(self, p: np.ndarray) -> np.ndarray:
        return expit(self.intercept + self.slope * _logit(p))


@dataclass(frozen=True)
class StepMap:
    """Straight lines between the points (knots, values); level beyond the ends."""

    knots: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, p: np.ndarray) -> np.ndarray:
        return np.interp(p, self.knots, self.values)


Map = LogisticMap | StepMap


def logistic_map(p: np.ndarray, y: np.ndarray) -> LogisticMap:
    """The map learnt from raw probabilities ``p`` and outcomes ``y``, by maximum likelihood without a penalty."""
    found = LogisticRegression(C=np.inf, max_iter=1000).fit(_logit(p)[:, None], y)
    return LogisticMap(float(found.intercept_[0]), float(found.coef_[0, 0]))


def step_map(p: np.ndarray, y: np.ndarray) -> StepMap:
    """The isotonic map learnt from raw probabilities ``p`` and outcomes ``y``, kept off 0 and 1."""
    found = IsotonicRegression(y_min=LEAST_PROBABILITY, y_max=1 - LEAST_PROBABILITY).fit(p, y)
    return StepMap(tuple(found.X_thresholds_.tolist()), tuple(found.y_thresholds_.tolist()))


MAPS: dict[str, Callable[[np.ndarray, np.ndarray], Map]] = {"logistic": logistic_map, "isotonic": step_map}
"""The simpler first."""


@dataclass(frozen=True)
class Recalibration:
    """What was decided. method: a name out of MAPS, None when the probabilities stay as they are. log_loss: of each
    way (``as they are`` or a name of MAPS), cross-fitted."""

    method: str | None
    mapping: Map | None
    log_loss: dict[str, float]

    def __call__(self, p: np.ndarray) -> np.ndarray:
        return p if self.mapping is None else self.mapping(p)


def recalibration(p: np.ndarray, y: np.ndarray, folds: Folds) -> Recalibration:
    """Decide whether and how the out-of-fold probabilities ``p`` of the cases with outcomes ``y`` are put right.

    folds: pairs of rows to learn a map on and rows held out; a person's cases are in one fold.
    """
    losses = {"as they are": _losses(p, y, folds)}
    for name in MAPS:
        losses[name] = _losses(cross_fitted(name, p, y, folds), y, folds)
    maps = {name: mapping for name, learn in MAPS.items() if _is_rising(mapping := learn(p, y))}
    method, best = None, losses["as they are"]
    for name in maps:
        gain = best - losses[name]
        if gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)):
            method, best = name, losses[name]
    return Recalibration(
        method,
        None if method is None else maps[method],
        {name: float(values.mean()) for name, values in losses.items()},
    )


def cross_fitted(method: str, p: np.ndarray, y: np.ndarray, folds: Folds) -> np.ndarray:
    """``p`` put right by a name out of MAPS, each held-out row by a map that was not learnt from it."""
    mapped = np.empty_like(p)
    for rows, held_out in folds:
        mapped[held_out] = MAPS[method](p[rows], y[rows])(p[held_out])
    return mapped


class Recalibrated(ClassifierMixin, BaseEstimator):
    """A classifier of two classes whose probabilities pass through ``mapping``. Fitting it leaves the map alone."""

    def __init__(self, classifier: Any, mapping: Map) -> None:
        self.classifier = classifier
        self.mapping = mapping

    def fit(self, x: Any, y: np.ndarray) -> Self:
        self.classifier = clone(self.classifier).fit(x, y)
        return self

    @property
    def classes_(self) -> np.ndarray:
        return self.classifier.classes_

    def predict_proba(self, x: Any) -> np.ndarray:
        """(rows, 2), as scikit-learn's."""
        p = self.mapping(self.classifier.predict_proba(x)[:, 1])
        return np.column_stack([1 - p, p])

    def predict(self, x: Any) -> np.ndarray:
        return self.classes_[(self.predict_proba(x)[:, 1] >= 0.5).astype(int)]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self.classifier, "classes_")


def recalibrated(pipeline: Pipeline, mapping: Map | None) -> Pipeline:
    """The fitted ``pipeline`` with ``mapping`` behind its last step; as it is when there is no map."""
    if mapping is None:
        return pipeline
    return Pipeline([*pipeline.steps[:-1], ("classify", Recalibrated(pipeline[-1], mapping))])


def taken_apart(pipeline: Pipeline) -> tuple[Pipeline, Map | None]:
    """The pipeline without a map behind its last step, and the map."""
    last = pipeline[-1]
    if not isinstance(last, Recalibrated):
        return pipeline, None
    return Pipeline([*pipeline.steps[:-1], ("classify", last.classifier)]), last.mapping


def method_of(mapping: Map) -> str:
    """The name out of MAPS of the way it was learnt."""
    return "logistic" if isinstance(mapping, LogisticMap) else "isotonic"


def _is_rising(mapping: Map) -> bool:
    return isinstance(mapping, StepMap) or mapping.slope > 0


def _losses(p: np.ndarray, y: np.ndarray, folds: Folds) -> np.ndarray:
    return np.array([log_loss(y[rows], p[rows], labels=[0, 1]) for _, rows in folds])


def _logit(p: np.ndarray) -> np.ndarray:
    return logit(np.clip(p, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))
