"""What the models of every risk question learn of a city of 20,000 people and seven years, against the risks that the
city itself draws from.

Three hospitals over their real protocol to silver, linkage, gold and features; then each question as a first training
does it: the same families, chosen by cross-validation on the training part, and the test part once. AUROC of the true
risk there is the most that any model could reach. Where the test part has too few events for a claim, the low end of
the gap's paired interval is judged. What a scheduled training of all of them takes, which refits what the first one
chose, is measured beside.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator

from ml import training
from ml.risk import evaluate, pipeline, questions, truth
from ml.training import Refusal
from tests.bench import made_city
from tests.bench.rows import Row
from tests.support.lake import TestLake

CITY = ("--population", "20000", "--years", "7")
MOST_REFITTING_SECONDS = 600.0
REPLICATES = 100
"""Of what a training says of its own test part, which is only for reading here."""


def measure(lake: TestLake) -> Iterator[object]:
    """Lines for the gap and the calibration error of each question; those that begin with # are for reading."""
    as_of = made_city.to_features(lake, CITY)
    refitting = 0.0
    for name in truth.told():
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


def of_question(name: str, as_of: str) -> Generator[str, None, float]:
    """The lines of one question, on the features built for an instant; returns the seconds of a scheduled training,
    which refits what was chosen."""
    risk = questions.load(name)
    table = pipeline.labelled(pipeline.training_rows(name, as_of))
    cases = pipeline.cases(risk, table)
    trained = training.train(risk.question, cases, pipeline.CANDIDATES, replicates=REPLICATES)
    if isinstance(trained, Refusal):
        yield f"# {name}: {trained.reason}"
        return 0.0
    test = training.split(risk.question, cases).test
    true_risks = truth.true_risks(name, table.take(test))
    found = evaluate.compare(
        trained.test, trained.test_probability, true_risks, tested=int(trained.test.y.sum())
    )
    yield (
        f"# {name}: {len(trained.train)} cases to train on, {trained.train.y.sum()} with the event; "
        f"{len(trained.test)} and {trained.test.y.sum()} to test on, {found.without} of these without a true risk; "
        f"{trained.chosen.family}"
    )
    yield f"# {name}: AUROC {found.model}, true risk {found.truth}, gap {found.gap}"
    for baseline in trained.evaluation.baselines:
        yield f"# {name}: {baseline.name} AUROC {baseline.auroc}, the model's is higher by {baseline.difference}"
    gap = found.gap
    yield _line(
        f"{name}_auroc_gap",
        f"{gap.value:.4f} AUROC true_risk={found.truth.value:.4f} {gap.low:.4f}..{gap.high:.4f} "
        f"{'' if found.is_claimed else 'low'}<={evaluate.MOST_GAP}",
        found.is_near,
    )
    by_chance = f"by_chance={trained.evaluation.ece_by_chance:.4f}"
    error = f"{found.calibration_error:.4f} share {by_chance} <={evaluate.MOST_CALIBRATION_ERROR}"
    yield _line(f"{name}_calibration_error", error, found.is_calibrated)
    started = time.monotonic()
    training.refit(risk.question, cases, trained.chosen.family, trained.chosen.setting)
    seconds = time.monotonic() - started
    yield f"# {name}: refitted in {seconds:.1f} s"
    return seconds


def _line(name: str, words: str, is_met: bool) -> str:
    return f"{name} {words} {'pass' if is_met else 'short'}"
