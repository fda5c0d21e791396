"""Every picture is drawn of what a run publishes, and of a run that found nothing."""

from __future__ import annotations

import datetime as dt
import io

import pandas as pd
import pytest
from matplotlib.figure import Figure

from ml.mining import charts

CORRELATIONS = pd.DataFrame(
    {"variable": ["age_years", "a"], "other_variable": ["a", "b"], "rho": [0.5, 0.1], "q": [1e-9, 0.5]}
)
RULES = pd.DataFrame(
    {
        "antecedent": ["icd10|E11", "atc|A10BA02"],
        "consequent": ["atc|A10BA02", "icd10|E11"],
        "antecedent_words": ["Type 2 diabetes", "Metformin"],
        "consequent_words": ["Metformin", "Type 2 diabetes"],
        "confidence": [0.6, 0.9],
        "lift": [5.0, 5.0],
        "lift_low": [4.0, 4.0],
        "lift_high": [6.5, 6.5],
        "lift_given_age_and_sex": [3.0, 3.0],
    }
)
CLUSTERS = pd.DataFrame(
    {"cluster": [0, 1], "members": [90, 10], "words": ["nothing beside the others", "heart"]}
)
OUTBREAKS = pd.DataFrame(
    {
        "date": [dt.date(2025, 1, n) for n in (3, 1, 2)],
        "observed": [9, 1, 0],
        "expected": [1.0, 1.1, 0.9],
        "threshold": [6, 6, 5],
        "is_alarm": [True, False, False],
    }
)


def drawn(figure: Figure) -> bytes:
    into = io.BytesIO()
    figure.savefig(into, format="png", dpi=40)
    return into.getvalue()


@pytest.mark.parametrize("rows", [2, 0], ids=["found", "nothing found"])
def test_all_are_drawn(rows: int) -> None:
    for figure in (
        charts.correlation_map(CORRELATIONS.head(rows)),
        charts.rules_plot(RULES.head(rows)),
        charts.clusters_plot(CLUSTERS.head(rows), "Patients"),
        charts.outbreak_plot(OUTBREAKS.head(rows), "C01, respiratory"),
    ):
        assert drawn(figure).startswith(b"\x89PNG")


def test_pairs_of_chance_stay_white_and_a_rule_is_shown_once() -> None:
    [image] = charts.correlation_map(CORRELATIONS).axes[0].get_images()
    assert image.get_array().count() == 2, "one pair, either side of the diagonal"
    labels = [text.get_text() for text in charts.rules_plot(RULES).axes[0].get_yticklabels()]
    assert labels == ["Metformin → Type 2 diabetes (90%)"]


def test_alarms_are_marked_on_their_day() -> None:
    axes = charts.outbreak_plot(OUTBREAKS, "C01").axes[0]
    [marks] = [line for line in axes.get_lines() if line.get_label() == "alarm"]
    assert list(marks.get_xdata()) == [dt.date(2025, 1, 3)]
    assert list(marks.get_ydata()) == [9]
