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


@dataclass(frozen=True)
class Comparison:
    """On the same test people: AUROC of the model, of the true risk, and the true risk's minus the model's, with paired
    intervals. discharges: all labelled ones, of which ``cases`` are in the test part."""

    discharges: int
    cases: int
    events: int
    model: Estimate
    truth: Estimate
    gap: Estimate


def compare(y: np.ndarray, probability: np.ndarray, truth: np.ndarray, person: np.ndarray) -> Comparison:
    """The comparison of a model's probabilities with the true risks of the same test cases."""
    return Comparison(
        discharges=len(y),
        cases=len(y),
        events=int(y.sum()),
        model=metrics.estimate(metrics.auroc, y, probability, person),
        truth=metrics.estimate(metrics.auroc, y, truth, person),
        gap=metrics.difference(metrics.auroc, y, truth, probability, person),
    )


def champion_against_truth(as_of: datetime | str, answer_key: Path | None = None) -> Comparison:
    """Compare the champion with the truth on the test part of the features built for ``as_of``.

    answer_key: the city's directory of that name. Raises CitywellError when there is no champion, no answer key, or
    a test discharge it does not know.
    """
    holder = registry.champion(TARGET)
    if holder is None:
        raise CitywellError("There is no champion yet.", where=TARGET, do="run the train DAG first")
    model = registry.load(holder)
    labelled = pipeline.labelled(pipeline.features(as_of))
    cases = pipeline.cases(labelled)
    rows = split(QUESTION, cases).test
    test = cases.take(rows)
    known = _true_risks(answer_key or settings().city_dir / "answer_key")
    truth = np.array([known.get(key, np.nan) for key in labelled["encounter_key"].take(rows).to_pylist()])
    if np.isnan(truth).any():
        raise CitywellError(
            f"The answer key does not know {int(np.isnan(truth).sum())} of {len(truth)} test discharges.",
            where="answer key of the city",
            do="evaluate only what came from the simulated city",
        )
    found = compare(test.y, models.predict(model.pipeline, test.x[list(model.features)]), truth, test.person)
    return Comparison(**{**vars(found), "discharges": len(cases)})


def _true_risks(answer_key: Path) -> dict[str, float]:
    """encounter_key -> true risk of its discharge."""
    path = answer_key / "discharges.parquet"
    if not path.exists():
        raise CitywellError(
            "There is no answer key.", where=str(answer_key), do="only the simulated city has one"
        )
    table: pa.Table = pq.read_table(path, columns=["source", "encounter_id", "true_risk"])
    master = load_key(settings().keys_dir / "pseudonym.key")
    makers = {source: Pseudonymiser(master, source) for source in set(table["source"].to_pylist())}
    return {
        makers[row["source"]].key("Encounter", row["encounter_id"]): row["true_risk"]
        for row in table.to_pylist()
    }
