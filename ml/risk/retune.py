"""The step that ``citywell tune`` calls: a question's newest features -> a search -> a version -> the gate.

The setting that wins is kept with its version; once that is champion, scheduled trainings refit it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ml import models, tuning
from ml.lake import Summary
from ml.risk import pipeline, questions
from ml.risk.reading import open_lake
from ml.training import Refusal
from ml.tuning import Budget


def retune(name: str, budget: Budget, families: Sequence[str] = tuple(models.FAMILIES)) -> Summary:
    """Tune the question ``name`` on the features built last, register the model, and let the gate decide.

    ``outcome``: promoted, refused or too_few, as of a training. Raises CitywellError when nobody declared the question
    or a family, or the features have not been built.
    """
    risk = questions.load(name)
    for family in families:
        models.family(family)
    found = pipeline.material(risk)
    trained = tuning.tune(risk.question, found.cases, families, budget)
    if isinstance(trained, Refusal):
        return {"question": name, "outcome": "too_few", "reason": trained.reason}
    begun = {"minutes": budget.minutes, "trials": budget.trials, "at": datetime.now(UTC).isoformat()}
    with open_lake(f"train {name}") as lake:
        version = found.registered(trained, found.key(families, begun))
        decision = pipeline.judged(lake, found, trained, version)
    assert trained.nested is not None
    return {
        "question": name,
        "as_of": found.as_of.isoformat(),
        "outcome": "promoted" if decision.is_promoted else "refused",
        "reason": " ".join(decision.reasons),
        "model_version": version.number,
        "trials": len(trained.candidates),
        "family": trained.chosen.family,
        "setting": dict(trained.chosen.setting),
        "nested_auroc": round(trained.nested.auroc, 4),
        "nested_auroc_standard_error": round(trained.nested.standard_error, 4),
    }
