"""Clusters of people or places: whether there are any, how many, who is in which and what marks it, in plain words.

1. **What varies together.** Of every column the mean of the row's stratum (for people: age and sex) is taken off:
   clusters are what they have beyond that. Columns are then standardised (for columns of yes and no that is what factor
   analysis of mixed data does: Pagès, Revue de Statistique Appliquée 2004) and turned into principal components. Those
   are kept that vary more than in tables whose columns were shuffled each on its own within the strata (parallel
   analysis: Horn, Psychometrika 1965). If none is, columns are independent, and there are no clusters.
2. **How many.** For each k, k-means on pairs of subsamples of SUBSAMPLE of the rows: stability is the mean adjusted
   Rand index of the two clusterings on the rows in common (Ben-Hur, Elisseeff and Guyon, Pacific Symposium on
   Biocomputing 2002). A k is accepted when its stability is at least LEAST_STABILITY (Hennig, Computational Statistics
   and Data Analysis 2007: valid, stable clusters), and its silhouette (Rousseeuw 1987) LEAST_GAIN above that of any
   table without clusters. Those are NULLS shuffled tables, and NULLS normal ones with the same components (Liu, Hayes,
   Nobel and Marron, JASA 2008), so that a gradient, which k-means can only cut somewhere, is none. Their stability says
   nothing: what has few different rows, such as conditions that few people have, is cut in the same place each time.
   LEAST_GAIN, of ours, is for gradients that are skew. Of the accepted the one of the largest silhouette is chosen;
   with none accepted everybody is in one cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_samples, silhouette_score

SUBSAMPLE = 0.8
PAIRS = 10
NULLS = 5
SHUFFLES = 20
LEAST_STABILITY = 0.75
LEAST_GAIN = 0.05
MOST_CLUSTERS = 8
MOST_ROWS = 1500
"""So many rows, drawn at random, decide how many clusters there are; then every row gets its cluster."""
MOST_COMPONENTS = 12
SHOWN_MARKS = 5
FEWEST_FOR_SHARES = 50
LEAST_MARK = 0.3
"""A column marks a cluster where its mean there is so many standard deviations from that of all."""

Array = np.ndarray


@dataclass(frozen=True)
class Trial:
    """How k clusters hold: stability and silhouette, and the largest silhouette among tables without clusters."""

    k: int
    stability: float
    silhouette: float
    null_silhouette: float

    @property
    def is_accepted(self) -> bool:
        return self.stability >= LEAST_STABILITY and self.silhouette >= self.null_silhouette + LEAST_GAIN


@dataclass(frozen=True)
class Clustering:
    """labels: from 0, the largest cluster first; distance: to the middle of the own cluster, in component units;
    silhouette: mean by cluster, none of one cluster alone; trials: one per k that was tried."""

    labels: Array
    distance: Array
    silhouette: tuple[float | None, ...]
    stability: float | None
    trials: tuple[Trial, ...]

    @property
    def k(self) -> int:
        return len(self.silhouette)


def cluster(
    values: pd.DataFrame,
    strata: Array | None = None,
    *,
    most: int = MOST_CLUSTERS,
    is_scaled: bool = False,
    seed: int = 0,
) -> Clustering:
    """The clusters of the rows of ``values`` (numbers, none missing), none of no rows; rows in a fixed order give the
    same ones.

    strata: the stratum of each row, by default the same for all. is_scaled: columns are in standard errors, and stay as
    they are. A row without differences from the others is then standard normal, and tables of such rows are the nulls;
    all columns are used, as few rows have many components in common by chance.
    """
    if values.empty:
        return _everybody(np.zeros((len(values), 0)), ())
    rng = np.random.default_rng(seed)
    stratum = pd.factorize(np.zeros(len(values)) if strata is None else strata)[0]
    z = _less_the_stratum(values, stratum)
    if not is_scaled:
        z /= z.std(axis=0)
    kept = _components_that_hold(z, stratum, rng)
    if kept == 0:
        return _everybody(np.zeros((len(values), 0)), ())
    scores = z if is_scaled else _components(z, kept)
    rows = np.sort(rng.choice(len(scores), min(len(scores), MOST_ROWS), replace=False))
    sample = scores[rows]
    spread = np.ones(z.shape[1]) if is_scaled else sample.std(axis=0)
    nulls = [rng.normal(0, spread, sample.shape) for _ in range(NULLS)]
    if not is_scaled:
        nulls += [_components(_shuffled(z, stratum, rng), kept)[rows] for _ in range(NULLS)]
    trials = tuple(_try(sample, nulls, k, rng) for k in range(2, min(most, len(sample) // 3) + 1))
    accepted = [trial for trial in trials if trial.is_accepted]
    if not accepted:
        return _everybody(scores, trials)
    best = max(accepted, key=lambda trial: trial.silhouette)
    model = KMeans(best.k, n_init=10, random_state=seed).fit(scores)
    by_size = np.argsort(-np.bincount(model.labels_), kind="stable")
    labels = np.argsort(by_size)[model.labels_]
    distance = np.linalg.norm(scores - model.cluster_centers_[model.labels_], axis=1)
    return Clustering(labels, distance, _silhouettes(scores, labels, rng), best.stability, trials)


def _less_the_stratum(values: pd.DataFrame, stratum: Array) -> Array:
    """Columns less the mean of the row's stratum; those that do not vary are left out."""
    own = values - values.groupby(stratum).transform("mean")
    return own.loc[:, own.std(ddof=0) > 1e-9].to_numpy(dtype=float)


