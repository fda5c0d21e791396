"""Whether a champion still answers as its card promised, now that what it foretold has come to pass or not.

A metric has decayed when it is off *clearly*:

* AUROC: the upper end of its interval is more than MOST_AUROC_LOSS below the lower end of the card's;
* calibration in the large (mean probability minus observed share): the near end of its interval is further from zero
  than the calibration error that the gate allows;
* events foretold by events that came: clearly beyond what the gate allows, either way;
* calibration error: above what the gate allows, and above what chance explains.

The lines of calibration are the gate's own (``ml.gate``): what would not have been let in has decayed. Brier score,
recall and precision are told without a line: they go up and down with how common the event is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ml import gate, metrics
from ml.metrics import Estimate
from ml.monitoring.figures import ALL, Figure
from ml.tracking import Version, connected

MOST_AUROC_LOSS = 0.02
"""A patient's rank moves by two places in a hundred: less is not worth a training."""


@dataclass(frozen=True)
class Promise:
    """What the card said of the test part. auroc_low: lower end of the AUROC's interval. probability line: alerts lie
    at or above ``alert_line``."""

    auroc_low: float
    alert_line: float


def promise(version: Version, *, uri: str | None = None) -> Promise:
    """Of the figures and parameters that were logged with ``version``. Raises CitywellError when MLflow does not
    answer."""
    with connected(uri) as mlflow:
        data = mlflow.MlflowClient().get_run(version.run_id).data
    return Promise(float(data.metrics["test_auroc_low"]), float(data.params["alert_line"]))


def performance(
    target: str,
    version: str,
    y: np.ndarray,
    probability: np.ndarray,
    person: np.ndarray,
    promised: Promise,
    *,
    replicates: int = metrics.REPLICATES,
) -> list[Figure]:
    """Figures of one version on cases whose outcome is known. None while there are too few events, or too few cases
    without one (``metrics.FEWEST_EVENTS``).

    y: 0 or 1; probability: as it was issued; person: whose case it is. All of one length.
    """
    if min(y.sum(), len(y) - y.sum()) < metrics.FEWEST_EVENTS:
        return []
    asked = {
        "auroc": metrics.auroc,
        **metrics.PROBABILITY,
        "expected_to_observed": metrics.expected_to_observed,
        **{name: metrics.at_threshold(promised.alert_line)[name] for name in ("recall", "precision")},
    }
    found = metrics.estimates(asked, y, probability, person, replicates=replicates)
    whole = Figure("performance", target, version, ALL, "", 0.0, len(y))
    figures = [_judged(replace(whole, metric=name), estimate, promised) for name, estimate in found.items()]
    error = float(metrics.calibration_error(y, probability, np.ones((1, len(y))))[0])
    line = max(
        gate.MOST_CALIBRATION_ERROR, metrics.error_by_chance(probability, level=gate.CHANCE_LEVEL, draws=1000)
    )
    return [
        *figures,
        replace(whole, metric="calibration_error", value=error, line=line, is_crossed=error > line),
    ]


def _judged(figure: Figure, found: Estimate, promised: Promise) -> Figure:
    told = replace(figure, value=found.value, low=found.low, high=found.high)
    if figure.metric == "auroc":
        line = promised.auroc_low - MOST_AUROC_LOSS
        return replace(told, line=line, is_crossed=found.high < line)
    if figure.metric == "calibration_in_the_large":
        line = gate.MOST_CALIBRATION_ERROR
        return replace(told, line=line, is_crossed=found.low > line or found.high < -line)
    if figure.metric == "expected_to_observed":
        line = gate.MOST_TIMES if found.value > 1 else 1 / gate.MOST_TIMES
        return replace(told, line=line, is_crossed=gate.is_off(found))
    return told
