"""Whose score stands, run by run: of people who come and go, of runs for an older instant, of champions in trouble.

The champions are made up: of every person they say the same. What is told is who is asked, and what stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs.errors import CitywellError
from jobs.lake import control, tables
from jobs.settings import settings
from ml import registry, risk, serving
from ml.registry import Model, UnusableModel, Version
from ml.risk import meaning, questions, scores
from ml.training import Lines
from tests.support.lake import TestLake, use_home
from tests.unit.ml import gold
from tests.unit.ml.small_city import publish

MONDAY = datetime(2025, 10, 6, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)
NAME, OTHER, HOME = "emergency_90d", "pneumonia_90d", "deterioration_7d"
PEOPLE = ("calm", "young", "silent")
Rows = dict[str, list[gold.Row]]


@dataclass
class Pipeline:
    """Says the same of everybody, or raises ``error``."""

    error: Exception | None = None

    def predict_proba(self, x: pd.DataFrame) -> np.ndarray:
        if self.error is not None:
            raise self.error
        return np.tile([0.9, 0.1], (len(x), 1))


def champion(name: str, *, uri: str | None = None) -> Version:
    return Version(name, "1", "run", {})


def model(version: Version, error: Exception | None = None) -> Model:
    features = tuple(questions.load(version.name).question.feature_names)
    return Model(version, Pipeline(error), Lines(0.5, 0.5), features, pd.DataFrame())


@pytest.fixture
def lake(
    tmp_path: Path, postgres: Cluster, sail_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestLake]:
    """An empty lake of the test's own, and champions without an MLflow."""
    monkeypatch.setattr(registry, "champion", champion)
    monkeypatch.setattr(registry, "aliased", lambda name, alias: None)
    monkeypatch.setattr(registry, "load", model)
    yield use_home(monkeypatch, tmp_path, postgres, sail_engine.remote)
    settings.cache_clear()


def city() -> Rows:
    """Adults seen this year, but ``silent``: two years before Monday noon. Of ``calm`` something is new on Monday."""
    seen = {"calm": "2025-01-01", "young": "2025-01-01", "silent": "2023-10-07T12:00", "else": "2025-12-30"}
    return {
        "persons": [gold.person(who) for who in PEOPLE],
        "encounters": [
            gold.encounter(key=who, person=who, **{"from": day, "to": day}, class_code="AMB")
            for who, day in seen.items()
        ],
        "conditions": [gold.condition("new", "calm", "J44.9", "2025-10-06T12:00")],
        "measurements": [],
    }


def standing(lake: TestLake, name: str = NAME) -> dict[str, tuple[datetime, str]]:
    """Person -> instant and status, or why it was withdrawn, of the score that counts."""
    rows = lake.rows(
        "select patient_key, as_of, coalesce(status_reason, status) as word from "
        "(select *, row_number() over (partition by risk_key order by scored_at desc, batch_id desc) as place "
        f"from scores.risk where target = '{name}') where place = 1"
    )
    return {row["patient_key"]: (row["as_of"].replace(tzinfo=UTC), row["word"]) for row in rows}


def test_a_run_for_an_older_instant_leaves_what_a_later_one_has_said(lake: TestLake) -> None:
    publish(city())
    assert risk.score(TUESDAY, [NAME])[NAME]["added"] == 2
    later = standing(lake)
    assert later == dict.fromkeys(("calm", "young"), (TUESDAY, "active"))
    risk.score(MONDAY, [NAME])
    assert later.items() <= standing(lake).items(), "less was known of one then"


