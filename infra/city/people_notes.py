"""What the answer key says of people's true risks, phenotypes and neighbourhoods, and of the rules of association that
are true by construction (see ``truth``)."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from infra.city.constitution import NEIGHBOURHOOD_OF, NEIGHBOURHOODS, PHENOTYPES
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
    REASONS,
    Chronic,
)

Rule = tuple[str, str, str]
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
        antecedent, consequent, kind = (list(column) for column in zip(*rules(), strict=True))
        lived.truth.add("rules", antecedent=antecedent, consequent=consequent, kind=kind, visible_at=opened)


def _note_phenotypes(lived: Lived) -> None:
    """Of the people who came in this stretch."""
    came = lived.people.registered_ms.min(axis=1)
    who = np.arange(len(came)) if lived.is_history else np.flatnonzero(came >= lived.before_ms)
    words = np.array([p.key for p in PHENOTYPES])[lived.people.phenotype[who]].tolist()
    lived.truth.add("phenotypes", person_id=who, phenotype=words, visible_at=came[who])


def rules() -> list[Rule]:
    """antecedent and consequent (``system|code``) and kind: see ``truth``."""
    found = [
        (of, f"{ATC}|{MEDICATIONS[m][0]}", "treatment")
        for chronic in CHRONIC
        for of in _coded(chronic)
        for m in chronic.medications
    ]
    found += [
        (of, f"{ATC}|{MEDICATIONS[m][0]}", "planted")
        for key, m in ASSOCIATED_MEDICATIONS
        for of in _coded(_chronic(key))
    ]
    found += [
        (of, f"{ICD10}|{reason.code}", "reason")
        for reason in REASONS
        if reason.chronic
        for of in _coded(_chronic(reason.chronic))
    ]
    found += [
        (a, b, "companion")
        for phenotype in PHENOTYPES
        for one, other in permutations(phenotype.logits, 2)
        for a in _coded(_chronic(one))
        for b in _coded(_chronic(other))
    ]
    found += [
        (f"{ICD10}|{code}", of, "symptom")
        for hidden in HIDDEN
        for code, times in hidden.reasons.items()
        if times >= MARKED
        for of in _coded(_chronic(hidden.key))
    ]
    return sorted(set(found))


def _chronic(key: str) -> Chronic:
    return CHRONIC[CHRONIC_KEYS.index(key)]


def _coded(chronic: Chronic) -> list[str]:
    return [f"{ICD10}|{code}" for code, _ in chronic.codes]