def _shuffled(z: Array, stratum: Array, rng: np.random.Generator) -> Array:
    """Each column shuffled on its own within the strata."""
    in_order = np.argsort(stratum, kind="stable")
    shuffled = np.empty_like(z)
    for column in range(z.shape[1]):
        mixed = rng.permutation(len(z))
        shuffled[in_order, column] = z[mixed[np.argsort(stratum[mixed], kind="stable")], column]
    return shuffled


def _components_that_hold(z: Array, stratum: Array, rng: np.random.Generator) -> int:
    """How many principal components vary more than the same ones of every one of SHUFFLES shuffled tables."""
    if z.shape[1] < 2:
        return 0
    strength = np.linalg.svd(z, compute_uv=False)
    by_chance = np.max(
        [np.linalg.svd(_shuffled(z, stratum, rng), compute_uv=False) for _ in range(SHUFFLES)], axis=0
    )
    is_less = strength <= by_chance
    return min(int(np.argmax(is_less)) if is_less.any() else len(is_less), MOST_COMPONENTS)


def _components(z: Array, kept: int) -> Array:
    """Scores of the first ``kept`` principal components. Either sign of one is right: its largest score is positive."""
    left, strength, _ = np.linalg.svd(z, full_matrices=False)
    scores = left[:, :kept] * strength[:kept]
    return np.asarray(scores * np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(kept)]))


def marks(
    values: pd.DataFrame,
    labels: Array,
    words: Mapping[str, str],
    units: Mapping[str, str],
    *,
    shown: Callable[[int], int | None] = int,
) -> list[str]:
    """What marks each cluster, in words, such as ``Type 2 diabetes 92 % (of all 17 %), age 71 years (of all 46)``.

    words, units: how people call a column, and write its unit; one that holds 0 and 1 alone is of yes and no. shown: a
    count of a cluster's members as it may be told, None where it is too small: such a cluster is not described, nor the
    share of so few. Of fewer than FEWEST_FOR_SHARES members a share would tell the count, so that it is told in words.
    """
    is_yes = values.isin([0, 1]).all()
    means, spread = values.mean(), values.std(ddof=0).replace(0, 1)
    told = []
    for label in range(labels.max(initial=-1) + 1):
        rows = values[labels == label]
        if not shown(len(rows)):
            told.append("too few to be described")
            continue
        own = rows.mean()
        difference = ((own - means) / spread).abs().sort_values(ascending=False, kind="stable")
        names = [name for name in difference.index[:SHOWN_MARKS] if difference[name] >= LEAST_MARK]
        parts = [
            f"{words[name]} {_share(int(rows[name].sum()), len(rows), shown)} (of all {100 * means[name]:.0f} %)"
            if is_yes[name]
            else " ".join(
                word
                for word in (words[name], f"{own[name]:.3g}", units[name], f"(of all {means[name]:.3g})")
                if word
            )
            for name in names
        ]
        told.append(", ".join(parts) if parts else "nothing beside the others")
    return told


def _share(count: int, members: int, shown: Callable[[int], int | None]) -> str:
    if shown(count) is None:
        return "of few"
    if members < FEWEST_FOR_SHARES:
        return "of most" if count > 2 * members / 3 else "of many" if count > members / 3 else "of some"
    return f"{100 * count / members:.0f} %"


def _try(sample: Array, nulls: Sequence[Array], k: int, rng: np.random.Generator) -> Trial:
    return Trial(
        k=k,
        stability=_stability(sample, k, rng),
        silhouette=_silhouette(sample, k),
        null_silhouette=max(_silhouette(null, k) for null in nulls),
    )


def _stability(rows: Array, k: int, rng: np.random.Generator) -> float:
    size = max(k + 1, round(SUBSAMPLE * len(rows)))
    agreed = []
    for _ in range(PAIRS):
        one, other = (np.sort(rng.choice(len(rows), size, replace=False)) for _ in range(2))
        labels, other_labels = (_fit(rows[some], k) for some in (one, other))
        _, place, other_place = np.intersect1d(one, other, return_indices=True)
        agreed.append(adjusted_rand_score(labels[place], other_labels[other_place]))
    return float(np.mean(agreed))


def _silhouette(rows: Array, k: int) -> float:
    labels = _fit(rows, k)
    return float(silhouette_score(rows, labels)) if len(set(labels.tolist())) > 1 else -1.0


def _fit(rows: Array, k: int) -> Array:
    return np.asarray(KMeans(k, n_init=3, random_state=0).fit(rows).labels_)


def _silhouettes(scores: Array, labels: Array, rng: np.random.Generator) -> tuple[float, ...]:
    rows = np.sort(rng.choice(len(scores), min(len(scores), 2 * MOST_ROWS), replace=False))
    each = silhouette_samples(scores[rows], labels[rows])
    return tuple(float(each[labels[rows] == label].mean()) for label in range(labels.max() + 1))


def _everybody(scores: Array, trials: tuple[Trial, ...]) -> Clustering:
    """One cluster; none of no rows."""
    distance, silhouette = np.linalg.norm(scores, axis=1), (None,) if len(scores) else ()
    return Clustering(np.zeros(len(scores), dtype=int), distance, silhouette, None, trials)
