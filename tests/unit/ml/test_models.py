"""Each family fits, predicts probabilities, survives storage, and takes what scoring may bring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skops.io

from jobs.errors import CitywellError
from ml import metrics, models
from ml.registry import TRUSTED_TYPES
from tests.unit.ml import toy

TRAIN, TEST = toy.cases(1500), toy.cases(1500, seed=1)


@pytest.mark.parametrize("name", list(models.FAMILIES))
def test_a_family_beats_chance_and_comes_back_from_storage_unchanged(name: str, tmp_path: Path) -> None:
    pipeline = models.fit(models.build(name, toy.QUESTION, {}), TRAIN.x, TRAIN.y, TRAIN.person)
    probability = models.predict(pipeline, TEST.x)
    whole = np.ones((1, len(TEST)))
    assert metrics.auroc(TEST.y, probability, whole)[0] > 0.63
    assert abs(metrics.calibration_in_the_large(TEST.y, probability, whole)[0]) < 0.03
    skops.io.dump(pipeline, tmp_path / "model.skops")
    back = skops.io.load(tmp_path / "model.skops", trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(models.predict(back, TEST.x), probability)


@pytest.mark.parametrize("name", list(models.FAMILIES))
def test_unseen_codes_and_missing_values_get_a_probability(name: str) -> None:
    pipeline = models.fit(models.build(name, toy.QUESTION, {}), TRAIN.x, TRAIN.y, TRAIN.person)
    odd = TEST.x.head(3).assign(way_home=["to the moon", None, "snf"], sodium_mmol_l=np.nan, age_years=np.nan)
    probability = models.predict(pipeline, odd)
    assert ((probability > 0) & (probability < 1)).all()


def test_the_order_of_columns_does_not_matter() -> None:
    pipeline = models.fit(models.build("logistic", toy.QUESTION, {}), TRAIN.x, TRAIN.y, TRAIN.person)
    turned = TEST.x[TEST.x.columns[::-1]]
    np.testing.assert_array_equal(models.predict(pipeline, turned), models.predict(pipeline, TEST.x))


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(CitywellError, match="no model family 'oracle'"):
        models.family("oracle")
