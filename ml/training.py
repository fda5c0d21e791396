"""From labelled cases to a model that has been tested once.

Flow: ``split`` (no person in both parts, the test part later) -> ``procedure.learn`` (candidates by grouped
cross-validation on the training part, choice, recalibration, fit on the whole training part) -> threshold and bands
from the out-of-fold probabilities of the training part -> ``evaluate`` on the test part, once.

Three ways in, alike but for the candidates: ``train`` compares the declared settings of families, ``refit`` takes the
one setting it is given (a scheduled training takes the champion's, and costs a fifth or less), and ``train_by`` takes
any search, such as that of ``ml.tuning``.

The split. A hash of question and patient puts three patients of ten into the test bucket, for good: what linkage makes
of patients changes, their keys do not. Test people are those all of whose patients are in it. A later model is tested
on patients that no earlier one has learnt from, so champion and challenger can be compared on them. The test part is
the test people's latest discharges: of as short a time as holds ENOUGH_TEST_EVENTS, so that a model learns of the world
as it is now and of a change in it soon, but of LEAST_TEST_DAYS at least, and of the last 40 % of all discharges at
most, which is what few data come to. The training part is the discharges of patients outside the bucket whose label was
known before the first of those. What is neither (test people's early discharges, the others'
late ones, those of test patients who are one person with patients outside the bucket) is left out: that is the price
of testing on new people in a later time at once. Where the horizon is longer than LONGEST_LATER_DAYS, the parts
differ by people alone. The model that is tested is the model that is used; it is not refitted on the test part.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.pipeline import Pipeline

from jobs.errors import CitywellError
from ml import decision, metrics, models
from ml.metrics import Evaluation
from ml.models import Setting
from ml.nested import Nested, nested
from ml.procedure import (
    Candidate,
    Search,
    choose,
    compare,
    declared,
    fit,
    grouped_folds,
    learn,
    out_of_fold,
    search_among,
)
from ml.question import Cases, Question
from ml.recalibration import Recalibration

__all__ = [
    "Candidate",
    "Lines",
    "Refusal",
    "Split",
    "Trained",
    "choose",
    "compare",
    "draw_lines",
    "fit",
    "grouped_folds",
    "is_tested_later",
    "out_of_fold",
    "refit",
    "split",
    "train",
    "train_by",
]

TEST_PEOPLE = 0.30
TEST_TIME = 0.40
ENOUGH_TEST_EVENTS = 1000
"""Ours. The standard error of an AUROC of 0.75 is 0.009 with so many events and six times as many others (Hanley and
McNeil, Radiology 1982; 143: 29-36): a third of the 0.03 that a model is judged to."""
LEAST_TEST_DAYS = 90
"""Ours: a season, so that no test is of a single wave or holiday."""
LONGEST_LATER_DAYS = 365
"""A question with a longer horizon is tested on other people of the same time: labels that were known before a later
test part began would be of too long ago, where a city's records go back that far at all."""
DIGITS = 6
"""Decimals of a probability as it is told."""
FEWEST_TRAINING_EVENTS = 50
FEWEST_TEST_EVENTS = 10


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
class Lines:
    """Where the bands begin. high: the alert line. Above it lies the question's alert budget of the training cases, or
    fewer where the question's cost ratio puts it higher. medium: the share of events among the training cases, or the
    alert line if that is lower."""

    medium: float
    high: float

    def band(self, probability: float) -> str:
        if probability >= self.high:
            return "high"
        return "medium" if probability >= self.medium else "low"


@dataclass(frozen=True)
class Trained:
    """A tested model and everything that is written down about it.

    test_probability: of ``test``. out_of_fold: of ``train``, from models that had not seen the person, recalibrated as
    the model is. nested: of the whole procedure on the training part, where it was asked for. is_refit: the setting was
    given, not chosen.
    """

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
    out_of_fold: np.ndarray
    recalibration: Recalibration
    nested: Nested | None = None
    is_refit: bool = False


def train(
    question: Question,
    cases: Cases,
    families: Sequence[str],
    *,
    is_nested: bool = False,
    seed: int = 0,
    replicates: int = metrics.REPLICATES,
) -> Trained | Refusal:
    """Split, compare, choose, fit and test; or say why there are too few cases.

    cases: labelled cases with ``at``. families: names out of ``models.FAMILIES``. is_nested: also nested
    cross-validation, which costs five times the comparison.
    """
    search = search_among(question, declared(families), seed=seed)
    outer = search if is_nested else None
    return train_by(question, cases, search, outer_search=outer, seed=seed, replicates=replicates)


def refit(
    question: Question,
    cases: Cases,
    family: str,
    setting: Setting,
    *,
    seed: int = 0,
    replicates: int = metrics.REPLICATES,
) -> Trained | Refusal:
    """As ``train``, but with the family and setting that an earlier comparison or tuning has chosen.

    Its cross-validation only draws the alert line and decides on recalibration: six fits in all.
    """
    search = search_among(question, [(family, setting)], seed=seed)
    return train_by(question, cases, search, is_refit=True, seed=seed, replicates=replicates)


