"""The connection to MLflow, with its telemetry off, and a registered version as the rest of ``ml`` sees one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jobs.errors import CitywellError
from jobs.settings import settings

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass(frozen=True)
class Version:
    """A registered version. ``tags`` are MLflow's, all text."""

    name: str
    number: str
    run_id: str
    tags: Mapping[str, str]


@contextmanager
def connected(uri: str | None) -> Iterator[Any]:
    """MLflow, imported on first use with telemetry off, talking to ``uri`` (by default the stack's server)."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow
    from mlflow.exceptions import MlflowException

    where = uri or settings().mlflow_url
    mlflow.set_tracking_uri(where)
    try:
        yield mlflow
    except MlflowException as error:
        code = getattr(error, "error_code", "")
        raise CitywellError(
            f"MLflow refused or did not answer ({code or type(error).__name__}).",
            where=where.rpartition("@")[2],
            do="run `citywell status`; start the stack with `citywell up`, then run the task again",
        ) from error


def version_of(item: Any) -> Version:
    """MLflow's own version, as ours."""
    return Version(item.name, str(item.version), item.run_id, dict(item.tags))
