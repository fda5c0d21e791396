"""A scheduled training refits what the champion was made with; without one it compares all it is given."""

from __future__ import annotations

import json

import pytest

from ml import retrain
from ml.tracking import Version
from ml.training import Trained
from tests.unit.ml import toy

FAMILIES = ["logistic", "decision_tree"]
FROZEN = {"family": "decision_tree", "setting": json.dumps({"min_samples_leaf": 0.031})}


def version(tags: dict[str, str]) -> Version:
    return Version("toy", "7", "a run", tags)


@pytest.mark.parametrize(
    "champion",
    [None, version({"family": "logistic"}), version({**FROZEN, "family": "a family of the past"})],
    ids=["none yet", "made before settings were kept", "of a family that is gone"],
)
def test_without_a_frozen_setting_everything_is_compared_and_nested(champion: Version | None) -> None:
    planned = retrain.plan(champion, FAMILIES)
    assert (planned.frozen, planned.as_key()) == (None, None)
    if champion is None:
        found = retrain.train(toy.QUESTION, toy.cases(), planned, replicates=50)
        assert isinstance(found, Trained)
        assert {candidate.family for candidate in found.candidates} == set(FAMILIES)
        assert found.nested is not None


def test_a_champions_setting_is_refitted_as_it_is() -> None:
    planned = retrain.plan(version(FROZEN), FAMILIES)
    assert planned.as_key() == {"family": "decision_tree", "min_samples_leaf": 0.031}
    found = retrain.train(toy.QUESTION, toy.cases(), planned, replicates=50)
    assert isinstance(found, Trained)
    assert found.is_refit
    [candidate] = found.candidates
    assert (candidate.family, candidate.setting) == ("decision_tree", {"min_samples_leaf": 0.031})
    assert found.nested is None
