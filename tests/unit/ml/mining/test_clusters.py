"""Groups of people that were planted are found; a gradient, chance and one lump are not called clusters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from jobs.writeback.disclosure import shown
from ml.mining import clusters
from ml.mining.clusters import cluster, marks

PHENOTYPES = {1: ("E11", "I10", "E78"), 2: ("J44", "J45"), 3: ("I50", "I48", "N18")}


def people(
    n: int = 1200, seed: int = 0, *, planted: bool = True
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Conditions that grow common with age; each phenotype makes its own ones common. Values, age, phenotype."""
    rng = np.random.default_rng(seed)
    age = rng.triangular(18, 55, 97, n)
    kind = rng.choice(4, n, p=[0.52, 0.2, 0.16, 0.12]) if planted else np.zeros(n, dtype=int)
    names = [code for codes in PHENOTYPES.values() for code in codes] + ["M54", "F32", "K21", "H25"]
    columns = {}
    for name in names:
        logit = -2.6 + 0.5 * (age - 60) / 10
        for phenotype, codes in PHENOTYPES.items():
            logit = logit + np.where((kind == phenotype) & (name in codes), 4.0, 0.0)
        columns[name] = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(float)
    values = pd.DataFrame(columns)
    values["body_mass_index"] = rng.normal(26, 4, n) + 6 * (kind == 1)
    values["haemoglobin"] = rng.normal(14, 1.2, n) - 0.02 * (age - 50)
    return values, age, kind


def plainly(values: pd.DataFrame) -> tuple[dict[str, str], dict[str, str]]:
    """Columns called by their names, without units."""
    return {name: name for name in values}, dict.fromkeys(values, "")


def decade(age: np.ndarray) -> np.ndarray:
    return age // 10


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "MOST_ROWS", 600)
    monkeypatch.setattr(clusters, "PAIRS", 4)
    monkeypatch.setattr(clusters, "NULLS", 3)


def test_phenotypes_are_found_and_described() -> None:
    values, age, kind = people()
    found = cluster(values, decade(age))
    assert found.k == 4
    assert adjusted_rand_score(kind, found.labels) > 0.55
    assert found.stability is not None
    assert found.stability > 0.75
    assert np.bincount(found.labels).tolist() == sorted(np.bincount(found.labels), reverse=True)
    told = marks(values, found.labels, *plainly(values))
    for codes in PHENOTYPES.values():
        assert any(all(f"{code} " in words for code in codes) for words in told), (codes, told)
    assert any("body_mass_index 3" in words and "(of all 27" in words for words in told), told


@pytest.mark.parametrize("seed", range(3))
def test_what_only_grows_common_with_age_is_no_cluster(seed: int) -> None:
    values, age, _ = people(seed=seed, planted=False)
    assert cluster(values, decade(age)).k == 1


@pytest.mark.parametrize("seed", range(3))
def test_columns_shuffled_each_on_its_own_have_no_clusters(seed: int) -> None:
    values, _, _ = people(seed=seed)
    rng = np.random.default_rng(seed)
    found = cluster(pd.DataFrame({name: rng.permutation(values[name].to_numpy()) for name in values}))
    assert (found.k, found.stability, found.silhouette) == (1, None, (None,))
    assert set(found.labels) == {0}


def test_one_lump_whose_columns_go_together_is_no_cluster() -> None:
    rng = np.random.default_rng(5)
    lump = rng.normal(size=(600, 3)) @ rng.normal(size=(3, 8)) + rng.normal(size=(600, 8))
    assert cluster(pd.DataFrame(lump)).k == 1


@pytest.mark.parametrize("is_scaled", [True, False])
@pytest.mark.parametrize("columns", [[], ["E11", "I10"]])
def test_nobody_is_in_no_cluster(columns: list[str], is_scaled: bool) -> None:
    values = pd.DataFrame(columns=columns, dtype=float)
    found = cluster(values, is_scaled=is_scaled)
    assert (found.k, len(found.labels), len(found.distance)) == (0, 0, 0)
    assert marks(values, found.labels, *plainly(values)) == []


def test_types_of_twelve_districts_are_found() -> None:
    rng = np.random.default_rng(6)
    kind = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2])
    middle = rng.normal(0, 3, (3, 10))
    profile = pd.DataFrame(middle[kind] + rng.normal(0, 0.5, (12, 10)))
    found = cluster(profile, most=5)
    assert adjusted_rand_score(kind, found.labels) == 1.0
    assert cluster(pd.DataFrame(rng.normal(size=(12, 10))), most=5).k == 1


def test_the_same_rows_have_the_same_clusters() -> None:
    values, age, _ = people(600)
    one, other = (cluster(values, decade(age), most=4) for _ in range(2))
    assert (one.labels == other.labels).all()
    assert (one.distance == other.distance).all()
    assert one.trials == other.trials


def test_shares_of_a_small_cluster_tell_no_count() -> None:
    """Twelve of thirteen have one condition, four another, six a third."""
    had = {"E11": 12, "I10": 4, "J45": 6}
    values = pd.DataFrame({name: [1.0] * n + [0.0] * (100 - n) for name, n in had.items()})
    labels = np.array([1] * 13 + [0] * 87)
    told = marks(values, labels, *plainly(values), shown=shown)
    assert told[1] == "E11 of most (of all 12 %), J45 of many (of all 6 %), I10 of few (of all 4 %)"


def test_words_name_shares_and_means_and_nobody() -> None:
    values = pd.DataFrame(
        {"E11": [1.0] * 90 + [0.0] * 60, "age_years": [70.0] * 90 + [30.0] * 57 + [31.0] * 3}
    )
    labels = np.array([0] * 90 + [1] * 57 + [2] * 3)
    words, units = {"E11": "Type 2 diabetes", "age_years": "age"}, {"E11": "", "age_years": "years"}
    told = marks(values, labels, words, units, shown=shown)
    assert told == [
        "Type 2 diabetes 100 % (of all 60 %), age 70 years (of all 54)",
        "age 30 years (of all 54), Type 2 diabetes 0 % (of all 60 %)",
        "too few to be described",
    ]
    assert marks(values, np.zeros(150, dtype=int), words, units) == ["nothing beside the others"]
