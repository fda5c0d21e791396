"""Each family fits, predicts probabilities, survives storage, and takes what scoring may bring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skops.io

from jobs.errors import CitywellError
from ml import metrics, models
from ml.recalibration import LogisticMap, StepMap, recalibrated
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


@pytest.mark.parametrize("mapping", [LogisticMap(0.2, 0.9), StepMap((0.1, 0.4), (0.05, 0.5))], ids=str)
@pytest.mark.parametrize("name", list(models.FAMILIES))
def test_a_recalibrated_model_maps_its_probabilities_and_can_be_stored_and_fitted_again(
    name: str, mapping: LogisticMap | StepMap, tmp_path: Path
) -> None:
    plain = models.fit(models.build(name, toy.QUESTION, {}), TRAIN.x, TRAIN.y, TRAIN.person)
    pipeline = recalibrated(plain, mapping)
    probability = models.predict(pipeline, TEST.x)
    np.testing.assert_allclose(probability, mapping(models.predict(plain, TEST.x)))
    skops.io.dump(pipeline, tmp_path / "model.skops")
    back = skops.io.load(tmp_path / "model.skops", trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(models.predict(back, TEST.x), probability)
    again = models.fit(back, TRAIN.x, TRAIN.y, TRAIN.person)
    np.testing.assert_allclose(models.predict(again, TEST.x), probability)


@pytest.mark.parametrize("name", list(models.FAMILIES))
def test_a_family_is_built_at_both_ends_of_its_search_space(name: str) -> None:
    space = models.family(name).space
    for declared in models.family(name).settings:
        assert set(declared) == set(space)
        assert all(space[key].low <= value <= space[key].high for key, value in declared.items())
    for end in ("low", "high"):
        setting = {
            key: int(value) if bounds.is_whole else value
            for key, bounds in space.items()
            for value in [getattr(bounds, end)]
        }
        models.build(name, toy.QUESTION, setting)


@pytest.mark.parametrize("name", list(models.FAMILIES))
def test_unseen_codes_and_missing_values_get_a_probability(name: str) -> None:
    pipeline = models.fit(models.build(name, toy.QUESTION, {}), TRAIN.x, TRAIN.y, TRAIN.person)
    odd = TEST.x.head(3).assign(way_home=["to the moon", None, "snf"], sodium_mmol_l=np.nan, age_years=np.nan)
    probability = models.predict(pipeline, odd)
    assert ((probability > 0) & (probability < 1)).all()


@pytest.mark.parametrize("name", list(models.FAMILIES))
def test_a_feature_of_which_nothing_is_known_is_no_trouble(
    name: str, recwarn: pytest.WarningsRecorder
) -> None:
    """A hospital without a laboratory."""
    unknown = TRAIN.x.assign(sodium_mmol_l=np.nan)
    pipeline = models.fit(models.build(name, toy.QUESTION, {}), unknown, TRAIN.y, TRAIN.person)
    known = models.predict(pipeline, TEST.x)
    np.testing.assert_allclose(
        models.predict(pipeline, TEST.x.assign(sodium_mmol_l=np.nan)), known, atol=0.01
    )
    assert not recwarn.list


def test_the_order_of_columns_does_not_matter() -> None:
    pipeline = models.fit(models.build("logistic", toy.QUESTION, {}), TRAIN.x, TRAIN.y, TRAIN.person)
    turned = TEST.x[TEST.x.columns[::-1]]
    np.testing.assert_array_equal(models.predict(pipeline, turned), models.predict(pipeline, TEST.x))


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(CitywellError, match="no model family 'oracle'"):
        models.family("oracle")
