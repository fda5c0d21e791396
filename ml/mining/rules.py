"""Association rules: people who have this (one or two conditions or drugs) have that more often than chance explains.

Items are conditions and drugs that a person has ever had. The engine counts the people with each item, pair and three
of items that enough people have (Apriori: Agrawal and Srikant, VLDB 1994; a set is counted only if each part of it is
frequent), by stratum of age and sex; here rules are made of the counts.

    support      share of all people who have antecedent and consequent
    confidence   share of those with the antecedent who have the consequent
    lift         confidence over the consequent's share among all people; 1 is independence
    p            the larger of two one-sided tests: Fisher's exact one (hypergeometric tail), and that of Mantel and
                 Haenszel (JNCI 1959; continuity-corrected) over the strata, so that what merely grows common with age
                 makes no rule; of a rule with two items in the antecedent the largest of three such: against all
                 people, and against each item alone (a *productive* rule: Webb, Machine Learning 2007), so that
                 {A, B} -> C is no echo of A -> C
    q            false discovery rate within all pairs, or all threes, of frequent items, tested or not, times the two
                 levels (layered: Webb, Machine Learning 2008)
    lift_given_age_and_sex   people with both over those expected if antecedent and consequent were independent within
                 each stratum: what is left of the lift when age and sex have had their say

A rule is kept with q at most MOST_Q, the whole interval of its lift above LEAST_LIFT, and that much of the lift left
given age and sex.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import pandas as pd
from scipy import stats

from ml.mining.chance import q_values

MOST_Q = 0.01
LEAST_LIFT = 1.2
LEAST_PEOPLE = 20
LEAST_SHARE = 0.002
LEVELS = 2
PRESCRIBED = 0.7
"""Of the people with a condition, about so many get a drug that is prescribed for it within two years."""
COLUMNS = [
    *("antecedent", "consequent", "people", "antecedent_people", "consequent_people"),
    *("support", "confidence", "lift", "lift_low", "lift_high", "lift_given_age_and_sex", "p", "q"),
]
JOINT = " & "
_Z = 1.959964

Array = np.ndarray


@dataclass(frozen=True)
class ItemCounts:
    """People by stratum, and by stratum and set of items.

    strata: index stratum, value people. sets: columns ``a``, ``b``, ``c`` (items in ascending order; ``b`` and ``c``
    missing of smaller sets), ``stratum``, ``people``. Pairs and threes that fewer than ``least_people`` have may be
    left out; single items that fewer have are no items.
    """

    strata: pd.Series
    sets: pd.DataFrame
    least_people: int


def least_people(people: int) -> int:
    """How many must have an item, and a rule: LEAST_PEOPLE, or LEAST_SHARE of ``people``."""
    return max(LEAST_PEOPLE, round(LEAST_SHARE * people))


def find(counts: ItemCounts) -> pd.DataFrame:
    """The rules that are told from chance, the strongest first. Columns: COLUMNS."""
    strata = sorted(counts.strata.index)
    people = counts.strata.reindex(strata).to_numpy(dtype=float)
    single, pair, three = _by_size(counts.sets, strata)
    items = [
        name for name in single.index.get_level_values("a") if single.loc[name].sum() >= counts.least_people
    ]
    pair = _frequent(pair, counts.least_people, items)
    three = _frequent(three, counts.least_people, items)
    one = {name: single.loc[name].to_numpy() for name in items}
    two = dict(zip(pair.index, pair.to_numpy(), strict=True))

    small = _tests([((a,), b) for a, b in two for a, b in ((a, b), (b, a))], one, two, {}, people)
    small["q"] = q_values(small["p"].to_numpy(), 2 * comb(len(items), 2)) * LEVELS
    arranged = [
        arrangement for a, b, c in three.index for arrangement in (((a, b), c), ((a, c), b), ((b, c), a))
    ]
    large = _tests(arranged, one, two, dict(zip(three.index, three.to_numpy(), strict=True)), people)
    large["q"] = q_values(large["p"].to_numpy(), 3 * comb(len(items), 3)) * LEVELS

    found = pd.concat([small, large], ignore_index=True)
    found["q"] = found["q"].clip(upper=1.0)
    is_strong = (found["lift_low"] > LEAST_LIFT) & (found["lift_given_age_and_sex"] > LEAST_LIFT)
    kept = found[(found["q"] <= MOST_Q) & is_strong]
    order = ["lift_low", "antecedent", "consequent"]
    return kept.sort_values(order, ascending=[False, True, True])[COLUMNS].reset_index(drop=True)


def lift_interval(both: Array, antecedent: Array, consequent: Array, people: float) -> tuple[Array, Array]:
    """95 % interval of the lift: delta method on its logarithm, the four cells multinomial (Agresti, Categorical Data
    Analysis 2013, section 16.1)."""
    p, a, c = both / people, antecedent / people, consequent / people
    variance = (p * (1 / p - 1 / a - 1 / c) ** 2 + (a - p) / a**2 + (c - p) / c**2 - 1) / people
    lift, spread = p / (a * c), np.exp(_Z * np.sqrt(np.maximum(variance, 0)))
    return lift / spread, lift * spread


def strictest_p(items: int) -> float:
    """The largest p of a rule of one condition or drug that passes whatever else is found, with so many frequent items:
    Benjamini and Yekutieli's line for the first of all tests."""
    tests = max(items * (items - 1), 1)
    return MOST_Q / (LEVELS * tests * float(np.sum(1 / np.arange(1, tests + 1))))


