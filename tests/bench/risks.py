"""What the models of every risk question learn of a city of 20,000 people and seven years, against the risks that the
city itself draws from.

Three hospitals and the wearables over their real protocols to silver, linkage, gold and features; then each question
as a first training does it: the same families, chosen by cross-validation on the training part, and the test part once.
AUROC of the true risk there is the most that any model could reach. Where the test part has too few events for a claim,
the low end of the gap's paired interval is judged. Deterioration is judged by the declines that the city plants before
admissions. What a scheduled training of all of them takes, which refits what the first one chose, is measured beside.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator

import numpy as np

from infra.evaluate.risks import of_declines
from ml import training
from ml.risk import evaluate, pipeline, questions, truth
from ml.training import Refusal, Trained
from tests.bench import made_city
from tests.bench.rows import Row
from tests.support.lake import TestLake

CITY = ("--population", "20000", "--years", "7")
SOURCES = ("hospital", "wearables")
MOST_REFITTING_SECONDS = 600.0
REPLICATES = 100
"""Of what a training says of its own test part, which is only for reading here."""


def measure(lake: TestLake) -> Iterator[object]:
    """Lines for the gap, or the declines found, and the calibration error of each question; those that begin with # are
    for reading."""
    as_of = made_city.to_features(lake, CITY, SOURCES)
    refitting = 0.0
    for name in (*truth.told(), evaluate.JUDGED_BY_DECLINES):
        started = time.monotonic()
        refitting += yield from of_question(name, as_of)
        made_city.say(f"{name}: {time.monotonic() - started:.0f} s")
    yield Row(
        "refit_of_all_champions",
        refitting,
        "s",
        f"budget={MOST_REFITTING_SECONDS:.0f}",
        refitting / MOST_REFITTING_SECONDS,
        "<=1",
        refitting <= MOST_REFITTING_SECONDS,
    )


def of_question(name: str, as_of: str) -> Generator[object, None, float]:
    """The lines of one question, on the features built for an instant; returns the seconds of a scheduled training,
    which refits what was chosen."""
    risk = questions.load(name)
    table = pipeline.labelled(pipeline.training_rows(name, as_of))
    cases = pipeline.cases(risk, table)
    trained = training.train(risk.question, cases, pipeline.CANDIDATES, replicates=REPLICATES)
    if isinstance(trained, Refusal):
        yield f"# {name}: {trained.reason}"
        return 0.0
    evaluation = trained.evaluation
    yield (
        f"# {name}: {len(trained.train)} cases to train on, {trained.train.y.sum()} with the event; "
        f"{len(trained.test)} and {trained.test.y.sum()} to test on; {trained.chosen.family}, "
        f"AUROC {evaluation.overall.metrics['auroc']}"
    )
    for baseline in evaluation.baselines:
        yield f"# {name}: {baseline.name} AUROC {baseline.auroc}, the model's is higher by {baseline.difference}"
    test = training.split(risk.question, cases).test
    if name == evaluate.JUDGED_BY_DECLINES:
        is_before, hazard = truth.planted_declines(name, table)
        found = evaluate.compare_declines(
            trained.test_probability, trained.test.person, trained.lines.high, is_before[test]
        )
        unseen = evaluate.unseen(trained.pipeline, cases)
        over_hazard = evaluate.over_hazard(unseen, cases.person, is_before, hazard)
        yield from of_declines(name, found, over_hazard)
    else:
        yield from _gap(name, trained, truth.true_risks(name, table.take(test)))
    calibration_error = evaluation.overall.metrics["calibration_error"].value
    yield _line(
        f"{name}_calibration_error",
        f"{calibration_error:.4f} share by_chance={evaluation.ece_by_chance:.4f} "
        f"<={evaluate.MOST_CALIBRATION_ERROR}",
        calibration_error <= evaluate.MOST_CALIBRATION_ERROR,
    )
    started = time.monotonic()
    training.refit(risk.question, cases, trained.chosen.family, trained.chosen.setting)
    seconds = time.monotonic() - started
    yield f"# {name}: refitted in {seconds:.1f} s"
    return seconds


def _gap(name: str, trained: Trained, true_risks: np.ndarray) -> Iterator[str]:
    found = evaluate.compare(
        trained.test, trained.test_probability, true_risks, tested=int(trained.test.y.sum())
    )
    gap = found.gap
    yield (
        f"# {name}: AUROC {found.model}, true risk {found.truth}, gap {gap}, {found.without} cases without a true risk"
    )
    yield _line(
        f"{name}_auroc_gap",
        f"{gap.value:.4f} AUROC true_risk={found.truth.value:.4f} {gap.low:.4f}..{gap.high:.4f} "
        f"{'' if found.is_claimed else 'low'}<={evaluate.MOST_GAP}",
        found.is_near,
    )


def _line(name: str, words: str, is_met: bool) -> str:
    return f"{name} {words} {'pass' if is_met else 'short'}"
