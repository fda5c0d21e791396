"""The Evidently report: what it shows, and that no case is in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ml.monitoring import page
from ml.monitoring.profile import Column
from ml.question import Question
from tests.unit.ml.monitoring import made


class Toy:
    """A question with the made-up features."""

    name = "toy"
    question = Question("toy", "A toy event", 30, 0.2, made.FEATURES[:2] + made.FEATURES[-2:])


def test_each_share_is_kept_and_nothing_of_an_order() -> None:
    column = Column("ward", "category", (), ("a", "b", "other"), (300, 600, 3), 100, 900)
    shown = page.rows(column)
    counts = {label: int((shown == label).sum()) for label in set(shown)}
    assert counts == {"a": 300, "b": 600, "missing": 100}
    assert len(shown) == page.SHOWN_ROWS
    assert list(shown[:4]) != ["a"] * 4


def test_the_report_names_features_and_holds_no_case() -> None:
    before, after = made.frame(900, 1), made.frame(400, 2)
    after["level_0"] += 30.123456789
    columns = [feature.name for feature in Toy.question.features]
    reference = made.reference(before)
    reference = replace(reference, columns={name: reference.columns[name] for name in columns})
    found = page.html(Toy, reference, made.now(after, reference))  # type: ignore[arg-type]
    assert "level 0" in found
    assert "discharged to" in found
    numbers = np.concatenate([before["level_0"], after["level_0"], before["level_1"].dropna()])
    assert len(numbers) > 2000
    assert not [value for value in numbers if f"{value:.4f}" in found]
