"""Performance against the card's promise."""

from __future__ import annotations

import numpy as np
import pytest

from ml.monitoring import decay
from ml.monitoring.decay import Promise
from ml.monitoring.figures import Figure

PROMISED = Promise(auroc_low=0.75, alert_line=0.4)


def outcome(cases: int, seed: int, *, heard: float = 1.0, bias: float = 0.0) -> tuple[np.ndarray, ...]:
    """y, probability, person of a model that hears so much of the true risk, and is off by ``bias``."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1.5, 1.3, cases)
    risk = 1 / (1 + np.exp(-logit))
    told = 1 / (1 + np.exp(-(-1.5 + heard * (logit + 1.5))))
    y = (rng.random(cases) < np.clip(risk, 0, 1)).astype(float)
    return y, np.clip(told + bias, 0.001, 0.999), rng.integers(0, cases // 2, cases)


def crossed(y: np.ndarray, p: np.ndarray, person: np.ndarray) -> set[str]:
    return {f.metric for f in figures(y, p, person) if f.is_crossed}


def figures(y: np.ndarray, p: np.ndarray, person: np.ndarray) -> list[Figure]:
    return decay.performance("toy", "1", y, p, person, PROMISED, replicates=200)


def test_a_model_that_holds_its_promise_crosses_no_line_in_thirty_looks() -> None:
    assert [crossed(*outcome(600, seed)) for seed in range(30)] == [set()] * 30


def test_a_ranking_that_is_lost_is_told_with_its_interval_and_line() -> None:
    y, _, person = outcome(1500, 1)
    p = np.random.default_rng(2).permutation(outcome(1500, 1)[1])
    found = {f.metric: f for f in figures(y, p, person)}
    assert found["auroc"].is_crossed
    assert found["auroc"].line == pytest.approx(0.73)
    assert found["auroc"].high is not None
    assert found["auroc"].high < 0.73
    assert found["auroc"].n == 1500


@pytest.mark.parametrize("bias", [0.12, -0.15])
def test_risks_that_are_off_are_told_either_way(bias: float) -> None:
    assert crossed(*outcome(1500, 3, bias=bias)) >= {"calibration_in_the_large", "calibration_error"}


def test_rare_risks_that_are_many_times_too_high_are_told() -> None:
    rng = np.random.default_rng(8)
    true = 0.005 * np.exp(rng.normal(-0.5, 1.0, 20_000))
    y = (rng.random(20_000) < true).astype(float)
    promised = Promise(auroc_low=0.6, alert_line=0.02)
    for times, is_told in ((1, False), (4, True)):
        found = decay.performance("toy", "1", y, times * true, np.arange(20_000), promised, replicates=200)
        assert [f.metric for f in found if f.is_crossed] == ["expected_to_observed"] * is_told


def test_few_cases_are_given_the_benefit_of_the_doubt() -> None:
    y, p, person = outcome(60, 4, bias=0.06)
    assert crossed(y, p, person) == set()
    assert decay.performance("toy", "1", y[:5], p[:5], person[:5], PROMISED) == []


def test_a_loss_within_noise_is_none() -> None:
    y, p, person = outcome(120, 6, heard=0.5)
    p = np.where(np.random.default_rng(7).random(120) < 0.4, p[::-1], p)
    found = {f.metric: f for f in figures(y, p, person)}
    auroc = found["auroc"]
    assert auroc.line is not None
    assert auroc.high is not None
    assert auroc.value < auroc.line < auroc.high
    assert not auroc.is_crossed


def test_recall_and_precision_are_of_the_alert_line() -> None:
    y, p, person = outcome(800, 5)
    found = {f.metric: f.value for f in figures(y, p, person)}
    assert found["precision"] == pytest.approx(y[p >= 0.4].mean())
    assert found["recall"] == pytest.approx((p >= 0.4)[y == 1].mean())
