"""How the report writes figures and names."""

from __future__ import annotations

from infra.report.model import Estimate
from jobs.writeback.disclosure import SMALLEST_SHOWN, shown

METRIC_NAMES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "accuracy": "Accuracy",
    "recall": "Recall",
    "precision": "Precision",
    "f1": "F1",
    "brier": "Brier score",
    "calibration_error": "Calibration error",
    "calibration_in_the_large": "Predicted minus observed",
    "expected_to_observed": "Events foretold by those that came",
    "calibration_intercept": "Calibration intercept",
    "calibration_slope": "Calibration slope",
}


def people(count: int) -> str:
    """A count of people as it may be shown."""
    allowed = shown(count)
    return f"<{SMALLEST_SHOWN}" if allowed is None else thousands(allowed)


def thousands(count: float) -> str:
    return f"{count:,.0f}"


def hospital(source: str) -> str:
    """``hospital_north`` as a heading: North."""
    return source.removeprefix("hospital_").replace("_", " ").capitalize()


def estimate(figure: Estimate) -> str:
    """0.781 (0.752 to 0.809)"""
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def in_words(name: str) -> str:
    """``body_mass_index`` as people write it."""
    return name.replace("_", " ")
