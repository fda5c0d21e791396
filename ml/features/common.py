"""Blocks of features that many questions share. ``until``: the instant of the case before which they look back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ml.features.analytes import Analyte
from ml.features.comorbidity import GROUPS, Group, weighted_illnesses
from ml.features.declared import Derived, How, Windowed
from ml.features.events import EMERGENCY
from ml.question import Feature

LAB_DAYS = 365
DRUG_DAYS = 180
DRUG_CLASSES = (
    ("anticoagulant", "B01A", "on a drug against clotting"),
    ("insulin", "A10A", "on insulin"),
    ("diuretic", "C03", "on a water tablet"),
    ("opioid", "N02A", "on an opioid"),
    ("steroid", "H02", "on a steroid"),
)
"""Name, ATC prefix, words."""

PRESSURE_DRUG = Windowed(
    Feature("has_pressure_drug", "flag", "on a drug against high blood pressure"),
    "drug",
    "ever",
    "atc rlike '^(C02|C03|C07|C08|C09)'",
    days=365,
)
"""The ATC groups of antihypertensives, diuretics, beta and calcium channel blockers, and the renin-angiotensin
system."""

_CHARLSON_WEIGHTS = (
    ("heart_attack", 1),
    ("heart_failure", 1),
    ("vascular", 1),
    ("stroke", 1),
    ("dementia", 1),
    ("rheumatic", 1),
    ("ulcer", 1),
    ("paralysis", 2),
    ("kidney", 2),
    ("hiv", 6),
)
"""Of groups that stand for one illness alone; the others are below, the graver counting."""
_CHARLSON = " + ".join(
    (
        *(f"{weight} * has_{name}" for name, weight in _CHARLSON_WEIGHTS),
        "greatest(has_lung, has_asthma)",
        "greatest(has_liver_mild, 3 * has_liver_severe)",
        "greatest(has_diabetes, 2 * has_diabetes_complicated)",
        "greatest(2 * has_cancer, 6 * has_metastatic)",
        "least(greatest(floor((age_years - 40) / 10), 0), 4)",
    )
)
CHARLSON_AGE = Derived(Feature("charlson_age_points", "number", "Charlson index with age"), _CHARLSON)
"""Charlson's comorbidity index with a point for each decade from 50 on, at most four: M. Charlson et al., J Chronic Dis
1987; 40: 373-383 (weights), and J Clin Epidemiol 1994; 47: 1245-1251 (age). Groups: ``comorbidity``."""


def age_and_sex() -> tuple[Derived, ...]:
    """From the columns ``age_years`` and ``sex`` of the case."""
    return (
        Derived(Feature("age_years", "number", "age", "years")),
        Derived(Feature("is_female", "flag", "female"), "sex = 'female'"),
    )


def visits(until: str, days: int = 180) -> tuple[Windowed, ...]:
    """Emergency and outpatient visits."""
    months = round(days / 30.4)

    def counted(name: str, words: str, where: str) -> Windowed:
        feature = Feature(f"{name}_{days}d", "count", f"{words} in the {months} months before")
        return Windowed(feature, "visit", "count", where, days=days, until=until)

    return (
        counted("emergency_visits", "emergency visits", f"class_code = '{EMERGENCY}'"),
        counted("outpatient_visits", "outpatient visits", f"class_code <> '{EMERGENCY}'"),
    )


def conditions(until: str, *, with_own: bool = False) -> tuple[Windowed | Derived, ...]:
    """How many conditions are on record, and which comorbidity groups (``comorbidity``)."""

    def on_record(group: Group) -> Windowed:
        feature = Feature(f"has_{group.name}", "flag", group.label)
        where = f"icd10 rlike '{group.pattern}'"
        return Windowed(feature, "condition", "ever", where, until=until, with_own=with_own)

    different = Feature("conditions", "count", "different conditions on record")
    return (
        Windowed(different, "condition", "distinct", until=until, with_own=with_own),
        *map(on_record, GROUPS),
        Derived(
            Feature("charlson_groups", "count", "serious illness groups on record"),
            sum_of_illnesses(lambda group: 1),
        ),
    )


def sum_of_illnesses(points: Callable[[Group], int]) -> str:
    """SQL: sum over the illnesses on record of the most ``points`` that a group of theirs gives."""
    each = [[f"has_{group.name} * {points(group)}" for group in groups] for groups in weighted_illnesses()]
    return " + ".join(f"greatest({', '.join(of)})" if len(of) > 1 else of[0] for of in each)


def drugs(until: str, *, with_own: bool = False) -> tuple[Windowed, ...]:
    """Different drugs prescribed in the last half year, and classes of them."""

    def prescribed(feature: Feature, how: How, where: str = "true") -> Windowed:
        return Windowed(feature, "drug", how, where, days=DRUG_DAYS, until=until, with_own=with_own)

    return (
        prescribed(
            Feature("drugs_180d", "count", "different drugs prescribed in the last 6 months"), "distinct"
        ),
        *(
            prescribed(Feature(f"has_{name}", "flag", words), "ever", f"atc like '{prefix}%'")
            for name, prefix, words in DRUG_CLASSES
        ),
    )


def newest(
    analytes: Sequence[Analyte], until: str, days: int = LAB_DAYS, *, with_own: bool = False
) -> tuple[Windowed, ...]:
    """The newest value of each analyte."""
    return tuple(_measured(a, "last", "newest", until, days, with_own=with_own) for a in analytes)


def usual(analytes: Sequence[Analyte], until: str, days: int) -> tuple[Windowed, ...]:
    """The mean of each analyte's values: one alone is off by what it varies from day to day and by how it is measured,
    by about as much as people's usual blood pressures differ (S. MacMahon et al., Lancet 1990; 335: 765-774)."""
    return tuple(_measured(a, "usual", "mean", until, days) for a in analytes)


def _measured(
    analyte: Analyte, word: str, how: How, until: str, days: int, *, with_own: bool = False
) -> Windowed:
    feature = Feature(f"{word}_{analyte.name}", "number", f"{word} {analyte.label}", analyte.unit)
    return Windowed(feature, "measurement", how, analyte.where, days=days, until=until, with_own=with_own)