def test_after_a_rollback_the_earlier_champion_is_heard_again_at_once(
    lake: TestLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(city())

    def said_by(number: str) -> tuple[object, set[str]]:
        monkeypatch.setattr(registry, "champion", lambda name: Version(name, number, "run", {}))
        added = risk.score(MONDAY, [NAME])[NAME]["added"]
        rows = lake.rows(
            "select model_version from (select *, row_number() over "
            "(partition by risk_key order by scored_at desc, batch_id desc) as place from scores.risk) where place = 1"
        )
        return added, {row["model_version"] for row in rows}

    for number, added in (("1", 3), ("1", 0), ("2", 3), ("1", 3), ("1", 0), ("2", 3), ("2", 0)):
        assert said_by(number) == (added, {number})


def test_the_score_of_a_person_who_is_no_open_case_falls(lake: TestLake) -> None:
    """One is left out for an age that was told wrongly, another has not been seen for long; a third is asked about
    again, and not scored anew."""
    publish(city())
    assert risk.score(MONDAY, [NAME])[NAME]["added"] == 3
    told = city()
    told["persons"][1]["birth_year"] = 2015
    publish(told)
    found = risk.score(TUESDAY, [NAME])[NAME]
    assert (found["open"], found["added"], found["withdrawn"]) == (1, 1, 2)
    fallen = {"young": (MONDAY, scores.LEFT), "silent": (MONDAY, scores.LEFT)}
    assert standing(lake) == {"calm": (TUESDAY, "active"), **fallen}
    again = risk.score(TUESDAY + timedelta(hours=1), [NAME])[NAME]
    assert (again["open"], again["added"], again["withdrawn"]) == (1, 0, 0), "once is enough"
    assert standing(lake) == {"calm": (TUESDAY, "active"), **fallen}

    publish(city())
    back = TUESDAY + timedelta(hours=2)
    assert risk.score(back, [NAME])[NAME]["added"] == 1
    assert standing(lake)["young"] == (back, "active")


def test_scores_fall_while_the_champion_cannot_be_loaded(
    lake: TestLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(city())
    risk.score(MONDAY, [NAME])
    told = city()
    told["persons"] = told["persons"][:2]
    told["persons"][1] |= {"is_deceased": True, "deceased_at": MONDAY + timedelta(hours=9)}
    publish(told)

    def broken(version: Version) -> Model:
        raise UnusableModel("The model cannot be loaded.", where="models:/x/1", do="train again")

    monkeypatch.setattr(registry, "load", broken)
    assert not risk.published(TUESDAY)
    with pytest.raises(CitywellError, match=f"{NAME}: The model cannot be loaded"):
        risk.score(TUESDAY, [NAME])
    assert standing(lake) == {
        "calm": (MONDAY, "active"),
        "young": (MONDAY, "person_died"),
        "silent": (MONDAY, "merged"),
    }
    assert risk.published(TUESDAY)
    with control.connect() as conn:
        assert control.current_versions(conn)[scores.SCORES] == tables.version(scores.SCORES)


@pytest.mark.parametrize("kind", [KeyError, TypeError, ValueError])
def test_a_model_that_does_not_fit_stops_its_own_question(
    lake: TestLake, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    publish(city())

    def load(version: Version) -> Model:
        return model(version, kind("Canary Name") if version.name == NAME else None)

    monkeypatch.setattr(registry, "load", load)
    with pytest.raises(CitywellError) as raised:
        risk.score(MONDAY, [NAME, OTHER])
    assert f"{NAME}: The model does not fit the present features ({kind.__name__})." in raised.value.what
    assert raised.value.where == f"model {NAME} version 1"
    assert "Canary" not in str(raised.value)
    assert raised.value.__context__ is None
    assert standing(lake) == {}
    assert standing(lake, OTHER) == dict.fromkeys(PEOPLE, (MONDAY, "active"))
    assert risk.published(MONDAY)


def trained_now(name: str, number: str = "1") -> Version:
    """A version that has learnt the features as they are declared now."""
    digests = json.dumps(dict(meaning.declared(questions.load(name))))
    return Version(name, number, "run", {registry.MEANINGS_TAG: digests})


def declare_another_winter(monkeypatch: pytest.MonkeyPatch) -> None:
    told = questions.load(OTHER)
    own = tuple(
        replace(one, sql="0.5") if one.feature.name == "winter_wave" else one  # type: ignore[call-arg]
        for one in told.own
    )
    monkeypatch.setattr(f"ml.risk.{OTHER}.RISK", replace(told, own=own))


def test_a_feature_that_means_something_else_stops_its_own_question(
    lake: TestLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(city())
    champions = {name: trained_now(name) for name in (NAME, OTHER)}
    monkeypatch.setattr(registry, "champion", lambda name: champions[name])
    risk.score(MONDAY, [NAME, OTHER])
    asked = pd.DataFrame({"person_key": ["calm"], "question": [OTHER]})
    assert serving.Desk().answer(asked)["status"].tolist() == ["answered"]

    declare_another_winter(monkeypatch)
    told = city()
    told["persons"][1] |= {"is_deceased": True, "deceased_at": MONDAY + timedelta(hours=9)}
    publish(told)
    words = "Features no longer mean what the model has learnt: winter_wave."
    with pytest.raises(CitywellError) as raised:
        risk.score(TUESDAY, [NAME, OTHER])
    assert f"{OTHER}: {words} (the scores as of {MONDAY.isoformat()} stay" in raised.value.what
    assert f"{NAME}:" not in raised.value.what
    assert "train again" in raised.value.do
    fallen = {"young": (MONDAY, "person_died"), "silent": (MONDAY, scores.LEFT)}
    assert standing(lake, OTHER) == {"calm": (MONDAY, "active"), **fallen}
    assert standing(lake) == {"calm": (TUESDAY, "active"), **fallen}
    with pytest.raises(CitywellError, match=words):
        serving.Desk().answer(asked)


def test_a_challenger_that_has_learnt_another_meaning_is_not_heard(
    lake: TestLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(city())
    challenger = trained_now(OTHER, "2")
    monkeypatch.setattr(registry, "aliased", lambda name, alias: challenger)
    declare_another_winter(monkeypatch)
    shadow = risk.score(MONDAY, [OTHER])[OTHER]["shadow"]
    assert (shadow["model_version"], shadow["outcome"]) == ("2", "cannot_score")
    assert "winter_wave" in shadow["reason"]


def at_home(*stays: gold.Row) -> Rows:
    """People of whom a wristband tells up to Sunday, but of ``silent``: scales told once, a week before Monday."""
    once = {"from": "2025-01-01", "to": "2025-01-01"}
    seen = [gold.encounter(key=who, person=who, **once, class_code="AMB") for who in HOME_PEOPLE]
    last = gold.encounter(
        key="last", person="else", **{"from": "2025-12-30", "to": "2025-12-30"}, class_code="AMB"
    )
    weighed = gold.measurement(
        "kg", "silent", "29463-7", 80, "kg", "2025-09-29T08:00", "2025-09-30", told_by="wearables"
    )
    days = ("2025-10-02", "2025-10-03", "2025-10-04", "2025-10-05")
    return {
        "persons": [gold.person(who) for who in HOME_PEOPLE],
        "encounters": [*seen, last, *stays],
        "conditions": [],
        "measurements": [weighed],
        "device_days": [gold.device_day(who, day, 8000, 64) for who in ("calm", "ward") for day in days],
    }


HOME_PEOPLE = ("calm", "ward", "silent")


def test_at_home_who_is_admitted_or_tells_no_more_loses_the_score(lake: TestLake) -> None:
    publish(at_home())
    assert risk.score(MONDAY, [HOME])[HOME]["added"] == 3
    publish(at_home(gold.encounter(key="stay", person="ward", **{"from": "2025-10-06T10:00"})))
    found = risk.score(TUESDAY, [HOME])[HOME]
    assert (found["open"], found["added"], found["withdrawn"]) == (1, 1, 2)
    gone = {"ward": (MONDAY, scores.LEFT), "silent": (MONDAY, scores.LEFT)}
    assert standing(lake, HOME) == {"calm": (TUESDAY, "active"), **gone}
