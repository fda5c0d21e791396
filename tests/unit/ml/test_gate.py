"""Who becomes champion, and the words that go with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml import gate
from tests.unit.ml import toy

TEST = toy.cases(2500)
TRUTH = toy.true_risk(TEST.x)
RNG = np.random.default_rng(1)
LOGIT = np.log(TRUTH / (1 - TRUTH))


GOOD, FAIR = TRUTH, np.clip(0.4 * TRUTH + 0.6 * RNG.permutation(TRUTH), 0.001, 0.999)
CHANCE = RNG.permutation(TRUTH)
OFF = np.clip(TRUTH + 0.15, 0, 1)
BAD_FOR_MEN = np.where(TEST.groups["sex"] == "male", 1 / (1 + np.exp(LOGIT + 3)), TRUTH)

DECISIONS = [
    ("the first good one", GOOD, None, None, True, "There was no champion"),
    ("no better than chance", CHANCE, None, None, False, "hardly better than chance"),
    ("probabilities that are off", OFF, None, None, False, "probabilities are off: calibration error 0.1"),
    ("bad for one group", BAD_FOR_MEN, None, None, False, "clearly worse for sex male"),
    ("better than the champion", GOOD, "3", FAIR, True, "better than version 3 beyond noise"),
    ("as good as the champion", GOOD, "3", GOOD, False, "not better than version 3 beyond noise"),
    ("worse than the champion", FAIR, "3", GOOD, False, "worse"),
    ("the champion has gone off", GOOD, "3", OFF, True, "no longer meets the floors"),
    ("the champion cannot score", GOOD, "3", None, True, "cannot score the present features"),
    ("bad, and the champion cannot score", CHANCE, "3", None, False, "hardly better than chance"),
]


@pytest.mark.parametrize(
    ("new", "champion", "champion_scores", "is_promoted", "words"),
    [d[1:] for d in DECISIONS],
    ids=[d[0] for d in DECISIONS],
)
def test_decisions(
    new: np.ndarray, champion: str | None, champion_scores: np.ndarray | None, is_promoted: bool, words: str
) -> None:
    decision = gate.judge(TEST, new, champion, champion_scores, replicates=200)
    assert decision.is_promoted is is_promoted, decision.reasons
    assert words in " ".join(decision.reasons)
    assert decision.compared_with == champion
    assert (decision.difference is not None) == (champion_scores is not None)


def test_better_overall_but_clearly_worse_for_a_group_is_refused() -> None:
    sex = TEST.groups["sex"]
    champion = np.where(sex == "male", TRUTH, CHANCE)
    new = np.where(sex == "male", FAIR, TRUTH)
    generous = replace(TEST, groups={"sex": sex})
    decision = gate.judge(generous, new, "3", champion, replicates=200)
    assert not decision.is_promoted
    assert "clearly worse than the champion for sex male" in " ".join(decision.reasons)


def test_one_that_ranks_better_but_foretells_too_many_events_for_one_group_is_refused() -> None:
    """A third too many for men, within what the floors allow; the champion is right for either sex, and ranks less
    well."""
    sex = TEST.groups["sex"]
    rng = np.random.default_rng(2)
    champion = 0.4 * TRUTH
    for level in set(sex):
        champion[sex == level] += 0.6 * rng.permutation(TRUTH[sex == level])
    new = np.where(sex == "male", np.minimum(1.35 * TRUTH, 0.99), TRUTH)
    generous = replace(TEST, groups={"sex": sex})
    assert gate.floor_failures(generous, new, replicates=200) == ()
    assert gate.judge(generous, TRUTH, "3", champion, replicates=200).is_promoted
    decision = gate.judge(generous, new, "3", champion, replicates=200)
    assert not decision.is_promoted
    [reason] = decision.reasons
    assert reason.startswith("It is clearly worse than the champion for sex male: it foretells 1.")


def test_models_that_are_equals_but_for_chance_are_not_clearly_worse_for_a_group() -> None:
    refused = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        came = replace(TEST, y=(rng.random(len(TEST)) < TRUTH).astype(np.int64))
        one, other = (1 / (1 + np.exp(-LOGIT - rng.normal(0, 0.3, len(TEST)))) for _ in range(2))
        refused += gate.worse_groups(came, one, other, replicates=100)
    assert len(refused) <= 1, refused


def test_a_little_further_off_for_many_is_not_clearly_worse() -> None:
    """Beyond noise, as both foretell too many, but by a fiftieth."""
    off = np.clip(1.2 * TRUTH, 0, 0.99)
    assert gate.worse_groups(TEST, np.clip(1.02 * off, 0, 0.99), off, replicates=100) == ()


def test_a_refusal_is_written_down_as_text() -> None:
    tags = gate.judge(TEST, FAIR, "3", GOOD, replicates=100).tags()
    assert tags["gate_compared_with"] == "3"
    assert all(isinstance(value, str) for value in tags.values())


def test_rare_risks_that_are_many_times_too_high_are_refused() -> None:
    """Hardly off in shares: half a percent, and four are told."""
    rng = np.random.default_rng(5)
    true = np.clip(0.005 * np.exp(rng.normal(-0.5, 1.0, 20_000)), 0, 0.1)
    rare = toy.Cases(
        pd.DataFrame({"n": np.arange(20_000)}),
        (rng.random(20_000) < true).astype(np.int64),
        np.arange(20_000),
        {},
    )
    assert gate.floor_failures(rare, true, replicates=200) == ()
    [failure] = gate.floor_failures(rare, np.minimum(8 * true, 0.9), replicates=200)
    assert failure.startswith("Its probabilities are off: it foretells ")
    [failure] = gate.floor_failures(rare, true / 4, replicates=200)
    assert failure.startswith("Its probabilities are off: it foretells ")
