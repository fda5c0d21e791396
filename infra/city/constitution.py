"""What people are like for good: phenotype, neighbourhood, smoking, build, frailty, and their usual values.

**Phenotypes** are latent: no hospital records them, but they shift together the chances of lasting conditions, of
smoking and the body mass index, so that clusters of people exist. Within a phenotype conditions are independent given
age. The prevalence of every condition at every age stays that of ``vocabulary.CHRONIC``: the logit common to all
phenotypes is solved for (``prevalence_of``).

**Neighbourhoods**: a third of postal districts each is deprived, average or affluent; who lives there at first smokes
more or less, is heavier or lighter, and needs more or less help. Nobody changes by moving.

**Smoking** never begins or ends in the time a city lives. **Care need** is what hospitals see of frailty: a level from
0 to 5 that nurses note, a noisy step of it.

They are planted so strongly that conditions tell them: of the people with a condition that marks one (``marks``), who
knew all shares and logits would sort the right phenotype in an adjusted Rand index of about 0.8.

The shares and weights are ours. Their signs are well known: cardiometabolic and mental conditions cluster
(Prados-Torres and others, J Clin Epidemiol 2014), so do smoking, asthma and chronic obstructive lung disease, and
smoking, body mass and frailty follow deprivation (Marmot Review 2010). None of it is an estimate for a real city.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from infra.city.vocabulary import DISTRICTS, Chronic

NEVER_SMOKER, FORMER_SMOKER, DAILY_SMOKER = range(3)
"""As vocabulary.SMOKING."""
LEAST_SMOKING_AGE = 16.0
ADULT_AGE = 18.0
CARE_NEED_ABOVE = (0.35, 0.75, 1.2, 1.8, 2.6)
"""Frailty from which each level of care need, 1 to 5, is noted."""
CARE_NEED_NOISE = 0.2
"""Standard deviation of its logarithm, from nurse to nurse."""
MARKING_LOGIT = 2.0
"""A condition marks a phenotype that adds so much to its logit: e^2 times the odds."""
NEWTON_STEPS = 8
"""Enough for ``prevalence_of`` to be exact to nine digits."""


@dataclass(frozen=True)
class Phenotype:
    """share of people; logits: added to a condition's logit; smoking: to that of daily smoking; bmi in kg/m2."""

    key: str
    share: float
    logits: Mapping[str, float] = field(default_factory=dict)
    smoking: float = 0.0
    bmi: float = 0.0

    @property
    def marks(self) -> tuple[str, ...]:
        """Keys of the conditions that tell it from others."""
        return tuple(key for key, logit in self.logits.items() if logit >= MARKING_LOGIT)


PHENOTYPES = (
    Phenotype("none", 0.55),
    Phenotype(
        "metabolic",
        0.20,
        {"diabetes": 6.0, "hypertension": 1.5, "coronary": 5.0, "kidney": 4.0},
        bmi=5.0,
    ),
    Phenotype("lung", 0.12, {"copd": 6.0, "asthma": 6.0, "lung_cancer": 0.9}, smoking=1.2, bmi=-0.8),
    Phenotype("mind", 0.13, {"depression": 6.0, "thyroid": 5.0, "dementia": 3.0}, smoking=0.3),
)
SHARES = np.array([p.share for p in PHENOTYPES])
_MEAN_BMI_SHIFT = float(SHARES @ [p.bmi for p in PHENOTYPES])
_MEAN_SMOKING_SHIFT = float(SHARES @ [p.smoking for p in PHENOTYPES])


@dataclass(frozen=True)
class Neighbourhood:
    """smoking: added to the logit of daily smoking; bmi in kg/m2; frailty: what it is multiplied by."""

    key: str
    smoking: float
    bmi: float
    frailty: float


NEIGHBOURHOODS = (
    Neighbourhood("deprived", 0.5, 1.0, 1.2),
    Neighbourhood("average", 0.0, 0.0, 1.0),
    Neighbourhood("affluent", -0.5, -1.0, 0.8),
)
_DEPRIVED, _AFFLUENT = ("C02", "C04", "C05", "C08"), ("C07", "C10", "C11", "C12")
NEIGHBOURHOOD_OF = np.array([0 if d in _DEPRIVED else 2 if d in _AFFLUENT else 1 for d in DISTRICTS])
"""Index into NEIGHBOURHOODS of each of DISTRICTS."""


@dataclass(frozen=True)
class Constitution:
    """One element per person. phenotype indexes PHENOTYPES, smoking vocabulary.SMOKING; bmi is that of the grown-up
    (kg/m2); glucose (without diabetes), cholesterol, hdl in mg/dL; systolic (without hypertension) in mmHg."""

    phenotype: np.ndarray
    smoking: np.ndarray
    bmi: np.ndarray
    frailty: np.ndarray
    glucose: np.ndarray
    systolic: np.ndarray
    cholesterol: np.ndarray
    hdl: np.ndarray


