"""Thresholds and their evidence from pairs of which it is known whether they are one person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from jobs.identity.linkage.clusters import Pair, Patient, Persons, Thresholds, persons

LEAST_PRECISION = 0.998
"""Of the pairs joined by their score."""
LEAST_FOUND_IN_REVIEW = 0.1
"""Somebody who looks through the queue finds one pair in ten to be one person."""
STEP = 0.5
LOWEST_LINK = 6.5
"""About a probability of 0.99: what the model itself is less sure of is not joined, however well it did."""
LOWEST_REVIEW = 0.0
HIGHEST = 40.0
EXTRA_FOR_ONE_HOUSE = 2.0


def true_pairs(truth: Mapping[str, object]) -> set[tuple[str, str]]:
    """Pairs of patients of one person. truth: patient to person."""
    of: dict[object, list[str]] = {}
    for patient, person in truth.items():
        of.setdefault(person, []).append(patient)
    return {pair for patients in of.values() for pair in combinations(sorted(patients), 2)}


def choose(pairs: Sequence[Pair], truth: Mapping[str, object], patients: Mapping[str, Patient]) -> Thresholds:
    """The lowest weights at which pairs that nothing contradicts are right: LEAST_PRECISION of those joined,
    LEAST_FOUND_IN_REVIEW of those to look at. Records of one house need EXTRA_FOR_ONE_HOUSE at least."""
    right = true_pairs(truth)
    judged = [
        (pair.weight, (pair.a, pair.b) in right, patients[pair.a].house == patients[pair.b].house)
        for pair in pairs
        if not pair.against and not pair.rule
    ]
    link = _lowest(((w, ok) for w, ok, is_one_house in judged if not is_one_house), HIGHEST)
    duplicate = max(
        _lowest(((w, ok) for w, ok, is_one_house in judged if is_one_house), HIGHEST),
        link + EXTRA_FOR_ONE_HOUSE,
    )
    review, lower = link, link
    while lower - STEP >= LOWEST_REVIEW:
        lower -= STEP
        queue = [ok for w, ok, _ in judged if lower <= w < link]
        if queue and sum(queue) >= LEAST_FOUND_IN_REVIEW * len(queue):
            review = lower
    return Thresholds(link=link, duplicate=duplicate, review=review)


def _lowest(judged: Iterable[tuple[float, bool]], highest: float) -> float:
    """The lowest weight, in steps of STEP, from which upward LEAST_PRECISION of the pairs are right."""
    ordered = sorted(judged, reverse=True)
    found, lower, right, count, place = highest, highest, 0, 0, 0
    while lower > LOWEST_LINK:
        lower -= STEP
        while place < len(ordered) and ordered[place][0] >= lower:
            right += ordered[place][1]
            count += 1
            place += 1
        if count and right >= LEAST_PRECISION * count:
            found = lower
    return found


def measure(found: Persons, truth: Mapping[str, object]) -> dict[str, Any]:
    """Precision and recall over pairs of patients in ``truth``, with their counts."""
    right = true_pairs(truth)
    groups: dict[str, list[str]] = {}
    for patient, cluster in found.cluster.items():
        if patient in truth:
            groups.setdefault(cluster, []).append(patient)
    joined = {pair for group in groups.values() for pair in combinations(sorted(group), 2)}
    both = len(joined & right)
    return {
        "pairs": len(right),
        "joined": len(joined),
        "precision": both / len(joined) if joined else 1.0,
        "recall": both / len(right) if right else 1.0,
        "review": len(found.review),
        "review_right": sum(key in right for key in found.review),
        "review_why": dict(Counter(why for _, why in found.review.values())),
    }


def judge(
    pairs: Sequence[Pair],
    truth: Mapping[str, object],
    patients: Mapping[str, Patient],
    thresholds: Thresholds,
) -> dict[str, Any]:
    """What ``thresholds`` give on a labelled sample."""
    kept = [pair for pair in pairs if pair.rule or pair.weight >= thresholds.review]
    return measure(persons(kept, {}, {}, patients, thresholds), truth)
