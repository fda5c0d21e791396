"""Models in MLflow: what is logged, how a version is made, and how the champion is found again.

One experiment per question; one run per training, with a nested run per candidate; one registered model of the
question's name. Aliases are in ``ml.aliases``; ``champion`` is moved by ``ml.gate`` and by a rollback alone.

Models are stored in the skops format and loaded with this module's own list of trusted types: a pickle, or MLflow's
loader, would believe whatever the artifact store holds. Nothing of a real person is logged: the input example is the
made-up reference of ``ml.explain``.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import skops.io
from sklearn.pipeline import Pipeline

from jobs.crash import crash_here
from jobs.errors import CitywellError
from ml import explain, labels, logbook, models
from ml.aliases import (
    CHALLENGER,
    aliased,
    champion,
    rollback,
    rolled_back_at,
    set_challenger,
    set_champion,
    versions,
)
from ml.card import model_card
from ml.labels import LabelState
from ml.metrics import Evaluation
from ml.models import Setting
from ml.plots import decision_plot, reliability_plot
from ml.question import Question
from ml.tracking import Version, connected, version_of
from ml.training import Lines, Trained

__all__ = [
    "CHALLENGER",
    "Model",
    "UnusableModel",
    "Version",
    "aliased",
    "champion",
    "connected",
    "feature_digests",
    "find_training",
    "label_state",
    "labels_of",
    "load",
    "log",
    "register",
    "rollback",
    "rolled_back_at",
    "set_challenger",
    "set_champion",
    "set_tags",
    "setting_of",
    "training_key",
    "versions",
]

DESCRIPTION_CHARS = 5_000
CARD_GOES_ON = "\n\n… the whole card is the artifact model_card.md of the run"
MODEL_FILE = "model.skops"
MEANINGS_TAG = "feature_meanings"
"""Versions from before digests went by what a formula names have ``feature_digests`` instead, which say too little to
be compared: they are taken as versions without digests."""
TRUSTED_TYPES = (
    "collections.OrderedDict",
    "functools.partial",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "ml.recalibration.LogisticMap",
    "ml.recalibration.Recalibrated",
    "ml.recalibration.StepMap",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.model_selection._split.StratifiedGroupKFold",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)
"""What the families and their recalibration need beyond what skops trusts by itself; LightGBM's trees are
kept as its own text."""

_REQUIREMENTS = ("mlflow", "scikit-learn", "lightgbm", "skops", "numpy", "pandas")


@dataclass(frozen=True)
class Model:
    """A version ready to score. features: names and order it was trained with. typical: its reference person."""

    version: Version
    pipeline: Pipeline
    lines: Lines
    features: tuple[str, ...]
    typical: pd.DataFrame


class UnusableModel(CitywellError):
    """The stored model cannot be turned into one that scores."""


def training_key(
    question: Question,
    as_of: datetime,
    digests: Mapping[str, str],
    families: list[str],
    setting: Mapping[str, Any] | None = None,
) -> str:
    """Names a training by what goes into it, so that doing it again is noticed. 16 hex digits.

    digests: of the data and the code, by name. setting: what a refit takes as given, or a tuning's budget.
    """
    inputs = {
        "features": [asdict(feature) for feature in question.features],
        "question": [question.name, question.horizon_days, question.alert_budget],
        "as_of": as_of.astimezone(UTC).isoformat(),
        "digests": dict(digests),
        "families": [[name, [dict(s) for s in models.family(name).settings]] for name in families],
        "sklearn": importlib.metadata.version("scikit-learn"),
        **({"setting": dict(setting)} if setting is not None else {}),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def _shortened(card: str) -> str:
    """What of the card MLflow's column of 5,000 characters holds; the whole card is an artifact of the run."""
    if len(card) <= DESCRIPTION_CHARS:
        return card
    return card[: DESCRIPTION_CHARS - len(CARD_GOES_ON)] + CARD_GOES_ON


