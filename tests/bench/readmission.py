"""What the readmission models learn of an admission-rich city, against the risk the city itself draws from.

Three hospitals over their real protocol to silver, gold and features; then all families, on the same training people,
each tested on the same test people. AUROC of the true risk there is the most that any model could reach.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from ml import metrics, models, training
from ml.risk import evaluate, pipeline
from ml.risk.readmission_30d import RISK
from ml.risk.truth import true_risks
from ml.training import Candidate
from tests.bench import made_city
from tests.support.lake import TestLake

CITY = ("--population", "8500", "--admission-rich")
LEAST_DISCHARGES = 16_000


def measure(lake: TestLake) -> Iterator[str]:
    """Lines for the discharges and for the gap between the chosen model and the truth; those that begin with # are for
    reading."""
    as_of = made_city.to_features(lake, CITY)
    table = pipeline.labelled(pipeline.training_rows(RISK.name, as_of))
    cases = pipeline.cases(RISK, table)
    yield _line(
        "readmission_discharges", f"{len(cases)} stays >={LEAST_DISCHARGES}", len(cases) >= LEAST_DISCHARGES
    )
    parts = training.split(RISK.question, cases)
    truth = true_risks(RISK.name, table.take(parts.test))
    train, test = cases.take(parts.train), cases.take(parts.test)
    yield (
        f"# {len(train)} discharges to train on, {train.y.sum()} with a readmission; {len(test)} and {test.y.sum()} "
        f"to test on; the answer key does not know {int(np.isnan(truth).sum())}"
    )
    events = int(test.y.sum())
    candidates: list[Candidate] = []
    tested: dict[str, np.ndarray] = {}
    for name in models.FAMILIES:
        started = time.monotonic()
        settings_tried = training.compare(RISK.question, train, [name])
        candidates += settings_tried
        best = max(settings_tried, key=lambda candidate: candidate.auroc)
        tested[name] = models.predict(training.fit(RISK.question, train, best), test.x)
        line = training.draw_lines(RISK.question, best.out_of_fold, train.y).high
        found = metrics.evaluate(test.y, tested[name], test.person, {}, line)
        yield f"# {name}: " + ", ".join(f"{n} {value}" for n, value in found.overall.metrics.items())
        made_city.say(f"{name}: {time.monotonic() - started:.0f} s")
    chosen = training.choose(candidates).family
    for name, probability in tested.items():
        compared = evaluate.compare(test, probability, truth, tested=events)
        yield f"# {name}: AUROC {compared.model}, true risk {compared.truth}, gap {compared.gap}"
    final = evaluate.compare(test, tested[chosen], truth, tested=events)
    gap = final.gap
    yield f"# chosen by cross-validation on the training part: {chosen}"
    yield _line(
        "readmission_auroc_gap",
        f"{gap.value:.4f} AUROC true_risk={final.truth.value:.4f} {gap.low:.4f}..{gap.high:.4f} <={evaluate.MOST_GAP}",
        gap.value <= evaluate.MOST_GAP,
    )


def _line(name: str, words: str, is_met: bool) -> str:
    return f"{name} {words} {'pass' if is_met else 'short'}"
