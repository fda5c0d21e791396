"""The split, the choice, the lines, and when there is too little to learn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jobs.errors import CitywellError
from ml import decision, metrics, models, training
from ml.training import Candidate, Refusal
from tests.unit.ml import toy

CASES = toy.cases()
DAY = np.timedelta64(1, "D")


@pytest.fixture(scope="module")
def trained() -> training.Trained:
    found = training.train(toy.QUESTION, CASES, ["logistic", "decision_tree"], replicates=100)
    assert isinstance(found, training.Trained)
    return found


def test_no_person_is_in_both_parts_and_the_test_part_is_later() -> None:
    parts = training.split(toy.QUESTION, CASES)
    train, test = CASES.take(parts.train), CASES.take(parts.test)
    assert not set(train.person) & set(test.person)
    assert train.at is not None
    assert test.at is not None
    assert train.at.max() + 30 * DAY <= test.at.min(), "a training label was known before the first test case"
    assert 0.35 < len(train) / len(CASES) < 0.45
    assert 0.09 < len(test) / len(CASES) < 0.15


@pytest.mark.parametrize(
    ("enough", "days"), [(40, 182), (1, 90)], ids=["as long as it takes", "no shorter than a season"]
)
def test_many_events_are_tested_in_as_short_a_time_as_holds_enough(
    enough: int, days: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two years; 40 % of them is 292 days."""
    monkeypatch.setattr(training, "ENOUGH_TEST_EVENTS", enough)
    test = CASES.take(training.split(toy.QUESTION, CASES).test)
    assert test.at is not None
    assert CASES.at is not None
    assert (CASES.at.max() - test.at.min()) / DAY == pytest.approx(days, abs=5)
    assert test.y.sum() == enough if enough == 40 else test.y.sum() > enough


def test_a_test_person_stays_one_whatever_else_is_in_the_data() -> None:
    people = {person for person in CASES.person if training.in_test_bucket(toy.QUESTION, person)}
    later = toy.cases(seed=9)
    test = later.take(training.split(toy.QUESTION, later).test)
    assert set(test.person) & set(CASES.person) <= people
    other = replace(toy.QUESTION, name="another question")
    assert {p for p in CASES.person if training.in_test_bucket(other, p)} != people


@pytest.mark.parametrize("is_linked", [False, True], ids=["then taken apart", "then linked"])
def test_nobody_who_was_learnt_from_is_tested_after_linkage(is_linked: bool) -> None:
    """Every second patient is one person with the one before."""
    apart = replace(CASES, patient=CASES.person)
    linked = replace(apart, person=np.array([f"p{int(p[1:]) // 2 * 2}" for p in CASES.person]))
    before, after = (apart, linked) if is_linked else (linked, apart)
    learnt = before.take(training.split(toy.QUESTION, before).train)
    parts = training.split(toy.QUESTION, after)
    train, test = after.take(parts.train), after.take(parts.test)
    assert test.patient is not None
    assert learnt.patient is not None
    assert len(test) > 50
    assert not set(test.patient) & set(learnt.patient)
    assert not set(test.person) & set(train.person)


def test_what_is_learnt_beats_chance_and_comes_near_the_truth(trained: training.Trained) -> None:
    truth = toy.true_risk(trained.test.x)
    gap = metrics.difference(
        metrics.auroc, trained.test.y, truth, trained.test_probability, trained.test.person
    )
    assert trained.evaluation.overall.metrics["auroc"].low > 0.6
    assert gap.value < 0.03
    assert trained.chosen.family == "logistic"


def test_training_again_gives_the_same_model(trained: training.Trained) -> None:
    again = training.train(toy.QUESTION, CASES, ["logistic", "decision_tree"], replicates=100)
    assert isinstance(again, training.Trained)
    np.testing.assert_array_equal(again.test_probability, trained.test_probability)
    assert again.evaluation == trained.evaluation
    assert again.lines == trained.lines


def test_the_alert_line_keeps_the_budget_on_the_training_part(trained: training.Trained) -> None:
    alerts = trained.chosen.out_of_fold >= trained.lines.high
    assert alerts.mean() == pytest.approx(toy.QUESTION.alert_budget, abs=0.005)
    assert trained.lines.medium == pytest.approx(trained.train.y.mean(), abs=1e-6)
    assert [trained.lines.band(p) for p in (0.0, trained.lines.medium, trained.lines.high)] == [
        "low",
        "medium",
        "high",
    ]


def test_refitting_takes_the_setting_as_it_is_given(trained: training.Trained) -> None:
    again = training.refit(toy.QUESTION, CASES, trained.chosen.family, trained.chosen.setting, replicates=100)
    assert isinstance(again, training.Trained)
    assert (again.is_refit, len(again.candidates), trained.is_refit) == (True, 1, False)
    np.testing.assert_array_equal(again.test_probability, trained.test_probability)
    assert again.lines == trained.lines


def test_nested_cross_validation_is_of_the_training_part_and_only_when_asked_for(
    trained: training.Trained,
) -> None:
    assert trained.nested is None
    found = training.train(toy.QUESTION, CASES, ["logistic"], is_nested=True, replicates=50)
    assert isinstance(found, training.Trained)
    assert found.nested is not None
    assert found.nested.auroc == pytest.approx(found.chosen.auroc, abs=0.03)


def test_the_lines_are_drawn_among_the_probabilities_that_the_model_gives() -> None:
    found = training.train(toy.QUESTION, CASES, ["decision_tree"], replicates=50)
    assert isinstance(found, training.Trained)
    assert 0 < (found.out_of_fold >= found.lines.high).mean() <= toy.QUESTION.alert_budget
    raw = found.chosen.out_of_fold
    np.testing.assert_allclose(found.out_of_fold, found.recalibration(raw))
    assert models.predict(found.pipeline, found.test.x).tolist() == found.test_probability.tolist()


