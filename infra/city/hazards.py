"""The rates at which things happen to people: visits, admissions by reason, new lasting conditions, deaths.

The city draws from these rates every day (``simulation``), so they are the truth that ``true_risks`` publishes. All
that they depend on is recorded by hospitals before the event: age, sex, lasting conditions, smoking, body mass index,
usual blood pressure, glucose, cholesterol, HDL and haemoglobin, and frailty, which is seen as care need. The weights
are ours; their terms and forms are published ones:

unplanned admissions   a sum over reasons (vocabulary.UNPLANNED): base rate of the person, times the reason's share
                       given the person's conditions, times a multiplier of the reason by its mean over the city
                       (MEAN_OF), so that the city has as many admissions of each reason as without:
    pneumonia          age, chronic lung disease, daily smoking, care need: risk factors reviewed by Torres and others
                       (Thorax 2013)
    heart attack and stroke   the general cardiovascular risk function of D'Agostino and others (Circulation 2008,
                       tables 2 and 3, without treatment), as a yearly hazard: -ln(S0) / 10 * exp(sum of terms - mean)
                       of each sex, to the power FRAMINGHAM_POWER, because age and diabetes are in the base rate too;
                       times weights of kidney disease and atrial fibrillation, which it lacks
    bleeding in the gut   age, atrial fibrillation (who has it takes an anticoagulant), low haemoglobin, kidney disease
                       (terms of HAS-BLED: Pisters and others, Chest 2010); liver disease by the reason's boost
onset of diabetes      its prevalence at that age, body mass index, usual glucose, hypertension: terms of FINDRISC
                       (Lindstroem and Tuomilehto, Diabetes Care 2003)
onset of hypertension  its prevalence at that age, usual systolic pressure, body mass index, smoking (Parikh and others,
                       Ann Intern Med 2008: the Framingham hypertension score), and kidney disease
onset of chronic obstructive lung disease   its prevalence at that age, smoking
lung cancer            smoking now and in the past, chronic obstructive lung disease, age (terms of PLCO-m2012:
                       Tammemaegi and others, N Engl J Med 2013)
tuberculosis           daily smoking, diabetes (risk factors of WHO's Global tuberculosis report 2023), age, and care
                       need in the place of undernourishment
other onsets           their prevalence at that age

A lasting condition begins at ONSET_SHARE of its prevalence a year. Lung cancer and tuberculosis begin with symptoms;
what is recorded is their diagnosis (see ``undiagnosed``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from infra.city.constitution import ADULT_AGE, DAILY_SMOKER, FORMER_SMOKER, prevalence
from infra.city.population import DAY_MS, HYPERTENSION_MMHG, People
from infra.city.vocabulary import CHRONIC, CHRONIC_KEYS, UNPLANNED

ONSET_SHARE = 0.06
DEATHS_AFTER_DISCHARGE = 5.0
"""How much likelier death is in the 30 days after a discharge."""
PNEUMONIA, GUT_BLEEDING = "J18.9", "K92.2"
CARDIOVASCULAR = ("I21.4", "I63.9")
UNPLANNED_CODES = tuple(reason.code for reason in UNPLANNED)
MEAN_OF = {
    PNEUMONIA: 1.79,
    "I21.4": 0.105,
    "I63.9": 0.0862,
    GUT_BLEEDING: 1.77,
    "diabetes": 1.76,
    "hypertension": 1.37,
    "copd": 1.54,
}
"""Mean multipliers: of reasons over the first adults of a city, by their rate of it; of onsets over those without."""


@dataclass(frozen=True)
class Framingham:
    """Coefficients of D'Agostino and others 2008 for one sex; mean: of the sum of terms; survival: over ten years."""

    log_age: float
    log_cholesterol: float
    log_hdl: float
    log_systolic: float
    smoking: float
    diabetes: float
    mean: float
    survival: float


FRAMINGHAM = (
    Framingham(2.32888, 1.20904, -0.70833, 2.76157, 0.52873, 0.69154, 26.1931, 0.95012),
    Framingham(3.06117, 1.12370, -0.93263, 1.93303, 0.65451, 0.57367, 23.9802, 0.88936),
)
"""Women, men."""
FRAMINGHAM_POWER = 0.7