def train_by(
    question: Question,
    cases: Cases,
    search: Search,
    *,
    outer_search: Search | None = None,
    is_refit: bool = False,
    seed: int = 0,
    replicates: int = metrics.REPLICATES,
) -> Trained | Refusal:
    """Split, search the training part, fit and test; or say why there are too few cases.

    outer_search: what nested cross-validation repeats in each outer fold; none is done without it.
    """
    if len(cases) == 0:
        return Refusal(f"There is no case yet whose {question.horizon_days} days have passed.")
    parts = split(question, cases)
    training, test = cases.take(parts.train), cases.take(parts.test)
    if refusal := too_few(training, test):
        return refusal
    learnt = learn(question, training, search, seed=seed)
    lines = draw_lines(question, learnt.out_of_fold, training.y)
    probability = models.predict(learnt.pipeline, test.x)
    return Trained(
        question=question,
        candidates=learnt.candidates,
        chosen=learnt.chosen,
        pipeline=learnt.pipeline,
        lines=lines,
        cut=parts.cut,
        train=training,
        test=test,
        test_probability=probability,
        evaluation=metrics.evaluate(
            test.y,
            probability,
            test.person,
            test.groups,
            lines.high,
            baselines=baselines(question, test),
            replicates=replicates,
        ),
        out_of_fold=learnt.out_of_fold,
        recalibration=learnt.recalibration,
        nested=None if outer_search is None else nested(question, training, outer_search, seed=seed),
        is_refit=is_refit,
    )


def baselines(question: Question, cases: Cases) -> Mapping[str, np.ndarray]:
    """The published scores that ``question`` declares (name -> column of the cases' frame), of each case.

    Raises CitywellError when a column is not there.
    """
    columns = question.baselines
    missing = sorted(set(columns.values()) - set(cases.x.columns))
    if missing:
        raise CitywellError(
            f"Declared as a baseline, but not among the cases' columns: {', '.join(missing)}.",
            where=question.name,
            do="give each case its published score in Cases.x, or take the baseline out of the question",
        )
    return {name: cases.x[column].to_numpy(dtype=float) for name, column in columns.items()}


def is_tested_later(question: Question) -> bool:
    """Whether the test part is of a later time than the training part, not of other people alone."""
    return question.horizon_days <= LONGEST_LATER_DAYS


def split(question: Question, cases: Cases) -> Split:
    """Training and test rows of ``cases``; see the module's text."""
    if cases.at is None:
        raise CitywellError(
            "These cases have no time, so they cannot be split by time.",
            where=question.name,
            do="give Cases.at, or use cross-validation",
        )
    is_later = is_tested_later(question)
    horizon = np.timedelta64(question.horizon_days, "D")
    patients = cases.person if cases.patient is None else cases.patient
    is_learnt_from = np.array([not in_test_bucket(question, patient) for patient in patients])
    others = set(cases.person[is_learnt_from].tolist())
    is_test_person = np.array([person not in others for person in cases.person])
    cut_at = (
        _cut(cases.at, np.sort(cases.at[is_test_person & (cases.y == 1)])) if is_later else cases.at.min()
    )
    return Split(
        train=np.flatnonzero(is_learnt_from & ((cases.at + horizon <= cut_at) | (not is_later))),
        test=np.flatnonzero(is_test_person & (cases.at >= cut_at)),
        cut=cut_at,
    )


def _cut(at: np.ndarray, events: np.ndarray) -> np.datetime64:
    """at: of all cases. events: of the test people's cases with the event, in order."""
    at, events = (instants.astype("datetime64[us]") for instants in (at, events))
    earliest = np.datetime64(int(np.quantile(at.astype("int64"), 1 - TEST_TIME)), "us")
    if len(events) < ENOUGH_TEST_EVENTS:
        return earliest
    latest = at.max() - np.timedelta64(LEAST_TEST_DAYS, "D")
    return max(earliest, min(events[-ENOUGH_TEST_EVENTS], latest))


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


def draw_lines(question: Question, out_of_fold: np.ndarray, y: np.ndarray) -> Lines:
    """The bands' lines from training cases alone.

    The alert line is the lowest probability with at most the budget's share of the cases at it or above; of many that
    are all alike, such as the leaf of a tree, none is alerted where all would be too many. Where the question states a
    ``cost_ratio`` (false alarm to missed event), alerts begin at the risk from which on they are worth it
    (``decision.cost_threshold``), but never below the line of the alert budget. Lines are rounded down to DIGITS, so
    that a probability on a line is there in full and as it is told.
    """
    found = np.sort(out_of_fold)
    values, below = np.unique(found, return_index=True)
    within = values[len(found) - below <= question.alert_budget * len(found)]
    high = float(within[0] if len(within) else values[-1])
    if question.cost_ratio is not None:
        high = max(high, decision.cost_threshold(question.cost_ratio))
    return Lines(medium=_down(min(float(y.mean()), high)), high=_down(high))


def _down(probability: float) -> float:
    """Rounded down to DIGITS; what is as near to one of them as a float can be is that one."""
    return math.floor(round(probability * 10**DIGITS, 3)) / 10**DIGITS
