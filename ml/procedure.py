"""From labelled training cases to a model: everything that is decided without the test part.

``compare`` (or any other search) gives candidates, each with the out-of-fold probabilities of its folds -> ``choose``
takes the simplest that is not clearly worse -> ``recalibration`` says whether its probabilities are put right -> it is
fitted on all of the training cases. ``learn`` is the whole of it, and what nested cross-validation repeats.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline

from ml import metrics, models
from ml.models import Setting
from ml.question import Cases, Question
from ml.recalibration import Recalibration, recalibrated, recalibration

FOLD_COUNT = 5

Folds = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Candidate:
    """A family with a setting, and how it did in cross-validation on the training part.

    fold_auroc: AUROC of each fold. log_loss, calibration_error: of the out-of-fold probabilities. seconds: of all
    fits. out_of_fold: probability of every training case from the model that has not seen its person.
    """

    family: str
    setting: Setting
    fold_auroc: tuple[float, ...]
    log_loss: float
    calibration_error: float
    seconds: float
    out_of_fold: np.ndarray

    @property
    def auroc(self) -> float:
        return float(np.mean(self.fold_auroc))


@dataclass(frozen=True)
class Learnt:
    """What came of a search: all candidates, the chosen one, and its model, fitted and recalibrated.

    out_of_fold: the chosen candidate's probabilities of the training cases, recalibrated as the model is.
    """

    candidates: tuple[Candidate, ...]
    chosen: Candidate
    recalibration: Recalibration
    pipeline: Pipeline
    out_of_fold: np.ndarray


Search = Callable[[Cases, Folds], Sequence[Candidate]]
"""Training cases, and the folds to judge candidates by -> candidates."""


def learn(question: Question, training: Cases, search: Search, *, seed: int = 0) -> Learnt:
    """Search, choose, recalibrate and fit on ``training``."""
    folds = grouped_folds(training, seed=seed)
    candidates = tuple(search(training, folds))
    chosen = choose(candidates)
    decided = recalibration(chosen.out_of_fold, training.y, folds)
    return Learnt(
        candidates=candidates,
        chosen=chosen,
        recalibration=decided,
        pipeline=recalibrated(fit(question, training, chosen, seed=seed), decided.mapping),
        out_of_fold=decided(chosen.out_of_fold),
    )


def search_among(question: Question, settings: Sequence[tuple[str, Setting]], *, seed: int = 0) -> Search:
    """The search that tries each pair of family and setting."""

    def search(training: Cases, folds: Folds) -> list[Candidate]:
        return [cross_validate(question, training, folds, name, setting, seed) for name, setting in settings]

    return search


def declared(families: Sequence[str], *, first_settings_only: bool = False) -> list[tuple[str, Setting]]:
    """The settings that ``models.FAMILIES`` declares for ``families``, each with its family's name."""
    last = 1 if first_settings_only else None
    return [(name, setting) for name in families for setting in models.family(name).settings[:last]]


def compare(
    question: Question,
    training: Cases,
    families: Sequence[str],
    *,
    seed: int = 0,
    first_settings_only: bool = False,
) -> list[Candidate]:
    """Every setting of every family in cross-validation, with the same folds: no person is in two of them."""
    settings = declared(families, first_settings_only=first_settings_only)
    search = search_among(question, settings, seed=seed)
    return list(search(training, grouped_folds(training, seed=seed)))


def grouped_folds(cases: Cases, *, seed: int = 0) -> Folds:
    """FOLD_COUNT pairs of rows to fit on and rows held out, with like shares of events; no person is in two folds."""
    splitter = StratifiedGroupKFold(FOLD_COUNT, shuffle=True, random_state=seed)
    return list(splitter.split(cases.x, cases.y, cases.person))


def out_of_fold(pipeline: Pipeline, cases: Cases, parts: Folds) -> np.ndarray:
    """Probability of the event for each case, from a copy of ``pipeline`` fitted on the folds without its person."""
    probability = np.empty(len(cases))
    for fit_rows, held_out in parts:
        part = cases.take(fit_rows)
        fitted = models.fit(pipeline, part.x, part.y, part.person)
        probability[held_out] = models.predict(fitted, cases.x.iloc[held_out])
    return probability


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """The simplest candidate that is not clearly worse than the best.

    Best: highest mean AUROC over the folds. Not clearly worse: the mean of the fold by fold differences is at most
    one standard error of them (the one-standard-error rule of Breiman et al., CART, 1984, paired). Simplest: by the
    order of ``models.FAMILIES``; between settings of one family, the better.
    """
    best = max(candidates, key=lambda c: c.auroc)
    order = list(models.FAMILIES)

    def is_close(candidate: Candidate) -> bool:
        gap = np.subtract(best.fold_auroc, candidate.fold_auroc)
        return bool(gap.mean() <= gap.std(ddof=1) / np.sqrt(len(gap)))

    close = [c for c in candidates if c is best or is_close(c)]
    return min(close, key=lambda c: (order.index(c.family), -c.auroc))


def fit(question: Question, training: Cases, candidate: Candidate, *, seed: int = 0) -> Pipeline:
    """The candidate's model, fitted on the whole training part."""
    pipeline = models.build(candidate.family, question, candidate.setting, seed)
    return models.fit(pipeline, training.x, training.y, training.person)


def cross_validate(
    question: Question, training: Cases, parts: Folds, name: str, setting: Setting, seed: int
) -> Candidate:
    """How family ``name`` with ``setting`` does in the folds ``parts``."""
    began = time.perf_counter()
    probability = out_of_fold(models.build(name, question, setting, seed), training, parts)
    seconds = time.perf_counter() - began
    whole = np.ones((1, len(training)))
    return Candidate(
        family=name,
        setting=setting,
        fold_auroc=tuple(float(roc_auc_score(training.y[rows], probability[rows])) for _, rows in parts),
        log_loss=float(log_loss(training.y, probability)),
        calibration_error=float(metrics.calibration_error(training.y, probability, whole)[0]),
        seconds=seconds,
        out_of_fold=probability,
    )
