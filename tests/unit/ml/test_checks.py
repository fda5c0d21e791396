"""Each thing that can speak against a model is told alone, in words that name it; nothing does against a sound one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml import checks, gate, metrics, training
from ml.question import Cases
from ml.training import Trained
from tests.unit.ml import toy

CASES = toy.cases(6000)
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
DIGESTS = {"age_years": "a1", "visits": "b2"}


@pytest.fixture(scope="module")
def trained() -> Trained:
    rng = np.random.default_rng(6)
    groups = {**CASES.groups, "district": rng.choice(["north", "south", "west"], len(CASES))}
    found = training.train(toy.QUESTION, replace(CASES, groups=groups), ["logistic"], replicates=200)
    assert isinstance(found, Trained)
    return found


def objections(trained: Trained, **more: Any) -> tuple[str, ...]:
    given = {"as_of": AS_OF, "replicates": 200, **more}
    return gate.objections(trained, **given)


def judged_anew(trained: Trained, probability: np.ndarray) -> Trained:
    test, line = trained.test, trained.lines.high
    evaluation = metrics.evaluate(test.y, probability, test.person, test.groups, line, replicates=50)
    return replace(trained, test_probability=probability, evaluation=evaluation)


def test_nothing_speaks_against_a_sound_model(trained: Trained) -> None:
    small = {"visits": checks.MOST_SKEW}
    assert objections(trained, skew=small) == ()
    assert gate.floor_failures(trained.test, trained.test_probability, replicates=200) == ()


def test_a_skewed_feature_is_named(trained: Trained) -> None:
    [reason] = objections(trained, skew={"age_years": 0.0, "sodium_mmol_l": 0.031})
    assert "feature sodium_mmol_l is not what scoring would compute" in reason
    assert "3.1%" in reason


def test_features_of_which_none_could_be_compared_are_told(trained: Trained) -> None:
    [reason] = objections(trained, skew={})
    assert "could not be compared with what scoring would compute" in reason


def test_features_that_changed_since_the_champion_are_announced() -> None:
    assert checks.meaning_changes(DIGESTS, DIGESTS, "4") == ()
    [note] = checks.meaning_changes(DIGESTS, {"visits": "old", "gone": "x"}, "4")
    assert note == "Since version 4 was trained, these features have changed in meaning: visits."


@pytest.mark.parametrize(("days", "is_old"), [(0, False), (209, False), (212, True)])
def test_old_data_are_told_with_their_age(trained: Trained, days: int, is_old: bool) -> None:
    newest = gate.newest_case(trained).astype("datetime64[us]").item().replace(tzinfo=UTC)
    reasons = objections(trained, as_of=newest + timedelta(days=days))
    assert len(reasons) == is_old
    assert all("data are old" in reason and f"{days} days before" in reason for reason in reasons)


def test_too_many_alerts_are_told_with_their_share(trained: Trained) -> None:
    """The same ranking and the same order of groups, but a line that lies too low."""
    found = judged_anew(replace(trained, lines=training.Lines(0.05, 0.1)), trained.test_probability)
    assert found.evaluation.alert_share > 0.3
    [reason] = objections(found)
    assert "raises too many alerts" in reason


@pytest.mark.parametrize(("cases", "is_told"), [(100, False), (10_000, True)])
def test_what_few_cases_show_of_alerts_by_chance_is_not_held_against_a_model(
    cases: int, is_told: bool
) -> None:
    most = checks.MOST_OF_BUDGET * toy.QUESTION.alert_budget
    assert bool(checks.budget_failures(toy.QUESTION, most + 0.02, cases)) is is_told


def test_a_group_whose_events_are_missed_is_named(trained: Trained) -> None:
    """Men's risks are halved: the ranking within either sex is as it was, but half of the men's alerts are gone."""
    is_male = trained.test.groups["sex"] == "male"
    p = trained.test_probability
    found = judged_anew(trained, np.where(is_male, p / 2.2, p))
    reasons = objections(found)
    assert len(reasons) == 1
    assert "unfair to sex male" in reasons[0]


def test_a_district_whose_events_are_missed_is_named(trained: Trained) -> None:
    is_west = trained.test.groups["district"] == "west"
    p = trained.test_probability
    [reason] = objections(judged_anew(trained, np.where(is_west, p / 4, p)))
    assert "unfair to district west" in reason


def test_age_bands_may_differ_at_one_line(trained: Trained) -> None:
    results = {result.group: result.metrics["recall"].value for result in trained.evaluation.groups}
    assert results["age=65+"] - results["age=<65"] > checks.MOST_RECALL_GAP
    assert objections(trained) == ()


def rare(trained: Trained, seed: int = 3) -> Trained:
    """Events of 1.5 % of 30,000 people, risks that are exactly right, and alerts for the 2 % with the highest. All that
    the checks ask of its evaluation is the share of alerts."""
    rng = np.random.default_rng(seed)
    count = 30_000
    true = np.clip(0.015 * np.exp(rng.normal(-0.5, 1, count)), 0, 0.5)
    test = Cases(
        pd.DataFrame({"n": np.arange(count)}),
        (rng.random(count) < true).astype(np.int64),
        np.arange(count),
        {
            "sex": rng.choice(["female", "male"], count),
            "district": rng.choice(["north", "south", "west", "far"], count, p=[0.33, 0.33, 0.315, 0.025]),
        },
        at=np.full(count, gate.newest_case(trained)),
    )
    line = float(np.quantile(true, 0.98))
    evaluation = replace(trained.evaluation, alert_share=float((true >= line).mean()))
    return replace(
        trained,
        test=test,
        test_probability=true,
        lines=training.Lines(line, line),
        evaluation=evaluation,
    )


@pytest.mark.parametrize("seed", [3, 4])
def test_a_fair_model_of_rare_events_passes(trained: Trained, seed: int) -> None:
    found = rare(trained, seed)
    assert objections(found) == ()
    assert gate.floor_failures(found.test, found.test_probability, replicates=200) == ()


@pytest.mark.parametrize(("division", "group"), [("sex", "male"), ("district", "west")])
def test_a_group_without_alerts_of_rare_events_is_named(trained: Trained, division: str, group: str) -> None:
    """Of nobody's events a fifth is found, so no difference of recall can be as much."""
    found = rare(trained)
    p, line = found.test_probability, found.lines.high
    assert (p >= line)[found.test.y == 1].mean() < checks.MOST_RECALL_GAP
    is_in = found.test.groups[division] == group
    [reason] = objections(replace(found, test_probability=np.where(is_in, np.minimum(p, 0.99 * line), p)))
    assert reason.startswith(f"It is unfair to {division} {group}: 0.0% of their events are found")


