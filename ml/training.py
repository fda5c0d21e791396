"""From labelled cases to a model that has been tested once.

Flow: ``split`` (no person in both parts, the test part later) -> ``compare`` (families and settings by grouped
cross-validation on the training part) -> ``choose`` -> threshold and bands from the out-of-fold probabilities of the
training part -> fit on the whole training part -> ``evaluate`` on the test part, once.

The split. A hash of question and patient puts three patients of ten into the test bucket, for good: what linkage makes
of patients changes, their keys do not. Test people are those all of whose patients are in it. A later model is tested
on patients that no earlier one has learnt from, so champion and challenger can be compared on them. The test part is
the test people's latest discharges (the last 40 % of all); the training part is the discharges of patients outside the
bucket whose label was known before the first of those. What is neither (test people's early discharges, the others'
late ones, those of test patients who are one person with patients outside the bucket) is left out: that is the price
of testing on new people in a later time at once. The model that is tested is the model that is used; it is not refitted
on the test part.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline

from jobs.errors import CitywellError
from ml import metrics, models
from ml.metrics import Evaluation
from ml.models import Setting
from ml.question import Cases, Question

TEST_PEOPLE = 0.30
TEST_TIME = 0.40
FOLD_COUNT = 5
FEWEST_TRAINING_EVENTS = 50
FEWEST_TEST_EVENTS = 10

Folds = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Refusal:
    """Why no model was trained, for people; not a failure of the pipeline."""

    reason: str


@dataclass(frozen=True)
class Split:
    """Rows of the training and the test part; ``cut`` is the first instant of the test part's time."""

    train: np.ndarray
    test: np.ndarray
    cut: np.datetime64


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
class Lines:
    """Where the bands begin. high: the alert line, above which lies the question's alert budget of the training
    cases. medium: the share of events among the training cases, or the alert line if that is lower."""

    medium: float
    high: float

    def band(self, probability: float) -> str:
        if probability >= self.high:
            return "high"
        return "medium" if probability >= self.medium else "low"


@dataclass(frozen=True)
class Trained:
    """A tested model and everything that is written down about it. ``test_probability`` belongs to ``test``."""

    question: Question
    candidates: tuple[Candidate, ...]
    chosen: Candidate
    pipeline: Pipeline
    lines: Lines
    cut: np.datetime64
    train: Cases
    test: Cases
    test_probability: np.ndarray
    evaluation: Evaluation


def train(
    question: Question,
    cases: Cases,
    families: Sequence[str],
    *,
    seed: int = 0,
    replicates: int = metrics.REPLICATES,
) -> Trained | Refusal:
    """Split, compare, choose, fit and test; or say why there are too few cases.

    cases: labelled cases with ``at``. families: names out of ``models.FAMILIES``.
    """
    if len(cases) == 0:
        return Refusal(f"There is no case yet whose {question.horizon_days} days have passed.")
    parts = split(question, cases)
    training, test = cases.take(parts.train), cases.take(parts.test)
    if refusal := too_few(training, test):
        return refusal
    candidates = compare(question, training, families, seed=seed)
    chosen = choose(candidates)
    pipeline = fit(question, training, chosen, seed=seed)
    lines = draw_lines(question, chosen.out_of_fold, training.y)
    probability = models.predict(pipeline, test.x)
    return Trained(
        question=question,
        candidates=tuple(candidates),
        chosen=chosen,
        pipeline=pipeline,
        lines=lines,
        cut=parts.cut,
        train=training,
        test=test,
        test_probability=probability,
        evaluation=metrics.evaluate(
            test.y, probability, test.person, test.groups, lines.high, replicates=replicates
        ),
    )


def split(question: Question, cases: Cases) -> Split:
    """Training and test rows of ``cases``; see the module's text."""
    if cases.at is None:
        raise CitywellError(
            "These cases have no time, so they cannot be split by time.",
            where=question.name,
            do="give Cases.at, or use cross-validation",
        )
    cut = np.quantile(cases.at.astype("datetime64[us]").astype("int64"), 1 - TEST_TIME)
    cut_at = np.datetime64(int(cut), "us")
    horizon = np.timedelta64(question.horizon_days, "D")
    patients = cases.person if cases.patient is None else cases.patient
    is_learnt_from = np.array([not in_test_bucket(question, patient) for patient in patients])
    others = set(cases.person[is_learnt_from].tolist())
    is_test_person = np.array([person not in others for person in cases.person])
    return Split(
        train=np.flatnonzero(is_learnt_from & (cases.at + horizon <= cut_at)),
        test=np.flatnonzero(is_test_person & (cases.at >= cut_at)),
        cut=cut_at,
    )


def in_test_bucket(question: Question, patient: object) -> bool:
    """Whether a patient is in the test bucket of ``question``: always the same answer."""
    digest = hashlib.sha256(f"{question.name}|{patient}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < TEST_PEOPLE * 2**64


def too_few(training: Cases, test: Cases) -> Refusal | None:
    """A refusal when either part has too few events, or too few cases without one."""
    for name, part, fewest in (
        ("training", training, FEWEST_TRAINING_EVENTS),
        ("test", test, FEWEST_TEST_EVENTS),
    ):
        events = int(part.y.sum())
        for word, count in (("with the event", events), ("without it", len(part) - events)):
            if count < fewest:
                return Refusal(
                    f"Too few cases to train on: the {name} part has {count} {word}, and at least {fewest} are "
                    "needed. It will be tried again when there are more data."
                )
    return None


def compare(
    question: Question,
    training: Cases,
    families: Sequence[str],
    *,
    seed: int = 0,
    first_settings_only: bool = False,
) -> list[Candidate]:
    """Every setting of every family in cross-validation, with the same folds: no person is in two of them."""
    parts = grouped_folds(training, seed=seed)
    return [
        _cross_validate(question, training, parts, name, setting, seed)
        for name in families
        for setting in models.family(name).settings[: 1 if first_settings_only else None]
    ]


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


def draw_lines(question: Question, out_of_fold: np.ndarray, y: np.ndarray) -> Lines:
    """The bands' lines from training cases alone."""
    high = float(np.quantile(out_of_fold, 1 - question.alert_budget, method="higher"))
    return Lines(medium=min(float(y.mean()), high), high=high)


def _cross_validate(
    question: Question, training: Cases, parts: Folds, name: str, setting: Setting, seed: int
) -> Candidate:
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
