"""Pictures of what mining found. Figures are made without pyplot, so nothing global is touched."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ml.mining.rules import MOST_Q

SHOWN_RULES = 15
_BLUE, _RED = "#1f5fa8", "#b03030"


def correlation_map(correlations: pd.DataFrame, title: str = "Correlations of people's values") -> Figure:
    """Spearman's rho of every pair; pairs that are not told from chance (q above MOST_Q) stay white.

    correlations: rows of ``gold.mining_correlations`` of one run.
    """
    names = sorted({*correlations["variable"], *correlations["other_variable"]})
    place = {name: number for number, name in enumerate(names)}
    rho = np.full((len(names), len(names)), np.nan)
    for row in correlations[correlations["q"] <= MOST_Q].itertuples():
        one, other = place[row.variable], place[row.other_variable]
        rho[one, other] = rho[other, one] = row.rho
    side = 2.5 + 0.28 * len(names)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    if not names:
        return figure
    image = axes.imshow(rho, cmap="RdBu_r", vmin=-1, vmax=1)
    words = [name.replace("_", " ") for name in names]
    axes.set_xticks(range(len(names)), words, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), words, fontsize=7)
    figure.colorbar(image, ax=axes, shrink=0.7, label="Spearman's rho")
    return figure


def rules_plot(rules: pd.DataFrame, title: str = "Strongest rules") -> Figure:
    """Lift, with its interval, of the SHOWN_RULES rules that are strongest given age and sex.

    rules: rows of ``gold.mining_rules`` of one run. Of a pair that makes a rule either way the surer way is shown.
    """
    ends = [
        " & ".join(sorted((*str(a).split(" & "), str(c))))
        for a, c in zip(rules["antecedent"], rules["consequent"], strict=True)
    ]
    order = ["lift_given_age_and_sex", "confidence", "antecedent"]
    best = rules.assign(ends=ends).sort_values(order, ascending=[False, False, True])
    shown = best.drop_duplicates("ends").head(SHOWN_RULES).iloc[::-1]
    figure = Figure(figsize=(8.5, 1.4 + 0.34 * max(len(shown), 1)), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(shown))
    error = [shown["lift"] - shown["lift_low"], shown["lift_high"] - shown["lift"]]
    axes.errorbar(shown["lift"], rows, xerr=error, fmt="o", color=_BLUE, capsize=2, label="lift")
    axes.plot(shown["lift_given_age_and_sex"], rows, "D", color=_RED, markersize=4, label="given age and sex")
    axes.axvline(1, color="0.6", linestyle="--", linewidth=1)
    words = [
        f"{a} → {c} ({share:.0%})"
        for a, c, share in zip(
            shown["antecedent_words"], shown["consequent_words"], shown["confidence"], strict=True
        )
    ]
    axes.set_yticks(rows, words, fontsize=8)
    axes.set(xlabel="lift (in brackets: confidence)", xscale="log", title=title)
    if len(shown):
        axes.legend(loc="lower right", frameon=False)
    return figure


def clusters_plot(clusters: pd.DataFrame, title: str) -> Figure:
    """Members of each cluster, and what marks it in words.

    clusters: rows of ``gold.mining_clusters`` of one run and kind.
    """
    shown = clusters.sort_values("cluster", ascending=False)
    figure = Figure(figsize=(8.5, 1.2 + 0.6 * len(shown)), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(shown))
    axes.barh(rows, shown["members"], color=_BLUE, height=0.45)
    for row, words in zip(rows, shown["words"], strict=True):
        axes.text(0, row + 0.3, str(words), fontsize=7, va="bottom")
    axes.set_yticks(rows, [str(number) for number in shown["cluster"]])
    axes.set(xlabel="members", ylabel="cluster", title=title, ylim=(-0.6, len(shown) - 0.1))
    return figure


def outbreak_plot(outbreaks: pd.DataFrame, title: str) -> Figure:
    """What was observed, expected and an alarm, by day.

    outbreaks: rows of ``gold.mining_outbreaks`` of one run, district and syndrome.
    """
    shown = outbreaks.sort_values("date")
    figure = Figure(figsize=(8.5, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.bar(shown["date"], shown["observed"], width=1.0, color="0.75", label="observed")
    axes.plot(shown["date"], shown["expected"], color=_BLUE, linewidth=1, label="expected")
    axes.plot(
        shown["date"], shown["threshold"], color=_RED, linewidth=0.8, linestyle="--", label="alarm line"
    )
    alarms = shown[shown["is_alarm"]]
    axes.plot(alarms["date"], alarms["observed"], "v", color=_RED, label="alarm")
    axes.set(ylabel="people a day", title=title)
    axes.legend(loc="upper left", frameon=False, ncols=4, fontsize=8)
    return figure
