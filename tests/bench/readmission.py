"""What the readmission models learn of an admission-rich city, against the risk the city itself draws from.

Three hospitals over their real protocol to silver, gold and features; then all families, on the same training people,
each tested on the same test people. AUROC of the true risk there is the most that any model could reach.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from jobs import ingest, transform
from jobs.settings import settings
from jobs.sources import load as load_source
from ml import metrics, models, risk, training
from ml.risk import evaluate, pipeline
from ml.risk.readmission_30d import RISK
from ml.training import Candidate
from tests.support.city import clock, running_city
from tests.support.lake import TestLake

CITY = ("--population", "8500", "--admission-rich")
LEAST_DISCHARGES = 16_000
MOST_GAP = 0.03


def measure(lake: TestLake) -> Iterator[str]:
    """Lines for the discharges and for the gap between the chosen model and the truth; those that begin with # are for
    reading."""
    as_of = _features(lake)
    table = pipeline.labelled(pipeline.training_rows(RISK.name, as_of))
    cases = pipeline.cases(RISK, table)
    yield _line(
        "readmission_discharges", f"{len(cases)} stays >={LEAST_DISCHARGES}", len(cases) >= LEAST_DISCHARGES
    )
    parts = training.split(RISK.question, cases)
    truth = evaluate.true_risks(table.take(parts.test))
    is_known = ~np.isnan(truth)
    truth = truth[is_known]
    train, test = cases.take(parts.train), cases.take(parts.test[is_known])
    yield (
        f"# {len(train)} discharges to train on, {train.y.sum()} with a readmission; {len(test)} and {test.y.sum()} "
        f"to test on; the answer key does not know {int((~is_known).sum())}"
    )
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
        _say(f"{name}: {time.monotonic() - started:.0f} s")
    chosen = training.choose(candidates).family
    for name, probability in tested.items():
        compared = evaluate.compare(test.y, probability, truth, test.person)
        yield f"# {name}: AUROC {compared.model}, true risk {compared.truth}, gap {compared.gap}"
    final = evaluate.compare(test.y, tested[chosen], truth, test.person)
    gap = final.gap
    yield f"# chosen by cross-validation on the training part: {chosen}"
    yield _line(
        "readmission_auroc_gap",
        f"{gap.value:.4f} AUROC true_risk={final.truth.value:.4f} {gap.low:.4f}..{gap.high:.4f} <={MOST_GAP}",
        gap.value <= MOST_GAP,
    )


def _features(lake: TestLake) -> str:
    """Make the city, take its records to features, and say for which instant."""
    home = str(lake.home)
    subprocess.run(
        [sys.executable, "-m", "infra.city", "make", "--home", home, *CITY], stdout=sys.stderr, check=True
    )
    with pytest.MonkeyPatch.context() as monkeypatch, running_city(lake.home, *CITY) as url:
        monkeypatch.setenv("CITYWELL_CITY_PORT", url.rpartition(":")[2])
        settings.cache_clear()
        as_of = clock(url)
        for source in load_source("hospital").endpoints:
            if source == "hospital_given":
                continue
            started = time.monotonic()
            received = ingest.ingest(source, as_of)["received"]
            _say(f"{source}: {received:,} records in {time.monotonic() - started:.0f} s")
    for name, step in (("gold", transform.run), ("features", risk.build_features)):
        started = time.monotonic()
        step(as_of)
        _say(f"{name}: {time.monotonic() - started:.0f} s")
    settings.cache_clear()
    return as_of


def _line(name: str, words: str, is_met: bool) -> str:
    return f"{name} {words} {'pass' if is_met else 'short'}"


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
