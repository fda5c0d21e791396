"""Rules that were planted are found, echoes of them are not, and shuffled people have none."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ml.mining.rules import COLUMNS, ItemCounts, find, least_people, lift_interval, power


def count(baskets: pd.DataFrame, stratum: np.ndarray) -> ItemCounts:
    """People with each set of the columns of yes and no, as the engine counts them."""
    strata = pd.Series(stratum).value_counts().astype(float)
    rows = []
    for size in (1, 2, 3):
        for names in combinations(sorted(baskets), size):
            has_all = baskets[list(names)].all(axis=1).to_numpy()
            items = dict(zip("abc", (*names, None, None), strict=False))
            rows += [
                {**items, "stratum": name, "people": int((has_all & (stratum == name)).sum())}
                for name in strata.index
            ]
    sets = pd.DataFrame(rows)
    return ItemCounts(strata, sets[sets["people"] > 0], least_people(len(baskets)))


def city(seed: int = 0, people: int = 4000) -> tuple[pd.DataFrame, np.ndarray]:
    """Diabetes brings metformin; diabetes with heart failure, and neither alone, brings a third drug; cataract and
    osteoporosis only come with age."""
    rng = np.random.default_rng(seed)
    is_old = rng.random(people) < 0.4

    def some(share: float | np.ndarray) -> np.ndarray:
        return rng.random(people) < share

    diabetes, failure = some(0.2), some(0.2)
    baskets = {
        "icd10|E11": diabetes,
        "icd10|I50": failure,
        "atc|A10BA02": some(np.where(diabetes, 0.6, 0.02)),
        "atc|A10BK01": some(np.where(diabetes & failure, 0.7, 0.05)),
        "icd10|H25": some(np.where(is_old, 0.5, 0.03)),
        "icd10|M81": some(np.where(is_old, 0.4, 0.03)),
        "icd10|J06": some(0.3),
    }
    return pd.DataFrame(baskets), np.where(is_old, "old", "young")


def pairs(found: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(found["antecedent"], found["consequent"], strict=True))


def test_rules_are_found_and_their_echoes_are_not() -> None:
    found = find(count(*city()))
    assert list(found.columns) == COLUMNS
    told = pairs(found)
    assert {("icd10|E11", "atc|A10BA02"), ("atc|A10BA02", "icd10|E11")} <= told
    assert ("icd10|E11 & icd10|I50", "atc|A10BK01") in told
    assert ("icd10|E11 & icd10|J06", "atc|A10BA02") not in told, "an echo of diabetes alone"
    assert ("icd10|H25", "icd10|M81") not in told, "age explains it"
    assert not any("J06" in item for rule in told for item in rule)
    assert (found["q"] <= 0.01).all()
    assert (found["lift_low"] > 1.2).all()


def test_the_figures_of_a_rule() -> None:
    """1,000 people: 100 with A, 200 with B, 60 with both; two strata alike."""
    has_a, has_b = np.zeros(1000, bool), np.zeros(1000, bool)
    has_a[:100], has_b[40:240] = True, True
    stratum = np.where(np.arange(1000) % 2, "one", "two")
    found = find(count(pd.DataFrame({"atc|A": has_a, "icd10|B": has_b}), stratum)).set_index("antecedent")
    row = found.loc["atc|A"]
    assert (row["people"], row["antecedent_people"], row["consequent_people"]) == (60, 100, 200)
    assert (row["support"], row["confidence"], row["lift"]) == pytest.approx((0.06, 0.6, 3.0))
    assert row["lift_given_age_and_sex"] == pytest.approx(3.0)
    assert row["p"] == pytest.approx(1.94e-22, rel=0.01), "scipy.stats.fisher_exact, one-sided"
    low, high = lift_interval(np.array([60.0]), np.array([100.0]), np.array([200.0]), 1000.0)
    assert low[0] < 3 < high[0]
    assert (row["lift_low"], row["lift_high"]) == (low[0], high[0])


def test_nothing_is_found_in_shuffled_people() -> None:
    """Each item is handed out anew to as many people as had it, so that every rule would be one of chance."""
    baskets, stratum = city()
    told = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shuffled = pd.DataFrame({name: rng.permutation(baskets[name].to_numpy()) for name in baskets})
        told += len(find(count(shuffled, stratum)))
    assert told == 0, "expected: at most one table in a hundred with any rule"


def test_the_interval_of_the_lift_holds_the_truth() -> None:
    rng, hits = np.random.default_rng(4), 0
    cells = np.array([0.06, 0.04, 0.14, 0.76])
    for _ in range(500):
        both, only_a, only_b, _ = rng.multinomial(1000, cells)
        low, high = lift_interval(
            np.array([both]), np.array([both + only_a]), np.array([both + only_b]), 1000.0
        )
        hits += low[0] <= 3.0 <= high[0]
    assert 0.93 <= hits / 500 <= 0.97


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_counts_says_nothing(random: object) -> None:
    counts = count(*city(1, 1500))
    seed = random.randrange(2**32)  # type: ignore[attr-defined]
    mixed = ItemCounts(
        counts.strata.sample(frac=1, random_state=seed),
        counts.sets.sample(frac=1, random_state=seed),
        counts.least_people,
    )
    pd.testing.assert_frame_equal(find(mixed), find(counts))


def test_nobody_and_nothing_frequent_make_no_rule() -> None:
    baskets, stratum = city(2, 60)
    assert find(count(baskets[["icd10|E11"]], stratum)).empty
    assert find(count(baskets & False, stratum)).empty


@pytest.mark.parametrize(
    ("with_antecedent", "base", "times"),
    [(280, 0.10, 2.0), (280, 0.10, 4.0), (120, 0.06, 4.0), (60, 0.05, 8.0)],
)
def test_the_power_of_a_rule_is_how_often_it_is_told(with_antecedent: int, base: float, times: float) -> None:
    """Of 400 cities in which the rule is true, by the miner's own lines on the p and the lift."""
    rng, people, most_p, least = np.random.default_rng(2), 2000, 1e-4, 20
    told, powers = [], []
    for _ in range(400):
        both = rng.binomial(with_antecedent, base * times)
        consequent = both + rng.binomial(people - with_antecedent, base)
        low, _ = lift_interval(*(np.array(float(n)) for n in (both, with_antecedent, consequent)), people)
        p = stats.hypergeom.sf(both - 1, people, consequent, with_antecedent)
        told.append(bool(both >= least and p <= most_p and low > 1.2))
        powers.append(power(with_antecedent, consequent, people, times, most_p, least))
    assert np.mean(powers) == pytest.approx(np.mean(told), abs=0.1)


def test_a_rule_of_too_few_has_no_power_and_a_drug_for_a_condition_all() -> None:
    assert power(19, 800, 2000, None, 1e-4, 20) == 0.0
    assert power(200, 180, 2000, None, 1e-4, 20) > 0.99
    assert power(200, 180, 2000, 1.0, 1e-4, 20) < 0.01
