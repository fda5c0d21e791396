"""What is written into an MLflow run about a training: parameters, metrics, candidates, folds and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from jobs.writeback.disclosure import shown
from ml.metrics import Estimate, Evaluation
from ml.nested import Nested
from ml.procedure import Candidate
from ml.training import Trained


def log_candidate(mlflow: Any, candidate: Candidate, key: str, *, is_chosen: bool) -> None:
    """A nested run with the candidate's setting and cross-validation."""
    tags = {"is_chosen": str(is_chosen).lower(), "training_key": key}
    with mlflow.start_run(run_name=candidate.family, nested=True, tags=tags):
        mlflow.log_params({"family": candidate.family, **candidate.setting})
        folds = {f"cv_auroc_fold_{i}": value for i, value in enumerate(candidate.fold_auroc, 1)}
        mlflow.log_metrics(
            {
                "cv_auroc": candidate.auroc,
                "cv_log_loss": candidate.log_loss,
                "cv_calibration_error": candidate.calibration_error,
                "cv_seconds": candidate.seconds,
                **folds,
            }
        )


def log_nested(mlflow: Any, nested: Nested, key: str) -> None:
    """The procedure's own figures on the run, and a nested run per outer fold."""
    mlflow.log_metrics(
        {
            "nested_auroc": nested.auroc,
            "nested_auroc_standard_error": nested.standard_error,
            "nested_calibration_error": nested.calibration_error,
        }
    )
    for number, fold in enumerate(nested.folds, 1):
        tags = {"outer_fold": str(number), "training_key": key}
        with mlflow.start_run(run_name=f"outer fold {number}", nested=True, tags=tags):
            chosen = {"family": fold.family, "recalibration": fold.recalibration or "none"}
            mlflow.log_params({**chosen, **fold.setting})
            mlflow.log_metrics({"outer_auroc": fold.auroc, "outer_log_loss": fold.log_loss})


def log_data(mlflow: Any, data_versions: Mapping[str, int]) -> None:
    """Each table (as its path below the lake's directory) and its version, as a dataset without rows."""
    from mlflow.data.delta_dataset_source import DeltaDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    for table, version in data_versions.items():
        source = DeltaDatasetSource(path=table.replace(".", "/"), delta_table_version=version)
        dataset = MetaDataset(source, name=table, digest=f"v{version}")  # type: ignore[abstract]
        mlflow.log_input(dataset, context="training")


def params(trained: Trained) -> dict[str, Any]:
    """The chosen family and setting, the lines, and the size of both parts."""
    return {
        "family": trained.chosen.family,
        **trained.chosen.setting,
        "recalibration": trained.recalibration.method or "none",
        "alert_line": trained.lines.high,
        "medium_line": trained.lines.medium,
        "test_from": str(trained.cut),
        "training_cases": len(trained.train),
        "training_events": int(trained.train.y.sum()),
        "test_cases": len(trained.test),
        "test_events": int(trained.test.y.sum()),
    }


def as_told(evaluation: Evaluation) -> dict[str, Any]:
    """``evaluation`` with the counts of its groups, and of its baselines, as they may be shown.

    From exact ones the count of a group that is left out would follow by subtraction.
    """
    told = asdict(evaluation)
    for group in told["groups"]:
        group.update({name: shown(group[name]) for name in ("cases", "people", "events")})
    for baseline in told["baselines"]:
        baseline["cases"] = shown(baseline["cases"])
    return told


def figures(evaluation: Evaluation) -> dict[str, float]:
    """All figures of the test part by MLflow's names, groups after a slash."""
    found = {
        "test_calibration_error_by_chance": evaluation.ece_by_chance,
        "test_alert_share": evaluation.alert_share,
        "test_net_benefit": evaluation.at_line.model,
        "test_net_benefit_everybody": evaluation.at_line.everybody,
    }
    for baseline in evaluation.baselines:
        gap = baseline.difference
        name = f"baseline/{baseline.name}"
        found |= {f"{name}_auroc": baseline.auroc.value, f"{name}_auroc_difference": gap.value}
        found |= {f"{name}_auroc_difference_low": gap.low, f"{name}_auroc_difference_high": gap.high}
    for result in (evaluation.overall, *evaluation.groups):
        prefix = "test" if result is evaluation.overall else f"test/{_metric_name(result.group)}"
        for name, estimate in result.metrics.items():
            found[f"{prefix}_{name}"] = estimate.value
            if isinstance(estimate, Estimate):
                found |= {f"{prefix}_{name}_low": estimate.low, f"{prefix}_{name}_high": estimate.high}
    return found


def _metric_name(group: str) -> str:
    """MLflow allows few characters: ``age=80+`` becomes ``age 80 up``, ``age=<18`` ``age below 18``."""
    return group.replace("=<", " below ").replace("=", " ").replace("+", " up")