def register(
    trained: Trained,
    *,
    as_of: datetime,
    data_versions: Mapping[str, int],
    key: str,
    definition: str = "",
    cohort: Mapping[str, int] | None = None,
    feature_digests: Mapping[str, str] | None = None,
    uri: str | None = None,
) -> Version:
    """Log a training and register its model as a new version, without any alias.

    data_versions: table -> Delta version the cases were made from. key: of :func:`training_key`; runs that an earlier
    try left without a version are deleted. feature_digests: feature -> digest of its definition, for the gate to see
    that it still means the same. Raises CitywellError when MLflow does not answer.
    """
    question = trained.question
    with connected(uri) as mlflow:
        mlflow.set_experiment(question.name)
        if find_training(question, key, uri=uri) is None:
            _delete_runs(mlflow, question, key)
        tags = {
            "question": question.name,
            "as_of": as_of.astimezone(UTC).isoformat(),
            "training_key": key,
            "data_versions": json.dumps(dict(data_versions), sort_keys=True),
        }
        with mlflow.start_run(run_name=f"{as_of:%Y-%m-%d} {trained.chosen.family}", tags=tags) as run:
            for candidate in trained.candidates:
                logbook.log_candidate(mlflow, candidate, key, is_chosen=candidate is trained.chosen)
            logbook.log_data(mlflow, data_versions)
            if trained.nested is not None:
                logbook.log_nested(mlflow, trained.nested, key)
            mlflow.log_params(logbook.params(trained))
            mlflow.log_metrics(logbook.figures(trained.evaluation))
            mlflow.log_dict(logbook.as_told(trained.evaluation), "evaluation.json")
            card = model_card(
                trained, as_of=as_of, data_versions=data_versions, definition=definition, cohort=cohort
            )
            mlflow.log_text(card, "model_card.md")
            mlflow.log_figure(reliability_plot(trained.evaluation, question.name), "reliability.png")
            mlflow.log_figure(decision_plot(trained.evaluation, question.name), "decision_curve.png")
            info = _log_model(mlflow, trained)
        crash_here("train:logged")
        client = mlflow.MlflowClient()
        _ensure_registered(mlflow, client, question)
        made = client.create_model_version(
            question.name,
            source=info.model_uri,
            run_id=run.info.run_id,
            model_id=info.model_id,
            tags={
                **tags,
                "family": trained.chosen.family,
                "setting": json.dumps(dict(trained.chosen.setting), sort_keys=True),
                "label_state": json.dumps(asdict(labels_of(trained))),
                MEANINGS_TAG: json.dumps(dict(feature_digests or {}), sort_keys=True),
                **_version_metrics(trained.evaluation),
            },
            description=_shortened(card),
        )
        return version_of(made)


def find_training(question: Question, key: str, *, uri: str | None = None) -> Version | None:
    """The version that an earlier training with the same ``key`` registered."""
    with connected(uri) as mlflow:
        query = f"name = '{question.name}' and tags.training_key = '{key}'"
        found = mlflow.MlflowClient().search_model_versions(query)
    versions = sorted((version_of(item) for item in found), key=lambda version: int(version.number))
    return versions[0] if versions else None


def setting_of(version: Version) -> tuple[str, Setting] | None:
    """Family and setting of a version, for ``training.refit``; None for one that was made before they were kept."""
    if "setting" not in version.tags or version.tags["family"] not in models.FAMILIES:
        return None
    return version.tags["family"], json.loads(version.tags["setting"])


def labels_of(trained: Trained) -> LabelState:
    """The state of the labels that a model has learnt from."""
    return labels.state(trained.train.y, trained.out_of_fold, trained.chosen.fold_auroc)


def label_state(version: Version) -> LabelState | None:
    """The state of the labels that a version has learnt from; None for one made before it was kept."""
    kept = version.tags.get("label_state")
    return LabelState(**json.loads(kept)) if kept else None


def feature_digests(version: Version) -> Mapping[str, str]:
    """Feature -> digest of its definition when ``version`` was trained, as far as it was given."""
    return json.loads(version.tags.get(MEANINGS_TAG, "{}"))