@dataclass(frozen=True)
class Standing:
    """What people's rates follow from; one element per person. age in years, ill people x CHRONIC, systolic (mmHg) with
    what hypertension adds, glucose (mg/dL) without what diabetes adds; the rest as in ``population``."""

    age: np.ndarray
    sex: np.ndarray
    ill: np.ndarray
    smoking: np.ndarray
    frailty: np.ndarray
    bmi: np.ndarray
    glucose: np.ndarray
    systolic: np.ndarray
    cholesterol: np.ndarray
    hdl: np.ndarray
    haemoglobin: np.ndarray

    @classmethod
    def of(cls, people: People, day: int) -> Standing:
        """People as they are at the first instant of a day."""
        everybody = np.arange(len(people))
        return cls(
            age=people.age_years(day),
            sex=people.sex,
            ill=people.has(day * DAY_MS),
            smoking=people.smoking,
            frailty=people.frailty,
            bmi=people.weight / (people.height / 100) ** 2,
            glucose=people.glucose,
            systolic=people.usual_systolic(everybody, day * DAY_MS),
            cholesterol=people.cholesterol,
            hdl=people.hdl,
            haemoglobin=people.haemoglobin,
        )

    def has(self, key: str) -> np.ndarray:
        """Who has a lasting condition, by its key."""
        return np.asarray(self.ill[:, CHRONIC_KEYS.index(key)])

    def falling_ill(self, place: int) -> Standing:
        """Everybody with one lasting condition more (index into CHRONIC)."""
        ill = self.ill.copy()
        ill[:, place] = True
        is_new = (place == CHRONIC_KEYS.index("hypertension")) & ~self.ill[:, place]
        return replace(self, ill=ill, systolic=self.systolic + HYPERTENSION_MMHG * is_new)

    @property
    def burden(self) -> np.ndarray:
        """What lasting conditions multiply admissions by."""
        return np.asarray(np.where(self.ill, [c.admission for c in CHRONIC], 1.0).prod(axis=1))

    @property
    def adult_years(self) -> np.ndarray:
        """Years beyond 30."""
        return np.maximum(self.age - 30, 0)

    @property
    def smokes(self) -> np.ndarray:
        return self.smoking == DAILY_SMOKER

    @property
    def smoked(self) -> np.ndarray:
        return self.smoking == FORMER_SMOKER


def yearly_rates(s: Standing, admission_factor: float) -> dict[str, np.ndarray]:
    """Expected events per person and year: outpatient, emergency_room, unplanned (people x UNPLANNED), planned,
    death. Without calendar, exposures and season, whose yearly means are 1."""
    return {
        "outpatient": 1.5 + 0.012 * s.adult_years + 0.45 * s.ill.sum(axis=1),
        "emergency_room": (0.20 + 0.09 * np.sqrt(s.burden)) * s.frailty,
        "unplanned": unplanned(s, admission_factor),
        "planned": admission_factor * np.where(s.age >= ADULT_AGE, 0.055 + 0.0019 * s.adult_years, 0.006),
        "death": death(s),
    }


def death(s: Standing) -> np.ndarray:
    """Deaths outside hospital stays per person and year."""
    return np.asarray(0.0004 * np.exp(0.072 * s.adult_years) * np.sqrt(s.burden))


def unplanned(s: Standing, admission_factor: float) -> np.ndarray:
    """Unplanned admissions per person and year, by reason (people x UNPLANNED)."""
    base = admission_factor * 0.094 * np.exp(0.014 * s.adult_years) * s.burden * s.frailty
    weights = np.tile([reason.weight for reason in UNPLANNED], (len(s.age), 1))
    for j, reason in enumerate(UNPLANNED):
        if reason.chronic:
            weights[s.has(reason.chronic), j] *= reason.boost
    rates = base[:, None] * weights / weights.sum(axis=1, keepdims=True)
    for code, multiplier in (
        (PNEUMONIA, _pneumonia(s)),
        *((code, _cardiovascular(s)) for code in CARDIOVASCULAR),
        (GUT_BLEEDING, _gut_bleeding(s)),
    ):
        rates[:, UNPLANNED_CODES.index(code)] *= multiplier / MEAN_OF[code]
    return np.asarray(rates)


