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
