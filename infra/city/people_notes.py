"""What the answer key says of people's true risks, phenotypes and neighbourhoods, and of the rules of association that
are true by construction (see ``truth``)."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from infra.city.constitution import NEIGHBOURHOOD_OF, NEIGHBOURHOODS, PHENOTYPES, companion_times
from infra.city.lived import Lived
from infra.city.population import DAY_MS
from infra.city.true_risks import RISKS
from infra.city.undiagnosed import HIDDEN
from infra.city.vocabulary import (
    ASSOCIATED_MEDICATIONS,
    ATC,
    CHRONIC,
    CHRONIC_KEYS,
    DISTRICTS,
    ICD10,
    MEDICATIONS,
    REASON_RANGES,
    REASONS,
    Chronic,
    Reason,
)

Rule = tuple[str, str, str, float | None]
MARKED = 5.0
"""How many times likelier a symptom must be for its rule to be listed."""


def note(lived: Lived) -> None:
    """Everything of this stretch; what never changes with the history."""
    for risks in lived.world.true_risks:
        at = risks["at"]
        values = {name: risks[name] for name in RISKS}
        lived.truth.add("true_risks", person_id=risks["person"], at=at, visible_at=at, **values)
    _note_phenotypes(lived)
    if lived.is_history:
        opened = lived.options.first_day * DAY_MS
        types = [NEIGHBOURHOODS[n].key for n in NEIGHBOURHOOD_OF]
        lived.truth.add("district_types", area_code=list(DISTRICTS), type=types, visible_at=opened)
        antecedent, consequent, kind, times = (list(column) for column in zip(*rules(), strict=True))
        lived.truth.add(
            "rules", antecedent=antecedent, consequent=consequent, kind=kind, times=times, visible_at=opened
        )


def _note_phenotypes(lived: Lived) -> None:
    """Of the people who came in this stretch."""
    came = lived.people.registered_ms.min(axis=1)
    who = np.arange(len(came)) if lived.is_history else np.flatnonzero(came >= lived.before_ms)
    of = lived.people.phenotype[who].tolist()
    marks = [" & ".join(code for key in p.marks for code in _coded(_chronic(key))) for p in PHENOTYPES]
    lived.truth.add(
        "phenotypes",
        person_id=who,
        phenotype=[PHENOTYPES[n].key for n in of],
        marks=[marks[n] for n in of],
        visible_at=came[who],
    )


def rules() -> list[Rule]:
    """antecedent and consequent (``system|code``), kind and times: see ``truth``."""
    found: list[Rule] = [
        (of, f"{ATC}|{MEDICATIONS[m][0]}", "treatment", None)
        for chronic in CHRONIC
        for of in _coded(chronic)
        for m in chronic.medications
    ]
    found += [
        (of, f"{ATC}|{MEDICATIONS[m][0]}", "planted", None)
        for key, m in ASSOCIATED_MEDICATIONS
        for of in _coded(_chronic(key))
    ]
    found += [
        (of, f"{ICD10}|{reason.code}", "reason", _reason_times(reason, group))
        for group, (first, last) in REASON_RANGES.items()
        for reason in REASONS[first:last]
        if reason.chronic
        for of in _coded(_chronic(reason.chronic))
    ]
    found += [
        (a, b, "companion", companion_times(_chronic(one), _chronic(other)))
        for phenotype in PHENOTYPES
        for one, other in permutations(phenotype.logits, 2)
        for a in _coded(_chronic(one))
        for b in _coded(_chronic(other))
    ]
    found += [
        (f"{ICD10}|{code}", of, "symptom", None)
        for hidden in HIDDEN
        for code, times in hidden.reasons.items()
        if times >= MARKED
        for of in _coded(_chronic(hidden.key))
    ]
    return sorted(set(found), key=lambda rule: rule[:3])


def _reason_times(reason: Reason, group: str) -> float:
    """How many times as often its lasting condition makes people come for a reason: its share among the reasons of its
    group, and of unplanned admissions how many more there are."""
    first, last = REASON_RANGES[group]
    usual = sum(other.weight for other in REASONS[first:last])
    share = reason.boost * usual / (usual + reason.weight * (reason.boost - 1))
    return share * (_chronic(reason.chronic).admission if group == "unplanned" else 1.0)


def _chronic(key: str) -> Chronic:
    return CHRONIC[CHRONIC_KEYS.index(key)]


def _coded(chronic: Chronic) -> list[str]:
    return [f"{ICD10}|{code}" for code, _ in chronic.codes]
