"""The champion against the simulated city's own risk: how much of what can be known has it learnt?

Runs inside the landing and vault zone: it turns the answer key's ids into pseudonyms. Only the simulated city has an
answer key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import CitywellError
from jobs.identity.pseudonyms import Pseudonymiser, load_key
from jobs.settings import settings
from ml import metrics, models, registry
from ml.metrics import Estimate
from ml.readmission import pipeline
from ml.readmission.features import QUESTION, TARGET
from ml.training import split

LEAST_KNOWN = 0.95


@dataclass(frozen=True)
class Comparison:
    """On the same test people: AUROC of the model, of the true risk, and the true risk's minus the model's, with paired
    intervals."""

    cases: int
    events: int
    model: Estimate
    truth: Estimate
    gap: Estimate


def compare(y: np.ndarray, probability: np.ndarray, truth: np.ndarray, person: np.ndarray) -> Comparison:
    """The comparison of a model's probabilities with the true risks of the same test cases."""
    return Comparison(
        cases=len(y),
        events=int(y.sum()),
        model=metrics.estimate(metrics.auroc, y, probability, person),
        truth=metrics.estimate(metrics.auroc, y, truth, person),
        gap=metrics.difference(metrics.auroc, y, truth, probability, person),
    )


def champion_against_truth(as_of: datetime | str | None = None, answer_key: Path | None = None) -> Comparison:
    """Compare the champion with the truth on the test part of the features built for ``as_of``, or the latest ones.

    No champion has learnt from a patient of the test part, whatever linkage has made of them since. answer_key: the
    city's directory of that name. Raises CitywellError when there is no champion or no answer key, or when the key does
    not fit the discharges.
    """
    holder = registry.champion(TARGET)
    if holder is None:
        raise CitywellError("There is no champion yet.", where=TARGET, do="run the train DAG first")
    model = registry.load(holder)
    labelled = pipeline.labelled(pipeline.features(as_of))
    cases = pipeline.cases(labelled)
    rows = split(QUESTION, cases).test
    truth = true_risks(labelled.take(rows), answer_key)
    is_known = ~np.isnan(truth)
    test = cases.take(rows[is_known])
    return compare(
        test.y, models.predict(model.pipeline, test.x[list(model.features)]), truth[is_known], test.person
    )


def true_risks(discharges: pa.Table, answer_key: Path | None = None) -> np.ndarray:
    """The true risk of each discharge (source, encounter_key), NaN for those of hospitals that the city does not play.

    answer_key: the city's directory of that name. Raises CitywellError when there is none, or when it knows fewer than
    LEAST_KNOWN of the discharges of its own hospitals: a few are not what they were, by the dirt that was planted.
    """
    path = (answer_key or settings().city_dir / "answer_key") / "discharges.parquet"
    if not path.exists():
        raise CitywellError(
            "There is no answer key.", where=str(path.parent), do="only the simulated city has one"
        )
    key = pq.read_table(path, columns=["source", "encounter_id", "true_risk"]).to_pylist()
    master = load_key(settings().keys_dir / "pseudonym.key")
    makers = {source: Pseudonymiser(master, source) for source in {row["source"] for row in key}}
    known = {makers[row["source"]].key("Encounter", row["encounter_id"]): row["true_risk"] for row in key}
    truth = np.array([known.get(one, np.nan) for one in discharges["encounter_key"].to_pylist()])
    is_of_city = np.isin(discharges["source"].to_pylist(), list(makers))
    missing = int(np.isnan(truth[is_of_city]).sum())
    if not is_of_city.any() or missing > (1 - LEAST_KNOWN) * is_of_city.sum():
        raise CitywellError(
            f"The answer key does not know {missing} of {int(is_of_city.sum())} discharges.",
            where=str(path),
            do="evaluate a lake with the city it was loaded from",
        )
    return truth
