"""Rules that were planted are found, echoes of them are not, and shuffled people have none."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable

from ml.mining.chance import q_values
from ml.mining.rules import (
    COLUMNS,
    LEVELS,
    MOST_Q,
    ItemCounts,
    find,
    least_people,
    lift_interval,
    power,
    strictest_p,
)


def count(baskets: pd.DataFrame, stratum: np.ndarray) -> ItemCounts:
    """People with each set of the columns of yes and no, as the engine counts them."""
    code, strata = pd.factorize(stratum, sort=True)
    has = {name: baskets[name].to_numpy() for name in sorted(baskets)}
    rows = []
    for size in (1, 2, 3):
        for names in combinations(has, size):
            has_all = np.logical_and.reduce([has[name] for name in names])
            items = dict(zip("abc", (*names, None, None), strict=False))
            people = np.bincount(code[has_all], minlength=len(strata))
            rows += [{**items, "stratum": s, "people": n} for s, n in zip(strata, people, strict=True)]
    sets = pd.DataFrame(rows)
    everybody = pd.Series(np.bincount(code).astype(float), index=strata)
    return ItemCounts(everybody, sets[sets["people"] > 0], least_people(len(baskets)))


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


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_in_people_shuffled_within_their_age_and_sex(seed: int) -> None:
    """24 items, each much more common in some strata than in others, handed out anew within each."""
    rng = np.random.default_rng(seed)
    stratum = rng.integers(0, 10, 5000)
    baskets = pd.DataFrame({f"icd10|A{n:02d}": np.zeros(5000, bool) for n in range(24)})
    for name in baskets:
        share = 0.004 * np.exp(0.45 * np.abs(stratum - rng.choice([0, 1])))
        baskets[name] = rng.random(5000) < share
    for _ in range(3):
        shuffled = baskets.groupby(stratum).transform(lambda own: rng.permutation(own.to_numpy()))
        assert pairs(find(count(shuffled, stratum))) == set()


def test_p_is_the_larger_of_that_of_all_and_that_given_the_strata() -> None:
    """Age makes most of a crude lift; what is left is judged by the test of Mantel and Haenszel."""
    rng = np.random.default_rng(3)
    stratum = rng.integers(0, 5, 6000)
    has_a = rng.random(6000) < 0.02 * 2.0**stratum
    has_b = rng.random(6000) < np.minimum(0.02 * 2.0**stratum * np.where(has_a, 1.8, 1), 1)
    row = (
        find(count(pd.DataFrame({"atc|A": has_a, "icd10|B": has_b}), stratum))
        .set_index("antecedent")
        .loc["atc|A"]
    )
    tables = [pd.crosstab(has_a[stratum == s], has_b[stratum == s]).to_numpy() for s in range(5)]
    given = StratifiedTable(tables).test_null_odds(correction=True).pvalue / 2
    assert row["p"] == pytest.approx(given, rel=1e-6)
    assert row["p"] > 1e6 * stats.fisher_exact(pd.crosstab(has_a, has_b), alternative="greater").pvalue


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
    """Of 100 cities in which the rule is true in each of two strata, of which one has both items more often."""
    rng, people = np.random.default_rng(2), np.array([800, 1200])
    is_old = np.repeat([True, False], people)
    often = np.where(is_old, 1.2, 0.8)
    told, powers = [], []
    for _ in range(100):
        has_a = np.zeros(2000, bool)
        has_a[rng.choice(2000, with_antecedent, replace=False, p=often / often.sum())] = True
        has_b = rng.random(2000) < often * base * np.where(has_a, times, 1)
        found = find(count(pd.DataFrame({"a": has_a, "b": has_b}), np.where(is_old, "old", "young")))
        told.append(("a", "b") in pairs(found))
        by_stratum = (np.array([has[is_old].sum(), has[~is_old].sum()]) for has in (has_a, has_b))
        powers.append(power(*by_stratum, people, times, strictest_p(2), least_people(2000)))
    assert np.mean(powers) == pytest.approx(np.mean(told), abs=0.1)


def test_a_rule_of_too_few_has_no_power_and_a_drug_for_a_condition_all() -> None:
    assert power(*one_stratum(19, 800, 2000), None, 1e-4, 20) == 0.0
    assert power(*one_stratum(200, 180, 2000), None, 1e-4, 20) > 0.99
    assert power(*one_stratum(200, 180, 2000), 1.0, 1e-4, 20) < 0.01


def test_a_lift_that_age_makes_has_no_power() -> None:
    """Half of the people have nearly all of both items, and among them who has one has the other no more often."""
    has, people = np.array([200, 5]), np.array([1000, 1000])
    assert power(has, has, people, 1.0, 1e-4, 20) < 0.01


def one_stratum(*people: int) -> list[np.ndarray]:
    return [np.array([n]) for n in people]


@pytest.mark.parametrize("items", [2, 7])
def test_a_rule_that_is_found_alone_passes_the_strictest_line(items: int) -> None:
    tests = items * (items - 1)
    for p, is_below in ((0.999 * strictest_p(items), True), (1.001 * strictest_p(items), False)):
        [q] = q_values(np.array([p]), tests)
        assert (LEVELS * q <= MOST_Q) == is_below