def power(
    antecedent: Array, consequent: Array, people: Array, times: float | None, most_p: float, least: int
) -> float:
    """Chance that a rule of one condition or drug is told that is true: in every stratum who has the antecedent is
    ``times`` as likely to have the consequent as who has not; None for a drug that is prescribed for it, which
    PRESCRIBED of them get.

    antecedent, consequent: how many of ``people`` have each, by stratum. most_p: largest p that passes. People with
    both are taken as binomial among those with the antecedent.
    """
    has_antecedent, has_consequent = antecedent.sum(), consequent.sum()
    both = np.arange(least, np.minimum(antecedent, consequent).sum() + 1, dtype=float)
    low, _ = lift_interval(both, has_antecedent, has_consequent, people.sum())
    p = _one_sided(both, antecedent, consequent, people)
    given = both / _expected(antecedent, consequent, people)
    enough = both[(p <= most_p) & (low > LEAST_LIFT) & (given > LEAST_LIFT)]
    if not enough.size:
        return 0.0
    has, base = _share(antecedent, people), _share(consequent, people)
    likely = np.full(len(people), PRESCRIBED) if times is None else base * times / (1 + has * (times - 1))
    with_both = np.minimum(antecedent * likely, np.minimum(antecedent, consequent)).sum()
    return float(stats.binom.sf(enough[0] - 1, has_antecedent, with_both / has_antecedent))


def _by_size(sets: pd.DataFrame, strata: list[str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """People with each item, pair and three (rows) by stratum (columns)."""
    size = sets[["a", "b", "c"]].notna().sum(axis=1)

    def table(of: int) -> pd.DataFrame:
        names = ["a", "b", "c"][:of]
        rows = sets[size == of]
        wide = rows.pivot_table(index=names, columns="stratum", values="people", aggfunc="sum", fill_value=0)
        return wide.reindex(columns=strata, fill_value=0).sort_index()

    return table(1), table(2), table(3)


def _frequent(sets: pd.DataFrame, least: int, items: list[str]) -> pd.DataFrame:
    is_of_items = pd.Series(True, index=sets.index)
    for level in sets.index.names:
        is_of_items &= sets.index.get_level_values(level).isin(items)
    return sets[is_of_items & (sets.sum(axis=1) >= least)]


def _tests(
    arranged: Sequence[tuple[tuple[str, ...], str]],
    one: dict[str, Array],
    two: dict[tuple[str, str], Array],
    three: dict[tuple[str, str, str], Array],
    people: Array,
) -> pd.DataFrame:
    """A row for each antecedent and consequent, without ``q``. Counts are by stratum."""
    if not arranged:
        return pd.DataFrame(columns=COLUMNS).astype(
            dict.fromkeys(("p", "lift_low", "lift_given_age_and_sex"), float)
        )

    def pair(a: str, b: str) -> Array:
        return two[(a, b) if a < b else (b, a)]

    def with_both(antecedent: tuple[str, ...], consequent: str) -> Array:
        if len(antecedent) == 1:
            return pair(antecedent[0], consequent)
        first, second, third = sorted((*antecedent, consequent))
        return three[first, second, third]

    has_both = np.array([with_both(a, c) for a, c in arranged], dtype=float)
    has_antecedent = np.array([one[a[0]] if len(a) == 1 else pair(*a) for a, _ in arranged], dtype=float)
    has_consequent = np.array([one[c] for _, c in arranged], dtype=float)
    both, antecedent, consequent = (rows.sum(axis=1) for rows in (has_both, has_antecedent, has_consequent))
    everybody = people.sum()
    p = _one_sided(both, has_antecedent, has_consequent, people)
    for place in range(2):
        rows = [n for n, (a, _) in enumerate(arranged) if len(a) == 2]
        if rows:
            alone = np.array([one[arranged[n][0][place]] for n in rows])
            alone_with = np.array([pair(arranged[n][0][place], arranged[n][1]) for n in rows])
            p[rows] = np.maximum(p[rows], _one_sided(both[rows], has_antecedent[rows], alone_with, alone))
    expected = _expected(has_antecedent, has_consequent, people)
    low, high = lift_interval(both, antecedent, consequent, everybody)
    return pd.DataFrame(
        {
            "antecedent": [JOINT.join(a) for a, _ in arranged],
            "consequent": [c for _, c in arranged],
            "people": both.astype(int),
            "antecedent_people": antecedent.astype(int),
            "consequent_people": consequent.astype(int),
            "support": both / everybody,
            "confidence": both / antecedent,
            "lift": both * everybody / (antecedent * consequent),
            "lift_low": low,
            "lift_high": high,
            "lift_given_age_and_sex": both / expected,
            "p": p,
        }
    )


def _one_sided(both: Array, antecedent: Array, consequent: Array, people: Array) -> Array:
    """The larger p of Fisher's exact test of all and the test of Mantel and Haenszel over the strata.

    both: by rule; the others: how many have each, by stratum (last axis) and, where they differ, by rule.
    """
    crude = stats.hypergeom.sf(
        both - 1, people.sum(axis=-1), consequent.sum(axis=-1), antecedent.sum(axis=-1)
    )
    has, base = _share(antecedent, people), _share(consequent, people)
    variance = people**2 * has * (1 - has) * base * (1 - base) / np.maximum(people - 1, 1)
    excess = both - _expected(antecedent, consequent, people) - 0.5
    spread = np.sqrt(variance.sum(axis=-1))
    z = np.divide(excess, spread, out=np.full(np.shape(both), -np.inf), where=spread > 0)
    return np.maximum(crude, stats.norm.sf(z))


def _expected(antecedent: Array, consequent: Array, people: Array) -> Array:
    """People with both, were the two independent within each stratum (last axis)."""
    return np.asarray((antecedent * _share(consequent, people)).sum(axis=-1))


def _share(part: Array, people: Array) -> Array:
    """Of each stratum; 0 of nobody."""
    return np.divide(
        part, people, out=np.zeros(np.broadcast_shapes(part.shape, people.shape)), where=people > 0
    )
