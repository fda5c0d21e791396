"""Lung cancer and tuberculosis before they are diagnosed.

Symptoms begin at the rates of ``hazards`` on a day whose number is divisible by MONTH; the diagnosis follows 60 to 240
days later (uniform), and is what stands on record as the condition's onset. In between outpatient visits are
VISITS_TIMES as likely, their reason is often a symptom, and weight falls by up to WEIGHT_LOST.

**Evidence.** What visits tell of a disease is kept for each person and each month in which symptoms could have begun
(``People.evidence``): the log likelihood ratio, symptoms against none, of the visits since then and of the days
without. With the rate at which symptoms begin this gives the chance that a person is ill and not diagnosed, given all
visits to all hospitals (Bayes). Weights are not part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from infra.city.vocabulary import CHRONIC_KEYS, OUTPATIENT_VISIT

MONTH = 30
SOONEST_DAYS, LATEST_DAYS = 60, 240
COHORTS = LATEST_DAYS // MONTH
VISITS_TIMES = 3.0
WEIGHT_LOST = 0.08


@dataclass(frozen=True)
class Hidden:
    """A disease that shows before it is found: its key in CHRONIC, and what symptoms multiply reasons of outpatient
    visits by."""

    key: str
    reasons: Mapping[str, float]

    @property
    def place(self) -> int:
        """Index into CHRONIC."""
        return CHRONIC_KEYS.index(self.key)

    def multipliers(self) -> np.ndarray:
        """One for each of OUTPATIENT_VISIT."""
        return np.array([self.reasons.get(reason.code, 1.0) for reason in OUTPATIENT_VISIT])


HIDDEN = (
    Hidden("lung_cancer", {"R05.9": 6, "R04.2": 40, "R63.4": 20, "R61": 5, "R50.9": 2}),
    Hidden("tuberculosis", {"R05.9": 6, "R04.2": 25, "R63.4": 15, "R61": 30, "R50.9": 8}),
)
PLACES = [hidden.place for hidden in HIDDEN]
REASON_TIMES = np.stack([hidden.multipliers() for hidden in HIDDEN])
"""HIDDEN x OUTPATIENT_VISIT."""


def no_evidence(count: int) -> np.ndarray:
    """Of people of whom nothing was hidden until now: people x HIDDEN x COHORTS, newest cohort first."""
    return np.full((count, len(HIDDEN), COHORTS), -np.inf, dtype=np.float32)


def next_month(evidence: np.ndarray) -> np.ndarray:
    """With a cohort whose symptoms begin today, and without the oldest, who are all diagnosed."""
    return np.concatenate([np.zeros_like(evidence[:, :, :1]), evidence[:, :, :-1]], axis=2)


def ratios(weights: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Log likelihood ratios of outpatient visits (visits x HIDDEN), symptoms against none: of the visit's taking place,
    and of its reason. weights: of reasons without symptoms (visits x OUTPATIENT_VISIT); drawn: index of the reason."""
    with_symptoms = weights[:, None, :] * REASON_TIMES
    more = weights.sum(axis=1)[:, None] / with_symptoms.sum(axis=2)
    return np.asarray(np.log(VISITS_TIMES * REASON_TIMES.T[drawn] * more))


def of_a_day(visits: np.ndarray) -> np.ndarray:
    """Log likelihood ratio of a day's not bringing an outpatient visit, whose chance without symptoms is ``visits``:
    that of a Poisson process."""
    return -(VISITS_TIMES - 1) * visits


def days_to_diagnosis(count: int, rng: np.random.Generator) -> np.ndarray:
    """From the first symptom on, whole days."""
    return rng.integers(SOONEST_DAYS, LATEST_DAYS, count)


def diagnosed_within(days: np.ndarray | float) -> np.ndarray:
    """Share that is diagnosed within so many days of the first symptom."""
    return np.clip((np.asarray(days, dtype=np.float64) - SOONEST_DAYS) / (LATEST_DAYS - SOONEST_DAYS), 0, 1)


def diagnosis_within(
    onset_rates: np.ndarray, evidence: np.ndarray, is_diagnosed: np.ndarray, day: int, days: int
) -> np.ndarray:
    """Chance that a person not diagnosed at the first instant of ``day`` is within so many days, if alive.

    people x HIDDEN, as are onset_rates (per person and year) and is_diagnosed; evidence: people x HIDDEN x COHORTS.
    Symptoms have one cause at a time: what one disease explains speaks less for the other, and nothing does for who is
    diagnosed with the other.
    """
    monthly = onset_rates * MONTH / 365.25
    newest = (day - 1) // MONTH * MONTH
    elapsed = day - newest + MONTH * np.arange(COHORTS)
    not_yet = 1 - diagnosed_within(elapsed)
    has_other = np.asarray(is_diagnosed.any(axis=1))
    is_explained = has_other[:, None, None] & np.isfinite(evidence)
    told = np.exp(np.where(is_explained, 0.0, evidence.astype(np.float64)))
    ill = np.where(is_diagnosed, 0.0, monthly)[:, :, None] * told
    to_come = np.arange(newest + MONTH, day + days, MONTH)
    soon = (ill * (diagnosed_within(elapsed + days) - diagnosed_within(elapsed))).sum(axis=2)
    later = monthly * diagnosed_within(day + days - to_come).sum()
    return np.asarray((soon + later) / (1 + (ill * not_yet).sum(axis=(1, 2)))[:, None])
