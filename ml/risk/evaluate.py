"""The champion and its making against the simulated city's own risk: how much of what can be known is learnt?

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
from ml.risk import pipeline, questions
from ml.training import grouped_folds, out_of_fold, split

READMISSION = "readmission_30d"
LEAST_KNOWN = 0.95


@dataclass(frozen=True)
class Comparison:
    """On the same people: AUROC of the model, of the true risk, and the true risk's minus the model's, with paired
    intervals."""

    cases: int
    events: int
    model: Estimate
    truth: Estimate
    gap: Estimate


def compare(y: np.ndarray, probability: np.ndarray, truth: np.ndarray, person: np.ndarray) -> Comparison:
    """The comparison of a model's probabilities with the true risks of the same cases."""
    return Comparison(
        cases=len(y),
        events=int(y.sum()),
        model=metrics.estimate(metrics.auroc, y, probability, person),
        truth=metrics.estimate(metrics.auroc, y, truth, person),
        gap=metrics.difference(metrics.auroc, y, truth, probability, person),
    )


def champion_on_test(name: str, as_of: datetime | str | None = None) -> Estimate:
    """AUROC of the champion of question ``name`` on the test part of the features built for ``as_of``, or the latest
    ones.

    No champion has learnt from a patient of the test part, whatever linkage has made of them since. Raises
    CitywellError when there is no champion.
    """
    model, risk = _champion(name), questions.load(name)
    cases = pipeline.cases(risk, pipeline.labelled(pipeline.training_rows(name, as_of)))
    test = cases.take(split(risk.question, cases).test)
    return metrics.estimate(
        metrics.auroc, test.y, models.predict(model.pipeline, test.x[list(model.features)]), test.person
    )


def learnt_against_truth(as_of: datetime | str | None = None, answer_key: Path | None = None) -> Comparison:
    """Compare what models made as the champion is have learnt with the truth, on every labelled discharge of the
    features built for ``as_of``, or the latest ones.

    The champion's own test people are a few of a small city, and others in each installation, as pseudonyms are: one
    model on those says little of how it was made. So a model of the champion's family and settings is fitted anew for
    each of five folds, on more data than the champion had, and judged on the people it has not seen; how the champion
    itself ranks people is ``champion_on_test``. answer_key: the city's directory of that name. Raises CitywellError
    when there is no champion or no answer key, or when the key does not fit the discharges.
    """
    model = _champion(READMISSION)
    labelled = pipeline.labelled(pipeline.training_rows(READMISSION, as_of))
    truth = true_risks(labelled, answer_key)
    is_known = ~np.isnan(truth)
    cases = pipeline.cases(questions.load(READMISSION), labelled).take(is_known)
    probability = out_of_fold(model.pipeline, cases, grouped_folds(cases))
    return compare(cases.y, probability, truth[is_known], cases.person)


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


def _champion(name: str) -> registry.Model:
    holder = registry.champion(name)
    if holder is None:
        raise CitywellError("There is no champion yet.", where=name, do="run the train DAG first")
    return registry.load(holder)
