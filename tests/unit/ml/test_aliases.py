"""Champion, challenger and archived through a life of versions, against a real MLflow store, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from jobs.errors import CitywellError
from ml import aliases, gate, registry, training
from ml.question import Cases
from ml.tracking import Version
from ml.training import Trained
from tests.support.mlflow import tracking_store
from tests.unit.ml import toy

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
DIGESTS = {feature.name: "as declared" for feature in toy.QUESTION.features}
CASES = toy.cases(6000)
FAIR = replace(CASES, x=CASES.x.assign(age_years=60.0))
"""The same people, seen less well."""


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tracking_store(tmp_path_factory.mktemp("mlflow"), "toy")


def trained_on(cases: Cases) -> Trained:
    found = training.refit(toy.QUESTION, cases, "logistic", {"C": 0.1}, replicates=100)
    assert isinstance(found, Trained)
    return found


def proposed(
    trained: Trained,
    key: str,
    uri: str,
    *,
    digests: Mapping[str, str] = DIGESTS,
    trained_for: datetime = AS_OF,
    **more: Any,
) -> tuple[gate.Decision, Version]:
    version = registry.register(
        trained, as_of=trained_for, data_versions={}, key=key, feature_digests=digests, uri=uri
    )
    return gate.promote(trained, version, uri=uri, replicates=100, **more), version


def standing(uri: str) -> dict[str, str | None]:
    """Number behind each alias."""
    names = (aliases.CHAMPION, aliases.CHALLENGER, aliases.ARCHIVED)
    found = {name: registry.aliased("toy", name, uri=uri) for name in names}
    return {name: version.number if version else None for name, version in found.items()}


def test_the_first_has_nothing_to_go_back_to(uri: str) -> None:
    assert aliases.versions("toy", uri=uri) == []
    fair = trained_on(FAIR)
    decision, version = proposed(fair, "fair", uri)
    assert decision.is_promoted, decision.reasons
    assert standing(uri) == {"champion": version.number, "challenger": None, "archived": None}
    assert registry.setting_of(version) == ("logistic", {"C": 0.1})
    assert registry.feature_digests(version) == DIGESTS
    with pytest.raises(CitywellError, match="no former champion"):
        registry.rollback("toy", "to see", uri=uri)


def test_a_better_one_archives_it_and_an_equal_one_becomes_the_challenger(uri: str) -> None:
    good = trained_on(CASES)
    decision, better = proposed(good, "good", uri)
    assert decision.is_promoted, decision.reasons
    assert standing(uri) == {"champion": better.number, "challenger": None, "archived": "1"}
    decision, equal = proposed(good, "equal", uri)
    assert not decision.is_promoted
    assert decision.is_sound
    assert standing(uri) == {"champion": better.number, "challenger": equal.number, "archived": "1"}


def test_flipped_labels_are_refused_for_that_alone(uri: str) -> None:
    before = standing(uri)
    rng = np.random.default_rng(1)
    poisoned = replace(CASES, y=np.where(rng.random(len(CASES)) < 0.2, 1 - CASES.y, CASES.y))
    decision, version = proposed(trained_on(poisoned), "poisoned", uri)
    assert not decision.is_promoted
    assert all(reason.startswith("Its labels look wrong") for reason in decision.reasons)
    assert "flipped or mixed up" in decision.reasons[0]
    assert standing(uri) == before, "what is refused for a cause is no challenger"
    [told] = [item for item in aliases.versions("toy", uri=uri) if item.version.number == version.number]
    assert told.version.tags["gate"] == "refused"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"skew": {"visits": 0.2}}, "feature visits is not what scoring would compute"),
        ({"as_of": datetime(2027, 1, 1, tzinfo=UTC)}, "Its data are old"),
        (
            {"trained_for": AS_OF - timedelta(days=1)},
            "version 2, the champion, for a later instant, 2026-01-01",
        ),
    ],
    ids=["skewed", "stale", "earlier than the champion"],
)
def test_a_sound_model_with_one_thing_wrong_is_refused_for_that_alone(
    more: dict[str, Any], words: str, uri: str
) -> None:
    before = standing(uri)
    [reason] = (decision := proposed(trained_on(CASES), f"wrong {words}", uri, **more)[0]).reasons
    assert words in reason
    assert not decision.is_sound
    assert standing(uri) == before


def test_rolling_back_returns_to_the_former_champion_and_says_why(uri: str) -> None:
    left, back = registry.rollback("toy", "wards report odd alerts", uri=uri)
    assert (left.number, back.number) == ("2", "1")
    assert standing(uri) == {"champion": "1", "challenger": None, "archived": None}
    told = {item.version.number: item for item in aliases.versions("toy", uri=uri)}
    assert told["2"].version.tags["rolled_back"].endswith("to version 1: wards report odd alerts")
    assert told["1"].aliases == ("champion",)
    assert not told["2"].is_former, "it is not gone back to by the next rollback"
    with pytest.raises(CitywellError, match="no former champion"):
        registry.rollback("toy", "again", uri=uri)


def test_after_a_rollback_a_better_one_is_promoted_again(uri: str) -> None:
    decision, version = proposed(trained_on(CASES), "after", uri)
    assert decision.is_promoted, decision.reasons
    assert standing(uri) == {"champion": version.number, "challenger": None, "archived": "1"}
    assert registry.load(version, uri=uri).features == tuple(toy.QUESTION.feature_names)


def test_a_new_champion_has_no_challenger_of_the_old_one(uri: str) -> None:
    champion = registry.champion("toy", uri=uri)
    [other] = [item.version for item in aliases.versions("toy", uri=uri) if item.version.number == "3"]
    assert champion is not None
    registry.set_challenger(other, uri=uri)
    assert standing(uri)["challenger"] == "3"
    assert registry.set_champion("toy", "3", instead_of=champion.number, uri=uri)
    assert standing(uri) == {"champion": "3", "challenger": None, "archived": champion.number}


def test_a_champion_whose_features_mean_something_else_is_not_compared_but_replaced(uri: str) -> None:
    champion = registry.champion("toy", uri=uri)
    assert champion is not None
    other = {**DIGESTS, "visits": "as declared since"}
    decision, version = proposed(trained_on(CASES), "other meaning", uri, digests=other)
    assert decision.is_promoted, decision.reasons
    assert decision.difference is None
    assert decision.reasons == (
        f"Version {champion.number} cannot score the present features, and the model meets the floors.",
        f"Since version {champion.number} was trained, these features have changed in meaning: visits.",
    )
    assert standing(uri)["champion"] == version.number


def test_a_model_nobody_knows_has_no_versions(uri: str) -> None:
    assert aliases.versions("unknown", uri=uri) == []
    with pytest.raises(CitywellError, match="no former champion"):
        registry.rollback("unknown", "x", uri=uri)