def set_tags(version: Version, tags: Mapping[str, str], *, uri: str | None = None) -> None:
    """Write ``tags``, in their order, on a version's run and on the version."""
    with connected(uri) as mlflow:
        client = mlflow.MlflowClient()
        for key, value in tags.items():
            client.set_tag(version.run_id, key, value)
            client.set_model_version_tag(version.name, version.number, key, value)


def log(
    version: Version,
    file: str,
    told: Mapping[str, Any],
    figures: Mapping[str, float],
    *,
    uri: str | None = None,
) -> None:
    """Add the JSON artifact ``file`` and metrics to the run that made ``version``."""
    with connected(uri) as mlflow:
        client = mlflow.MlflowClient()
        client.log_dict(version.run_id, dict(told), file)
        for name, value in figures.items():
            client.log_metric(version.run_id, name, value)


def load(version: Version, *, uri: str | None = None) -> Model:
    """The model of ``version``. Raises UnusableModel when it holds a type that is not trusted, or parts that
    this version of scikit-learn does not know."""
    with connected(uri) as mlflow, tempfile.TemporaryDirectory() as directory:
        place = f"models:/{version.name}/{version.number}"
        path = Path(mlflow.artifacts.download_artifacts(artifact_uri=place, dst_path=directory))
        metadata = mlflow.models.Model.load(str(path)).metadata
        try:
            pipeline = skops.io.load(path / MODEL_FILE, trusted=list(TRUSTED_TYPES))
        except (skops.io.exceptions.UntrustedTypesFoundException, ValueError, TypeError, KeyError) as error:
            raise UnusableModel(
                f"The model cannot be loaded ({type(error).__name__}).",
                where=place,
                do="train again; if it was made by another version of Citywell, with that one",
            ) from None
    return Model(
        version=version,
        pipeline=pipeline,
        lines=Lines(**metadata["lines"]),
        features=tuple(metadata["features"]),
        typical=_typical(metadata),
    )


def _typical(metadata: Mapping[str, Any]) -> pd.DataFrame:
    """The reference person as it was at training: missing numbers are NaN again, columns in their order."""
    frame = pd.DataFrame([metadata["typical"]])[metadata["features"]]
    return frame.astype({name: float for name, kind in metadata["kinds"].items() if kind != "category"})


def _delete_runs(mlflow: Any, question: Question, key: str) -> None:
    named = f"tags.training_key = '{key}'"
    for run in mlflow.search_runs(
        experiment_names=[question.name], filter_string=named, output_format="list"
    ):
        mlflow.delete_run(run.info.run_id)


def _log_model(mlflow: Any, trained: Trained) -> Any:
    typical = explain.reference(trained.question, trained.train)
    signature = mlflow.models.infer_signature(typical, trained.pipeline.predict_proba(typical))
    return mlflow.sklearn.log_model(
        trained.pipeline,
        name="model",
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED_TYPES),
        signature=signature,
        input_example=typical,
        pyfunc_predict_fn="predict_proba",
        conda_env=_environment(),
        metadata={
            "question": trained.question.name,
            "features": trained.question.feature_names,
            "kinds": {feature.name: feature.kind for feature in trained.question.features},
            "lines": asdict(trained.lines),
            "typical": typical.iloc[0].astype(object).where(typical.iloc[0].notna(), None).to_dict(),
        },
    )


def _environment() -> dict[str, Any]:
    """What a model server needs, exactly as installed here."""
    pip = [f"{name}=={importlib.metadata.version(name)}" for name in _REQUIREMENTS]
    return {"name": "citywell", "dependencies": [f"python={platform.python_version()}", "pip", {"pip": pip}]}


def _version_metrics(evaluation: Evaluation) -> dict[str, str]:
    found = evaluation.overall.metrics
    return {
        f"test_{name}": str(found[name]) for name in ("auroc", "auprc", "calibration_error") if name in found
    }


def _ensure_registered(mlflow: Any, client: Any, question: Question) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(question.name, description=question.title)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
