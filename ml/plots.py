"""Pictures of an evaluation. Figures are made without pyplot, so nothing global is touched."""

from __future__ import annotations

from matplotlib.figure import Figure

from ml.metrics import Evaluation


def reliability_plot(evaluation: Evaluation, title: str) -> Figure:
    """Observed share against predicted probability in ten bins of equal size, with 95 % intervals."""
    figure = Figure(figsize=(5.2, 5.0), layout="constrained")
    axes = figure.subplots()
    bins = evaluation.reliability
    predicted = [b.predicted for b in bins]
    observed = [b.observed for b in bins]
    error = [[b.observed - b.low for b in bins], [b.high - b.observed for b in bins]]
    top = min(1.0, 1.1 * max([*predicted, *(b.high for b in bins)]))
    axes.plot([0, top], [0, top], color="0.6", linestyle="--", linewidth=1, label="perfectly calibrated")
    axes.errorbar(predicted, observed, yerr=error, fmt="o", color="#1f5fa8", capsize=2, label="test cases")
    axes.axvline(evaluation.threshold, color="#b03030", linewidth=1, label="alert line")
    axes.set(
        xlabel="predicted probability", ylabel="observed share", title=title, xlim=(0, top), ylim=(0, top)
    )
    axes.legend(loc="upper left", frameon=False)
    return figure


def decision_plot(evaluation: Evaluation, title: str) -> Figure:
    """Net benefit of the model, of alerting everybody and of alerting nobody, over thresholds."""
    figure = Figure(figsize=(5.2, 4.2), layout="constrained")
    axes = figure.subplots()
    points = evaluation.decision_curve
    thresholds = [point.threshold for point in points]
    model, everybody = [point.model for point in points], [point.everybody for point in points]
    axes.plot(thresholds, model, color="#1f5fa8", label="model")
    axes.plot(thresholds, everybody, color="0.5", linestyle="--", linewidth=1, label="alert everybody")
    axes.axhline(0, color="0.2", linewidth=1, label="alert nobody")
    axes.axvline(evaluation.threshold, color="#b03030", linewidth=1, label="alert line")
    top = max(*model, *everybody, 0.001)
    axes.set(
        xlabel="risk from which on somebody would act",
        ylabel="net benefit per case",
        title=title,
        xlim=(0, max(thresholds[-1], evaluation.threshold)),
        ylim=(-0.3 * top, 1.1 * top),
    )
    axes.legend(loc="upper right", frameon=False)
    return figure
