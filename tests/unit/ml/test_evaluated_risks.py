"""What `citywell evaluate` says of the risk models: lines by question, judged as far as there are events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from infra.evaluate import risks
from ml import registry
from ml.metrics import Estimate
from ml.risk import evaluate, truth
from ml.risk.evaluate import Comparison, Declines, DeclinesFound, Learnt

SEEN = {"hospital_north": pa.scalar(datetime(2026, 1, 1, tzinfo=UTC), pa.timestamp("ms", tz="UTC"))}
MAKING = Comparison(
    cases=20_000,
    events=4000,
    model=Estimate(0.71, 0.70, 0.72),
    truth=Estimate(0.75, 0.74, 0.76),
    gap=Estimate(0.04, 0.02, 0.06),
    calibration_error=0.03,
    without=100,
    tested=700,
)
OF_QUESTION = {
    "emergency_90d": MAKING,
    "pneumonia_90d": replace(MAKING, gap=Estimate(0.03, 0.01, 0.05), calibration_error=0.02),
    "lung_cancer_180d": replace(MAKING, tested=599),
    "diabetes_2y": replace(MAKING, tested=599, gap=Estimate(0.06, 0.031, 0.09)),
}


DECLINES = Declines(
    cases=4800,
    declines=17,
    auroc=Estimate(0.9, 0.84, 0.95),
    alerted=0.6471,
    alerts=0.05,
)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of a city whose key tells of OF_QUESTION and of two questions that have no champion."""
    told = [*OF_QUESTION, "readmission_30d", "tuberculosis_180d"]
    monkeypatch.setattr(risks, "is_published", lambda table: True)
    monkeypatch.setattr(truth, "told", lambda key: told)
    monkeypatch.setattr(registry, "champion", lambda name: "a version" if name in OF_QUESTION else None)
    monkeypatch.setattr(
        evaluate,
        "learnt_against_truth",
        lambda name, answer_key: Learnt(Estimate(0.7, 0.49, 0.8), OF_QUESTION[name]),
    )
    monkeypatch.setattr(risks.tasks, "verify_hospitals", lambda at, but: {})
    return [str(line) for line in risks.figures(Path("key"), SEEN)]


def test_where_there_are_enough_events_the_figures_themselves_are_judged(lines: list[str]) -> None:
    assert "emergency_90d_auroc_gap 0.04 AUROC(0.020..0.060) <=0.03 short of 4000" in lines
    assert "emergency_90d_calibration_error 0.03 share <=0.02 short of 20000" in lines
    assert "pneumonia_90d_auroc_gap 0.03 AUROC(0.010..0.050) <=0.03 pass of 4000" in lines
    assert "pneumonia_90d_calibration_error 0.02 share <=0.02 pass of 20000" in lines


def test_where_events_are_few_the_interval_is_judged_and_nothing_is_claimed(lines: list[str]) -> None:
    assert "lung_cancer_180d_auroc_gap 0.04 AUROC(0.020..0.060) low<=0.03 pass of 4000" in lines
    assert "lung_cancer_180d_calibration_error 0.03 share - told of 20000" in lines
    assert "diabetes_2y_auroc_gap 0.06 AUROC(0.031..0.090) low<=0.03 short of 4000" in lines


def test_a_champion_that_ranks_no_better_than_chance_is_told(lines: list[str]) -> None:
    assert "emergency_90d_champion 0.7 AUROC(0.490..0.800) low>0.5 short" in lines


def test_a_question_without_a_champion_is_told_and_of_readmission_it_is_a_fault(lines: list[str]) -> None:
    assert "readmission_30d_champion 0 versions ==1 short" in lines
    assert "tuberculosis_180d_champion 0 versions - told of 1" in lines
    assert "deterioration_7d_champion 0 versions - told of 1" in lines


def test_deterioration_is_judged_by_the_declines_it_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    found = DeclinesFound(Estimate(0.8, 0.7, 0.9), DECLINES, Estimate(0.2, -0.01, 0.3))
    monkeypatch.setattr(risks, "is_published", lambda table: True)
    monkeypatch.setattr(truth, "told", lambda key: [])
    monkeypatch.setattr(registry, "champion", lambda name: "a version")
    monkeypatch.setattr(evaluate, "declines_found", lambda name, answer_key: found)
    monkeypatch.setattr(risks.tasks, "verify_hospitals", lambda at, but: {})
    assert [str(line) for line in risks.figures(Path("key"), SEEN)][:-1] == [
        "deterioration_7d_champion 0.8 AUROC(0.700..0.900) low>0.5 pass",
        "deterioration_7d_declines 0.9 AUROC(0.840..0.950) low>0.5 pass of 17",
        "deterioration_7d_declines_over_hazard 0.2 AUROC(-0.010..0.300) low>0 short",
        "deterioration_7d_declines_alerted 0.6471 share - told of 17",
        "deterioration_7d_alerts 0.05 share - told of 4800",
    ]


def test_few_declines_are_told_and_not_judged() -> None:
    few = replace(DECLINES, declines=9, auroc=None, alerted=0.5556)
    assert [str(line) for line in risks.of_declines("deterioration_7d", few, None)] == [
        "deterioration_7d_declines 9 cases - told of 4800",
        "deterioration_7d_declines_alerted 0.5556 share - told of 9",
        "deterioration_7d_alerts 0.05 share - told of 4800",
    ]
    none = replace(few, declines=0)
    assert [str(line) for line in risks.of_declines("deterioration_7d", none, None)] == [
        "deterioration_7d_declines 0 cases - told of 4800"
    ]


def test_nothing_is_said_before_somebody_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(risks, "is_published", lambda table: False)
    assert list(risks.figures(Path("key"), SEEN)) == []
