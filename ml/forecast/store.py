"""Forecasting models in MLflow: one experiment and one registered model per family, a version per training.

A run holds the comparison (a nested run per kind of model), the test's figures, the data it was made from by Delta
version, a model card, and ``forecaster.json``: plain text (a LightGBM model is text too), so that loading it runs
nothing. Seasonal naive and ETS are fitted anew at every issue; of them the choice and the calibration are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata, resources
from typing import Any

import lightgbm as lgb
import numpy as np

from jobs.crash import crash_here
from jobs.errors import CitywellError
from ml import registry
from ml.forecast.backtest import Backtest, Forecaster, Score
from ml.forecast.card import card
from ml.forecast.conformal import Calibration
from ml.forecast.families import Family
from ml.forecast.gate import tags as test_tags
from ml.forecast.models import BOOSTED, FITS, Boosted
from ml.forecast.panel import Panel
from ml.registry import Version

FILE = "forecaster.json"
_LIBRARIES = ("lightgbm", "statsforecast", "numpy")


def model_name(family: str) -> str:
    """Name of a family's registered model and experiment."""
    return f"forecast_{family}"


def training_key(panel: Panel, kinds: Iterable[str]) -> str:
    """Names a training by all that goes into it, so that doing it again is noticed. 16 hex digits."""
    digest = hashlib.sha256()
    for part in (panel.values, panel.exogenous, panel.summing, panel.starts.astype(np.int64)):
        digest.update(np.ascontiguousarray(part).tobytes())
    code = sorted(
        (item.name, item.read_bytes())
        for item in resources.files("ml.forecast").iterdir()
        if item.name.endswith(".py")
    )
    for name, content in code:
        digest.update(name.encode() + hashlib.sha256(content).digest())
    libraries = [f"{name}=={metadata.version(name)}" for name in _LIBRARIES]
    digest.update(json.dumps([panel.family, panel.names, list(kinds), libraries]).encode())
    return digest.hexdigest()[:16]


def find_training(family: str, key: str, *, uri: str | None = None) -> Version | None:
    """The version that an earlier training with the same ``key`` registered."""
    with registry.connected(uri) as mlflow:
        query = f"name = '{model_name(family)}' and tags.training_key = '{key}'"
        found = mlflow.MlflowClient().search_model_versions(query)
    versions = sorted((_version(item) for item in found), key=lambda version: int(version.number))
    return versions[0] if versions else None


def trained_for(version: Version) -> datetime:
    """The instant a version was trained for: it knows nothing later."""
    return datetime.fromisoformat(version.tags["as_of"])


def trainings(names: Iterable[str], *, uri: str | None = None) -> dict[tuple[str, str], datetime]:
    """By name and number, the instant that each version of the registered models ``names`` was trained for."""
    listed = (one.version for name in names for one in registry.versions(name, uri=uri))
    return {(version.name, version.number): trained_for(version) for version in listed}


def register(
    family: Family,
    panel: Panel,
    result: Backtest,
    *,
    as_of: datetime,
    data_versions: Mapping[str, int],
    key: str,
    uri: str | None = None,
) -> Version:
    """Log a training and register its model as a new version, without any alias.

    Raises CitywellError when MLflow does not answer.
    """
    name = model_name(family.name)
    tags = {
        "question": name,
        "as_of": as_of.astimezone(UTC).isoformat(),
        "training_key": key,
        "data_versions": json.dumps(dict(data_versions), sort_keys=True),
    }
    told = card(family, panel, result, as_of, data_versions)
    with registry.connected(uri) as mlflow:
        mlflow.set_experiment(name)
        with mlflow.start_run(run_name=f"{as_of:%Y-%m-%d} {result.chosen}", tags=tags) as run:
            for kind, score in result.compared.items():
                with mlflow.start_run(
                    run_name=kind, nested=True, tags={"is_chosen": str(kind == result.chosen).lower()}
                ):
                    mlflow.log_param("kind", kind)
                    mlflow.log_metrics(_metrics("compared", score))
            _log_data(mlflow, data_versions)
            mlflow.log_params(
                {"kind": result.chosen, "series": len(panel.names), "periods": len(panel.starts)}
            )
            mlflow.log_metrics(_metrics("test", result.test))
            mlflow.log_dict({k: asdict(v) for k, v in result.compared.items()}, "compared.json")
            mlflow.log_text(told, "model_card.md")
            mlflow.log_text(to_json(result.forecaster), FILE)
            source = mlflow.get_artifact_uri()
        crash_here("forecast:logged")
        client = mlflow.MlflowClient()
        _ensure_registered(client, name, family.title)
        made = client.create_model_version(
            name,
            source=source,
            run_id=run.info.run_id,
            tags={**tags, "kind": result.chosen, **test_tags(result.test)},
            description=told[: registry.DESCRIPTION_CHARS],
        )
        return _version(made)


def load(version: Version, panel: Panel, *, uri: str | None = None) -> Forecaster:
    """The forecaster of a version, ready for ``panel``. Raises CitywellError when it cannot be read."""
    with registry.connected(uri) as mlflow:
        text = mlflow.artifacts.load_text(f"runs:/{version.run_id}/{FILE}")
    try:
        return from_json(text, panel)
    except (ValueError, KeyError, TypeError, lgb.basic.LightGBMError) as error:
        raise CitywellError(
            f"The forecaster cannot be read ({type(error).__name__}).",
            where=f"model {version.name}, version {version.number}",
            do="train again",
        ) from None


def to_json(forecaster: Forecaster) -> str:
    """All of a forecaster but models that are fitted anew at every issue."""
    model = forecaster.model
    return json.dumps(
        {
            "kind": forecaster.kind,
            "booster": model.booster.model_to_string() if isinstance(model, Boosted) else None,
            "names": forecaster.names,
            "weights": forecaster.weights.tolist(),
            "offsets": {level: table.tolist() for level, table in forecaster.calibration.offsets.items()},
        }
    )


def from_json(text: str, panel: Panel) -> Forecaster:
    """What :func:`to_json` wrote; a kind without a kept model is fitted on ``panel``."""
    kept = json.loads(text)
    kind = kept["kind"]
    model = Boosted(lgb.Booster(model_str=kept["booster"])) if kind == BOOSTED else FITS[kind](panel)
    offsets = {level: np.array(table) for level, table in kept["offsets"].items()}
    return Forecaster(kind, model, tuple(kept["names"]), np.array(kept["weights"]), Calibration(offsets))


def _metrics(prefix: str, score: Score) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in ("mase", "against_naive", "coverage", "inside", "pinball"):
        estimate = getattr(score, name)
        found |= {
            f"{prefix}_{name}": estimate.value,
            f"{prefix}_{name}_low": estimate.low,
            f"{prefix}_{name}_high": estimate.high,
        }
    return {**found, f"{prefix}_targets": float(score.targets)}


def _log_data(mlflow: Any, data_versions: Mapping[str, int]) -> None:
    """Each table (as its path below the lake's directory) and its version, as a dataset without rows."""
    from mlflow.data.delta_dataset_source import DeltaDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    for table, version in data_versions.items():
        source = DeltaDatasetSource(path=table.replace(".", "/"), delta_table_version=version)
        dataset = MetaDataset(source, name=table, digest=f"v{version}")  # type: ignore[abstract]
        mlflow.log_input(dataset, context="training")


def _ensure_registered(client: Any, name: str, title: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=title)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _version(item: Any) -> Version:
    return Version(item.name, str(item.version), item.run_id, dict(item.tags))