def of_reasons(unplanned_rates: np.ndarray, codes: tuple[str, ...]) -> np.ndarray:
    """The rates of some reasons together."""
    return np.asarray(unplanned_rates[:, [UNPLANNED_CODES.index(code) for code in codes]].sum(axis=1))


def framingham(s: Standing) -> np.ndarray:
    """Cardiovascular events per person and year after D'Agostino and others 2008, ages below 18 as 18."""
    found = np.zeros(len(s.age))
    for sex, c in enumerate(FRAMINGHAM):
        terms = (
            c.log_age * np.log(np.maximum(s.age, ADULT_AGE))
            + c.log_cholesterol * np.log(s.cholesterol)
            + c.log_hdl * np.log(s.hdl)
            + c.log_systolic * np.log(s.systolic)
            + c.smoking * s.smokes
            + c.diabetes * s.has("diabetes")
        )
        hazard = -np.log(c.survival) / 10 * np.exp(terms - c.mean)
        found = np.where(s.sex == sex, hazard, found)
    return found


def _pneumonia(s: Standing) -> np.ndarray:
    log = 0.022 * (s.age - 60) + 0.5 * s.has("copd") + 0.5 * s.smokes
    return np.asarray(np.exp(log) * np.sqrt(s.frailty))


def _cardiovascular(s: Standing) -> np.ndarray:
    return framingham(s) ** FRAMINGHAM_POWER * np.exp(
        0.35 * s.has("kidney") + 0.3 * s.has("atrial_fibrillation")
    )


def _gut_bleeding(s: Standing) -> np.ndarray:
    log = 0.02 * (s.age - 60) + 0.6 * s.has("atrial_fibrillation") + 0.4 * s.has("kidney")
    return np.asarray(np.exp(log + 0.35 * np.clip(13 - s.haemoglobin, 0, 5)))


def onsets(s: Standing) -> np.ndarray:
    """New lasting conditions per person and year (people x CHRONIC), also where the person has it already; of lung
    cancer and tuberculosis that their symptoms begin."""
    special = {
        "diabetes": diabetes_onset,
        "hypertension": hypertension_onset,
        "copd": _copd_onset,
        "lung_cancer": lung_cancer_onset,
        "tuberculosis": tuberculosis_onset,
    }
    return np.stack([special.get(c.key, lambda s, c=c: _usual_onset(s, c.key))(s) for c in CHRONIC], axis=1)


def diabetes_onset(s: Standing) -> np.ndarray:
    """Per person and year."""
    log = 0.11 * (s.bmi - 26) + 0.07 * (s.glucose - 97) + 0.5 * s.has("hypertension")
    return np.asarray(_usual_onset(s, "diabetes") * np.exp(log) / MEAN_OF["diabetes"])


def hypertension_onset(s: Standing) -> np.ndarray:
    """Per person and year."""
    log = 0.055 * (s.systolic - 120) + 0.06 * (s.bmi - 26) + 0.3 * s.smokes + 0.5 * s.has("kidney")
    return np.asarray(_usual_onset(s, "hypertension") * np.exp(log) / MEAN_OF["hypertension"])


def _copd_onset(s: Standing) -> np.ndarray:
    return np.asarray(_usual_onset(s, "copd") * np.exp(1.2 * s.smokes + 0.5 * s.smoked) / MEAN_OF["copd"])


def lung_cancer_onset(s: Standing) -> np.ndarray:
    """Beginnings of symptoms per person and year."""
    log = 2.1 * s.smokes + 1.3 * s.smoked + 0.7 * s.has("copd") + 0.055 * (np.minimum(s.age, 85) - 60)
    return np.where(s.age >= ADULT_AGE, 0.00032 * np.exp(log), 0.0)


def tuberculosis_onset(s: Standing) -> np.ndarray:
    """Beginnings of symptoms per person and year."""
    log = 0.7 * s.smokes + 0.7 * s.has("diabetes") + 0.012 * (s.age - 50)
    return np.where(s.age >= ADULT_AGE, 0.00018 * np.exp(log) * s.frailty, 0.0)


def _usual_onset(s: Standing, key: str) -> np.ndarray:
    return ONSET_SHARE * prevalence(CHRONIC[CHRONIC_KEYS.index(key)], s.age)