def test_a_small_group_of_whose_few_events_none_was_found_by_chance_is_not_held_against_a_model(
    trained: Trained,
) -> None:
    found = rare(trained)
    is_far = found.test.groups["district"] == "far"
    assert metrics.FEWEST_EVENTS <= found.test.y[is_far].sum() < 20
    p, line = found.test_probability, found.lines.high
    assert objections(replace(found, test_probability=np.where(is_far, np.minimum(p, 0.99 * line), p))) == ()


@pytest.mark.parametrize(("events", "is_told"), [(12, False), (60, True)])
def test_where_half_of_the_events_are_found_a_group_of_few_of_which_none_is_may_be_chance(
    events: int, is_told: bool
) -> None:
    """Of a recall of 0.3, which the line allows, none of 12 is found once in 72 times."""
    found, rest, far = np.arange(1000) % 2, 1000, 20 * events
    y = np.r_[np.ones(rest), np.ones(events), np.zeros(far - events)].astype(np.int64)
    district = np.r_[np.full(rest, "north"), np.full(far, "far")]
    p = np.r_[0.1 + 0.8 * found, np.full(far, 0.1)]
    test = Cases(pd.DataFrame({"n": y}), y, np.arange(len(y)), {"district": district})
    groups = {"district far": np.flatnonzero(district == "far")}
    failures = checks.opportunity_failures(test, p, 0.5, groups, level=0.99, replicates=100)
    assert len(failures) == is_told
    assert all("unfair to district far" in failure for failure in failures)


@pytest.mark.parametrize("times", [3.0, 1 / 3])
def test_a_group_whose_rare_risks_are_many_times_off_is_named(trained: Trained, times: float) -> None:
    """Hardly off in shares: 1.5 % come, and 4.5 % or half a percent are told."""
    found = rare(trained)
    is_west = found.test.groups["district"] == "west"
    p = np.where(is_west, np.minimum(times * found.test_probability, 0.9), found.test_probability)
    failures = gate.floor_failures(found.test, p, replicates=200)
    assert [f for f in failures if "for district west: it foretells" in f]
    assert all("west" in failure or "Its probabilities are off: " in failure for failure in failures)


def against(trained: Trained, score: np.ndarray) -> Trained:
    question = replace(toy.QUESTION, baselines={"Old score 1999": "old_score"})
    baseline = metrics.against(
        "Old score 1999", trained.test.y, trained.test_probability, score, trained.test.person, replicates=200
    )
    evaluation = replace(trained.evaluation, baselines=(baseline,) if baseline else ())
    return replace(trained, question=question, evaluation=evaluation)


def test_a_model_must_beat_its_published_score(trained: Trained) -> None:
    noise = np.random.default_rng(0).random(len(trained.test))
    assert objections(against(trained, noise)) == ()
    [reason] = objections(against(trained, trained.test.y + noise))
    assert "not better than the published score Old score 1999" in reason


def test_a_published_score_that_nobody_knows_cannot_be_beaten(trained: Trained) -> None:
    [reason] = objections(against(trained, np.full(len(trained.test), np.nan)))
    assert "cannot be compared with Old score 1999" in reason
