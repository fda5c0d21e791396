"""Champions and their making against the simulated city's own risks: how much of what can be known is learnt?

Runs inside the landing and vault zone (``ml.risk.truth``). Only the simulated city has an answer key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.pipeline import Pipeline

from jobs.errors import CitywellError
from ml import metrics, models, registry
from ml.metrics import FEWEST_EVENTS, Estimate
from ml.question import Cases
from ml.recalibration import cross_fitted, method_of, taken_apart
from ml.risk import meaning, pipeline, questions
from ml.risk.truth import planted_declines, true_risks
from ml.training import Split, grouped_folds, out_of_fold, split

MOST_GAP = 0.03
MOST_CALIBRATION_ERROR = 0.02
JUDGED_BY_DECLINES = "deterioration_7d"
"""The question whose risk the key does not tell: what it tells is which declines were planted for devices to see."""
LEAST_EVENTS = 600
"""Of a test part, below which nothing is claimed of its figures."""


@dataclass(frozen=True)
class Comparison:
    """On the cases that have a true risk: AUROC of the model, of the true risk, and the true risk's minus the model's,
    with paired intervals.

    cases, events: how many those are. calibration_error: expected calibration error on all cases, those without a true
    risk too, against what came to pass. without: how many those are. tested: events in the test part of a training.
    """

    cases: int
    events: int
    model: Estimate
    truth: Estimate
    gap: Estimate
    calibration_error: float
    without: int
    tested: int

    @property
    def is_claimed(self) -> bool:
        """Whether there is enough to judge the figures themselves, and not their interval alone."""
        return self.tested >= LEAST_EVENTS

    @property
    def is_near(self) -> bool:
        """Whether the gap, or the low end of its interval where nothing is claimed, is at most MOST_GAP."""
        return (self.gap.value if self.is_claimed else self.gap.low) <= MOST_GAP

    @property
    def is_calibrated(self) -> bool:
        """Whether the calibration error is at most MOST_CALIBRATION_ERROR."""
        return self.calibration_error <= MOST_CALIBRATION_ERROR


def compare(cases: Cases, probability: np.ndarray, truth: np.ndarray, tested: int) -> Comparison:
    """A model's probabilities of cases against their true risks, NaN where there is none.

    Raises CitywellError when the cases that have one are all events, or none.
    """
    rows = ~np.isnan(truth)
    y, person = cases.y[rows], cases.person[rows]
    if y.sum() in (0, len(y)):
        raise CitywellError(
            f"Of {len(y)} cases with a true risk {int(y.sum())} have the event: nothing can be compared.",
            where="risks against the answer key",
            do="evaluate a city with more people, or more years",
        )
    everybody = np.ones((1, len(cases)))
    return Comparison(
        cases=len(y),
        events=int(y.sum()),
        model=metrics.estimate(metrics.auroc, y, probability[rows], person),
        truth=metrics.estimate(metrics.auroc, y, truth[rows], person),
        gap=metrics.difference(metrics.auroc, y, truth[rows], probability[rows], person),
        calibration_error=float(metrics.calibration_error(cases.y, probability, everybody)[0]),
        without=int((~rows).sum()),
        tested=tested,
    )


@dataclass(frozen=True)
class Declines:
    """How a model tells cases whose time holds the admission of a planted decline from the others, of people whom the
    key knows.

    cases, declines: all, and those before such an admission. auroc: None where fewer than FEWEST_EVENTS declines, or
    other cases, could be compared. alerted, alerts: shares of the declines, and of all cases, at or above the alert
    line; of nothing 0.
    """

    cases: int
    declines: int
    auroc: Estimate | None
    alerted: float
    alerts: float


def compare_declines(
    probability: np.ndarray, person: np.ndarray, alert_line: float, is_before: np.ndarray
) -> Declines:
    """A model's probabilities of cases against the declines of ``truth.of_declines``; all of one length."""
    known = ~np.isnan(is_before)
    y, p = is_before[known].astype(np.int64), probability[known]
    is_alert = p >= alert_line
    return Declines(
        cases=len(y),
        declines=int(y.sum()),
        auroc=metrics.estimate(metrics.auroc, y, p, person[known]) if _is_enough(y) else None,
        alerted=_share(is_alert[y == 1]),
        alerts=_share(is_alert),
    )


