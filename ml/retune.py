"""The step that ``citywell tune`` calls: a question's newest features -> a search -> a version -> the gate.

The setting that wins is kept with its version; once that is champion, scheduled trainings refit it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources

from jobs.errors import CitywellError
from jobs.lake import control
from ml import gate, models, registry, tuning
from ml.question import Cases, Question
from ml.training import Refusal
from ml.tuning import Budget


@dataclass(frozen=True)
class Material:
    """What a question is trained on. digests: of its data and code, as in ``registry.training_key``."""

    question: Question
    cases: Cases
    as_of: datetime
    data_versions: Mapping[str, int]
    digests: Mapping[str, str]
    definition: str


def retune(name: str, budget: Budget, families: Sequence[str] = tuple(models.FAMILIES)) -> dict[str, object]:
    """Tune the question ``name`` on the features built last, register the model, and let the gate decide.

    ``outcome``: promoted, refused or too_few, as of a training. Raises CitywellError when nobody declared the question,
    or its features have not been built.
    """
    found = material(name)
    for family in families:
        models.family(family)
    trained = tuning.tune(found.question, found.cases, families, budget)
    if isinstance(trained, Refusal):
        return {"question": name, "outcome": "too_few", "reason": trained.reason}
    begun = {"minutes": budget.minutes, "trials": budget.trials, "at": datetime.now(UTC).isoformat()}
    key = registry.training_key(found.question, found.as_of, found.digests, list(families), begun)
    with control.connect() as conn, control.lock(conn, f"train {name}"):
        version = registry.register(
            trained,
            as_of=found.as_of,
            data_versions=found.data_versions,
            key=key,
            definition=found.definition,
        )
        decision = gate.promote(trained, version)
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


def material(name: str) -> Material:
    """What the question ``name`` is trained on: the published features that were built last."""
    from ml.readmission import pipeline
    from ml.readmission.features import QUESTION, TARGET

    if name != TARGET:
        raise CitywellError(
            f"There is no question {name!r}.", where="citywell tune", do=f"choose from {TARGET}"
        )
    table = pipeline.features()
    if not table.num_rows:
        raise CitywellError(
            "The features have no row.", where=pipeline.FEATURES, do="run the train DAG first"
        )
    with control.connect() as conn:
        version = control.current_versions(conn)[pipeline.FEATURES]
    return Material(
        question=QUESTION,
        cases=pipeline.cases(pipeline.labelled(table)),
        as_of=table["built_as_of"][0].as_py().astimezone(UTC),
        data_versions={**json.loads(table["gold_versions"][0].as_py()), pipeline.FEATURES: version},
        digests={"features": pipeline.content_digest(table), "code": pipeline.code_digest()},
        definition=resources.files("ml.readmission").joinpath("definition.md").read_text("utf-8"),
    )
