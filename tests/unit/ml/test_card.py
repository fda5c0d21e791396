"""What the card says depends on how the model was made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ml import training
from ml.card import CANDIDATES_SHOWN, model_card
from ml.training import Trained
from tests.unit.ml import toy

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def trained() -> Trained:
    found = training.refit(toy.QUESTION, toy.cases(), "logistic", {"C": 0.1}, replicates=50)
    assert isinstance(found, Trained)
    return found


def card(trained: Trained) -> str:
    return model_card(trained, as_of=AS_OF, data_versions={})


def test_a_refit_says_that_nothing_was_chosen(trained: Trained) -> None:
    assert "that an earlier comparison or tuning chose" in card(trained)
    assert "Nested cross-validation" not in card(trained)
    assert "within one standard error" in card(replace(trained, is_refit=False))


def test_of_many_candidates_the_chosen_and_the_best_are_shown(trained: Trained) -> None:
    chosen = trained.chosen
    others = tuple(
        replace(chosen, setting={"C": float(number)}, fold_auroc=(0.5 + number / 100,) * 5)
        for number in range(1, 31)
    )
    told = card(replace(trained, is_refit=False, candidates=(*others, chosen)))
    rows = [line for line in told.splitlines() if "logistic regression" in line and line.startswith("|")]
    assert len(rows) == CANDIDATES_SHOWN
    assert rows[0].startswith("| **logistic regression** | C 0.1 |")
    assert "| C 30.0 | 0.800 |" in rows[1]
    assert f"{31 - CANDIDATES_SHOWN} more were tried" in told


def test_a_card_without_published_scores_does_not_speak_of_them(trained: Trained) -> None:
    assert "Against published scores" not in card(trained)


def test_a_test_part_of_the_same_time_is_not_called_later(trained: Trained) -> None:
    assert "every training label was known before" in card(trained)
    long = replace(toy.QUESTION, horizon_days=training.LONGEST_LATER_DAYS + 1)
    found = training.refit(long, toy.cases(), "logistic", {"C": 0.1}, replicates=50)
    assert isinstance(found, Trained)
    assert found.train.at is not None
    assert found.test.at is not None
    assert found.train.at.max() > found.test.at.min()
    told = card(found)
    assert "Both parts are of the same time, from 2024-01-01 on: a horizon of 366 days" in told
    assert "known before" not in told


def test_a_map_is_named(trained: Trained) -> None:
    mapped = replace(trained.recalibration, method="isotonic")
    assert "are put right by a map (isotonic)" in card(replace(trained, recalibration=mapped))
    assert "Its probabilities stay as they are" in card(trained)