def draw(age: np.ndarray, sex: np.ndarray, district: np.ndarray, rng: np.random.Generator) -> Constitution:
    """Constitutions of people by age (years), sex (0 female, 1 male) and postal district (index into DISTRICTS).

    Usual values drift with age and body mass; at 50 years and 26 kg/m2 they have the means given here.
    """
    count = len(age)
    phenotype = rng.choice(len(PHENOTYPES), count, p=SHARES).astype(np.int8)
    around = NEIGHBOURHOOD_OF[district]
    smoking = _smoking(age, sex, phenotype, around, rng)
    heavier = np.array([p.bmi for p in PHENOTYPES])[phenotype] - _MEAN_BMI_SHIFT
    heavier += np.array([n.bmi for n in NEIGHBOURHOODS])[around]
    bmi = np.clip(rng.normal(26, 3.8, count) + heavier, 17, 48)
    excess, older = bmi - 26, np.clip(age, 18, 80) - 50
    return Constitution(
        phenotype=phenotype,
        smoking=smoking,
        bmi=bmi,
        frailty=rng.gamma(1.6, 1 / 1.6, count) * np.array([n.frailty for n in NEIGHBOURHOODS])[around],
        glucose=rng.normal(97, 9, count) + 0.5 * excess + 0.06 * older,
        systolic=rng.normal(116, 9, count) + 0.18 * np.maximum(age - 30, 0) + 0.5 * excess,
        cholesterol=np.clip(rng.normal(188, 31, count) + 0.35 * older + 0.8 * excess, 90, 380),
        hdl=np.clip(
            rng.normal(54, 11, count)
            + np.where(sex == 1, -5, 5)
            - 0.6 * excess
            - 4.0 * (smoking == DAILY_SMOKER),
            18,
            115,
        ),
    )


def _smoking(
    age: np.ndarray, sex: np.ndarray, phenotype: np.ndarray, around: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Daily smokers are most of all men before 45, former ones grow with age; nobody below LEAST_SMOKING_AGE."""
    shift = np.array([p.smoking for p in PHENOTYPES])[phenotype] - _MEAN_SMOKING_SHIFT
    shift += np.array([n.smoking for n in NEIGHBOURHOODS])[around]
    daily = -1.35 + 0.2 * (sex == 1) - 0.03 * np.maximum(age - 45, 0) + shift
    former = -2.2 + 0.25 * (sex == 1) + 0.035 * (np.minimum(age, 75) - 18)
    draw = rng.random((2, len(age)))
    status = np.where(draw[0] < _chance(daily), DAILY_SMOKER, NEVER_SMOKER)
    status = np.where((status == NEVER_SMOKER) & (draw[1] < _chance(former)), FORMER_SMOKER, status)
    return np.where(age < LEAST_SMOKING_AGE, NEVER_SMOKER, status).astype(np.int8)


def prevalence(chronic: Chronic, age: np.ndarray) -> np.ndarray:
    """Share of people of an age (years) with a lasting condition; none below 18."""
    return np.where(age >= ADULT_AGE, _chance(_logit_at(chronic, age)), 0.0)


def prevalence_of(chronic: Chronic, age: np.ndarray, phenotype: np.ndarray) -> np.ndarray:
    """Share of people of an age and phenotype with a lasting condition: ``prevalence`` over all phenotypes."""
    shifts = np.array([p.logits.get(chronic.key, 0.0) for p in PHENOTYPES])
    common = _logit_at(chronic, age)
    wanted = _chance(common)
    for _ in range(NEWTON_STEPS if shifts.any() else 0):
        by_phenotype = _chance(common[:, None] + shifts)
        slope = (by_phenotype * (1 - by_phenotype)) @ SHARES
        common = common - (by_phenotype @ SHARES - wanted) / slope
    return np.where(age >= ADULT_AGE, _chance(common + shifts[phenotype]), 0.0)


def companion_times(one: Chronic, other: Chronic, age: float = 60.0) -> float:
    """How many times likelier the one condition makes the other at an age (years), through the phenotypes."""
    everybody = np.arange(len(PHENOTYPES))
    p, q = (prevalence_of(c, np.full(len(PHENOTYPES), age), everybody) for c in (one, other))
    has_one, has_other, both = SHARES @ p, SHARES @ q, SHARES @ (p * q)
    return float(both / has_one / ((has_other - both) / (1 - has_one)))


def care_need(frailty: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The level (0 to 5) noted once for each."""
    seen = frailty * np.exp(rng.normal(0, CARE_NEED_NOISE, len(frailty)))
    return np.searchsorted(CARE_NEED_ABOVE, seen)


def _logit_at(chronic: Chronic, age: np.ndarray) -> np.ndarray:
    return np.asarray(chronic.at60 + chronic.per10 * (age - 60) / 10)


def _chance(logit: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logit)))