def over_hazard(
    probability: np.ndarray, person: np.ndarray, is_before: np.ndarray, hazard: np.ndarray
) -> Estimate | None:
    """How much higher than that of the person's hazard of emergency care, which knows of no decline, the AUROC of a
    model is between cases before the admission of a planted decline and others: paired, on the cases that have both.

    All of one length; is_before, hazard: as of ``truth.of_declines``. None where there are too few to compare.
    """
    both = ~np.isnan(is_before) & ~np.isnan(hazard)
    y = is_before[both].astype(np.int64)
    if not _is_enough(y):
        return None
    return metrics.difference(metrics.auroc, y, probability[both], hazard[both], person[both])


@dataclass(frozen=True)
class Learnt:
    """champion: AUROC of the model in use on the test part, from whose patients no champion has learnt, whatever
    linkage has made of them since. making: what models made as it is have learnt."""

    champion: Estimate
    making: Comparison


def learnt_against_truth(
    name: str, as_of: datetime | str | None = None, answer_key: Path | None = None
) -> Learnt:
    """What the champion of question ``name`` and its making know, on the features built for ``as_of``, or the latest
    ones.

    The champion's own test people are a few of a small city, and others in each installation, as pseudonyms are: one
    model on those says little of how it was made. So a model of the champion's family and settings is fitted anew for
    each of five folds, on more data than the champion had, and judged on the people it has not seen (:func:`unseen`),
    over all labelled cases. answer_key: the city's directory of that name. Raises CitywellError when there is no
    champion or no answer key, when features no longer mean what the champion has learnt, or the key does not fit the
    cases.
    """
    champion = _champion(name, as_of)
    probability = unseen(champion.model.pipeline, champion.cases)
    truth = true_risks(name, champion.rows, answer_key)
    return Learnt(
        champion=champion.auroc(),
        making=compare(champion.cases, probability, truth, tested=int(champion.test.y.sum())),
    )


@dataclass(frozen=True)
class DeclinesFound:
    """champion, declines: of the model in use on its test part, as of ``Learnt``: its AUROC, and how it finds planted
    declines. over_hazard: of models made as it is, on all labelled cases, as the test part alone has few declines."""

    champion: Estimate
    declines: Declines
    over_hazard: Estimate | None


def declines_found(
    name: str, as_of: datetime | str | None = None, answer_key: Path | None = None
) -> DeclinesFound:
    """How the champion of question ``name`` and its making find planted declines. as_of, answer_key, models of the
    making and what is raised: as of :func:`learnt_against_truth`."""
    champion = _champion(name, as_of)
    model, cases, test = champion.model, champion.cases, champion.test
    is_before, hazard = planted_declines(name, champion.rows, answer_key)
    return DeclinesFound(
        champion=champion.auroc(),
        declines=compare_declines(
            champion.probability, test.person, model.lines.high, is_before[champion.parts.test]
        ),
        over_hazard=over_hazard(unseen(model.pipeline, cases), cases.person, is_before, hazard),
    )


@dataclass(frozen=True)
class _Champion:
    """A model in use, all labelled cases of its question (rows: as a table), and its probabilities of the test part."""

    model: registry.Model
    rows: pa.Table
    cases: Cases
    parts: Split
    test: Cases
    probability: np.ndarray

    def auroc(self) -> Estimate:
        return metrics.estimate(metrics.auroc, self.test.y, self.probability, self.test.person)


def _champion(name: str, as_of: datetime | str | None) -> _Champion:
    holder = registry.champion(name)
    if holder is None:
        raise CitywellError("There is no champion yet.", where=name, do="run the train DAG first")
    risk = questions.load(name)
    model = meaning.load(risk, holder)
    rows = pipeline.labelled(pipeline.training_rows(name, as_of))
    cases = pipeline.cases(risk, rows)
    parts = split(risk.question, cases)
    test = cases.take(parts.test)
    in_use = models.predict(model.pipeline, test.x[list(model.features)])
    return _Champion(model, rows, cases, parts, test, in_use)


def unseen(pipeline: Pipeline, cases: Cases) -> np.ndarray:
    """Probabilities of all cases by models of the pipeline's family and settings that have not seen the person. Where
    it is recalibrated, they are so too, by maps of its kind that have not either."""
    folds = grouped_folds(cases)
    plain, mapping = taken_apart(pipeline)
    raw = out_of_fold(plain, cases, folds)
    return raw if mapping is None else cross_fitted(method_of(mapping), raw, cases.y, folds)


def _is_enough(y: np.ndarray) -> bool:
    return min(int(y.sum()), int((1 - y).sum())) >= FEWEST_EVENTS


def _share(is_so: np.ndarray) -> float:
    return float(is_so.mean()) if len(is_so) else 0.0
