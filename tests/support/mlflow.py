"""An MLflow of the test's own, without a server."""

from __future__ import annotations

from pathlib import Path

from ml import registry


def tracking_store(home: Path, *experiments: str) -> str:
    """Address of a tracking store in a file below ``home``, with the experiments' artifacts beside it."""
    uri = f"sqlite:///{home / 'mlflow.db'}"
    with registry.connected(uri) as mlflow:
        for name in experiments:
            mlflow.create_experiment(name, artifact_location=(home / "artifacts" / name).as_uri())
    return uri