@pytest.mark.parametrize(
    ("cost_ratio", "where"), [(0.01, "the budget's line"), (1.0, "the line of the costs")]
)
def test_costs_raise_the_alert_line_but_the_budget_is_a_cap(
    cost_ratio: float, where: str, trained: training.Trained
) -> None:
    lines = training.draw_lines(
        replace(toy.QUESTION, cost_ratio=cost_ratio), trained.out_of_fold, trained.train.y
    )
    of_budget, of_costs = trained.lines.high, decision.cost_threshold(cost_ratio)
    assert lines.high == (of_budget if where == "the budget's line" else of_costs)
    assert lines.high == max(of_budget, of_costs)


@pytest.mark.parametrize("step", [0.3801652893, 0.3801656893])
def test_who_is_on_the_line_is_alerted_in_full_and_as_told(step: float) -> None:
    """A step of an isotonic map has more digits than a score."""
    y = (np.arange(100) % 5 == 0).astype(int)
    lines = training.draw_lines(toy.QUESTION, np.repeat([0.1, step, 0.6], [80, 15, 5]), y)
    assert lines.band(step) == lines.band(round(step, training.DIGITS)) == "high"
    assert lines.band(step - 1e-5) == "medium"


def test_many_alike_never_break_the_budget() -> None:
    """A leaf with half of the cases: the line lies above it, not on it."""
    leaves = np.repeat([0.05, 0.1, 0.3, 0.6], [30, 50, 15, 5])
    y = (np.arange(100) % 5 == 0).astype(int)
    assert training.draw_lines(toy.QUESTION, leaves, y).high == 0.3
    assert training.draw_lines(replace(toy.QUESTION, alert_budget=0.19), leaves, y).high == 0.6
    assert training.draw_lines(replace(toy.QUESTION, alert_budget=0.01), leaves, y).high == 0.6


def test_a_published_score_is_compared_where_it_is_known() -> None:
    known = np.arange(len(CASES)) % 3 > 0
    score = np.where(known, -CASES.x["age_years"], np.nan)
    scored = replace(CASES, x=CASES.x.assign(published=score))
    found = training.train(
        replace(toy.QUESTION, baselines={"age": "published"}), scored, ["logistic"], replicates=100
    )
    assert isinstance(found, training.Trained)
    [baseline] = found.evaluation.baselines
    assert baseline.cases == found.test.x["published"].notna().sum() < len(found.test)
    assert baseline.auroc.value < found.evaluation.overall.metrics["auroc"].value
    assert baseline.difference.low > 0


def test_a_published_score_that_is_not_there_is_named() -> None:
    with pytest.raises(CitywellError, match="columns: framingham"):
        training.train(
            replace(toy.QUESTION, baselines={"Framingham 2008": "framingham"}), CASES, ["logistic"]
        )


def test_out_of_fold_probabilities_come_from_models_that_have_not_seen_the_person() -> None:
    """With labels that are pure noise per person, only a leak could rank them."""
    rng = np.random.default_rng(3)
    label = {person: int(rng.random() < 0.3) for person in sorted(set(CASES.person))}
    x = CASES.x.assign(age_years=[float(hash_of(person)) for person in CASES.person])
    noise = replace(CASES, x=x, y=np.array([label[person] for person in CASES.person]))
    [candidate, _] = training.compare(toy.QUESTION, noise, ["decision_tree"])
    assert abs(candidate.auroc - 0.5) < 0.06


def hash_of(person: str) -> int:
    return int(person[1:])


def candidate(family: str, *folds: float) -> Candidate:
    return Candidate(family, {}, folds, 0.3, 0.01, 1.0, np.array([]))


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        (
            [candidate("hist_gradient_boosting", 0.71, 0.72, 0.70), candidate("logistic", 0.70, 0.73, 0.695)],
            "logistic",
        ),
        (
            [candidate("hist_gradient_boosting", 0.75, 0.76, 0.74), candidate("logistic", 0.70, 0.71, 0.70)],
            "hist_gradient_boosting",
        ),
        (
            [candidate("neural_network", 0.7, 0.7, 0.7), candidate("decision_tree", 0.7, 0.7, 0.7)],
            "decision_tree",
        ),
    ],
    ids=["close: the simpler", "clearly better", "equal: the simpler"],
)
def test_the_simplest_that_is_not_clearly_worse_is_chosen(candidates: list[Candidate], chosen: str) -> None:
    assert training.choose(candidates).family == chosen


@pytest.mark.parametrize(
    ("count", "words"), [(0, "no case yet whose 30 days"), (60, "training part has"), (700, "needed")]
)
def test_too_few_cases_are_refused_in_words(count: int, words: str) -> None:
    few = CASES.take(np.arange(count))
    refusal = training.train(toy.QUESTION, few, ["logistic"])
    assert isinstance(refusal, Refusal)
    assert words in refusal.reason


def test_cases_without_a_time_cannot_be_split_by_time() -> None:
    with pytest.raises(CitywellError, match="no time"):
        training.split(toy.QUESTION, replace(CASES, at=None))


def test_a_long_horizon_is_tested_on_other_people_of_the_same_time() -> None:
    """Two years ahead: no label of the training part is known before a later test part begins."""
    question = replace(toy.QUESTION, horizon_days=730)
    parts = training.split(question, CASES)
    assert len(parts.train) + len(parts.test) == len(CASES)
    assert CASES.at is not None
    assert parts.cut == CASES.at.min()
    assert set(CASES.person[parts.train]).isdisjoint(CASES.person[parts.test])
