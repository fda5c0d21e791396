"""A model whose features are declared otherwise than when it learnt them is compared with nothing."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest

from ml import registry
from ml.monitoring import asking, pipeline, reference
from ml.registry import UnusableModel, Version
from ml.risk import evaluate, meaning, questions

RISK = questions.load("pneumonia_90d")
AS_OF = datetime(2026, 1, 5, tzinfo=UTC)
WORDS = "Features no longer mean what the model has learnt: winter_wave"


def version(**changed: str) -> Version:
    digests = {**meaning.declared(RISK), **changed}
    tags = {registry.MEANINGS_TAG: json.dumps(digests), "as_of": AS_OF.isoformat()}
    return Version(RISK.name, "3", "run", tags)


CHANGED = version(winter_wave="as it was")


def test_changed_features_are_named_and_a_version_without_digests_is_believed() -> None:
    assert meaning.changed(RISK, version()) == []
    assert meaning.changed(RISK, CHANGED) == ["winter_wave"]
    assert meaning.changed(RISK, version(no_longer_made="x")) == ["no_longer_made"]
    assert meaning.changed(RISK, Version(RISK.name, "1", "run", {})) == []


def test_no_drift_is_measured_against_features_that_meant_something_else() -> None:
    """Whether or not what the training saw is kept already: no lake and no MLflow is asked."""
    with pytest.raises(UnusableModel, match=WORDS):
        reference.of_version(None, RISK, CHANGED)  # type: ignore[arg-type]
    newest = asking.Training.of(CHANGED)
    assert pipeline._moved_since(None, RISK, newest, AS_OF) == []  # type: ignore[arg-type]


def test_no_page_of_drift_is_written_of_such_a_champion(monkeypatch: pytest.MonkeyPatch) -> None:
    def champion(name: str) -> Version | None:
        return CHANGED if name == RISK.name else None

    monkeypatch.setattr(pipeline, "open_lake", lambda _: nullcontext())
    monkeypatch.setattr(registry, "champion", champion)
    assert pipeline.write_pages(AS_OF) == []


def test_such_a_champion_is_not_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "champion", lambda _: CHANGED)
    with pytest.raises(UnusableModel, match=WORDS):
        evaluate.learnt_against_truth(RISK.name)
