"""What crossed its line, in words for the people who look after a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ml.monitoring.figures import Figure

MOST_TOLD = 5
METRICS = {
    "psi": "population stability index",
    "ks": "Kolmogorov-Smirnov distance",
    "auroc": "AUROC",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "calibration_in_the_large": "mean predicted minus observed",
    "expected_to_observed": "events foretold by events that came",
    "mase": "MASE",
    "mae": "mean absolute error",
    "coverage_90": "share within the 90 % interval",
    "inside_90": "share strictly inside the 90 % interval",
    "pinball": "pinball loss",
    "mase_35d": "MASE of five weeks",
    "coverage_90_35d": "share within the 90 % interval in five weeks",
    "inside_90_35d": "share strictly inside the 90 % interval in five weeks",
    "mase_182d": "MASE of 26 weeks",
    "coverage_90_182d": "share within the 90 % interval in 26 weeks",
    "inside_90_182d": "share strictly inside the 90 % interval in 26 weeks",
    "missing_share": "share missing",
    "share_moved": "share of the inputs that have moved",
    "share_moving": "share of the inputs that are moving",
    "alert_share": "share of alerts",
}
"""Others are written as they are called."""
_ABBREVIATED = {"psi": "PSI", "ks": "KS"}
"""Beside each of several features."""


def crossed(figures: Sequence[Figure], labels: Mapping[str, str]) -> str:
    """One sentence for each kind of figure that crossed its line; empty when none did. labels: feature -> its words.

    ``2 features have moved: last sodium (PSI 1.52, line 0.28); age (KS 0.31, line 0.20). It has decayed: …``
    """
    found = [figure for figure in figures if figure.is_crossed]
    moved: dict[str, list[str]] = {}
    for figure in sorted(
        (f for f in found if f.kind == "input_drift"), key=lambda f: -f.value / (f.line or 1)
    ):
        moved.setdefault(labels.get(figure.subject, figure.subject), []).append(_told(figure))
    said = [_told(figure) for figure in found if figure.kind == "prediction_drift"]
    decayed = [_told(figure) for figure in found if figure.kind == "performance"]
    forecasts = [f"{figure.target}: {_told(figure)}" for figure in found if figure.kind == "forecast"]
    features = [f"{label} ({', '.join(told)})" for label, told in moved.items()]
    count = f"{len(features)} feature{'s have' if len(features) > 1 else ' has'} moved"
    parts = (
        (count, _first(features)),
        ("Its probabilities have moved", _first(said)),
        ("It no longer holds what its card promised", _first(decayed)),
        ("Forecasts are off", _first(forecasts)),
    )
    return " ".join(f"{what}: {told}." for what, told in parts if told)


def _told(figure: Figure) -> str:
    metric = {**METRICS, **_ABBREVIATED}.get(figure.metric, figure.metric)
    within = "" if figure.low is None else f" ({figure.low:.2f} to {figure.high:.2f})"
    return f"{metric} {figure.value:.2f}{within}, line {figure.line:.2f}"


def _first(told: Sequence[str]) -> str:
    more = len(told) - MOST_TOLD
    return "; ".join(told[:MOST_TOLD]) + (f"; and {more} more" if more > 0 else "")
