"""The Evidently report of a question: how its features are spread now, beside what its champion's training saw.

Evidently wants rows, and writes what it finds in them into the page. It gets none of a person: each column is made
anew from the counts of its profile, as labels of bins, SHOWN_ROWS of them in an order of its own, so that no row of the
frame was ever one case's. Of bins of fewer than five cases nothing is shown.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from jobs.settings import settings
from jobs.writeback.disclosure import SMALLEST_SHOWN
from ml.monitoring.drift import LARGE_PSI
from ml.monitoring.profile import PROBABILITY, Column, Profile, from_json, to_json
from ml.risk.declared import Risk

SHOWN_ROWS = 1000
MISSING = "missing"


def write(risk: Risk, before: Profile, after: Profile) -> Path:
    """Write the report; its path, ``reports/drift/<question>.html`` below the data directory."""
    path = settings().home / "reports" / "drift" / f"{risk.name}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html(risk, before, after), encoding="utf-8")
    return path


def html(risk: Risk, before: Profile, after: Profile) -> str:
    """The report of the columns that ``after`` has; both profiles in the same bins."""
    os.environ.setdefault("DO_NOT_TRACK", "true")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    labels = {feature.name: feature.label for feature in (*risk.question.features, PROBABILITY)}
    after = from_json(to_json(after))
    used = [name for name, column in after.columns.items() if column.cases and before.columns[name].cases]
    definition = DataDefinition(categorical_columns=[labels[name] for name in used])
    datasets = [
        Dataset.from_pandas(
            pd.DataFrame({labels[name]: rows(profile.columns[name], i) for i, name in enumerate(used)}),
            data_definition=definition,
        )
        for profile in (after, before)
    ]
    report = Report([DataDriftPreset(method="psi", threshold=LARGE_PSI)])
    return str(report.run(*datasets).get_html_str(as_iframe=False))


def rows(column: Column, seed: int = 0) -> np.ndarray:
    """SHOWN_ROWS labels of bins, as often as their shares of the cases (largest remainders), shuffled."""
    counts = np.array([*column.counts, column.missing], dtype=float)
    counts[counts < SMALLEST_SHOWN] = 0
    exact = SHOWN_ROWS * counts / counts.sum()
    whole = np.floor(exact).astype(int)
    most_left = np.argsort(-(exact - whole), kind="stable")[: SHOWN_ROWS - whole.sum()]
    whole[most_left] += 1
    return np.random.default_rng(seed).permutation(np.repeat([*column.labels, MISSING], whole))
