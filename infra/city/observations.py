"""FHIR R4 Observations as lines of JSON, with a value of every type."""

from __future__ import annotations

import numpy as np

from infra.city.fhir_json import as_json, concept
from infra.city.ids import hashed
from infra.city.population import DAY_MS
from infra.city.scribe import COMPLAINTS, NOTES, Scribe, narrative
from infra.city.simulation import Columns
from infra.city.vocabulary import (
    DIASTOLIC,
    LOINC,
    MEASURES,
    SMOKING,
    SYSTOLIC,
    TERMINOLOGY,
    UCUM,
    Measure,
)


def observations(scribe: Scribe, t: Columns) -> list[str]:
    """Observations of every value type; one in forty has a note, one in two hundred says why there is no value."""
    quirk = (hashed(scribe.seed, 14, t["ordinal"]) % np.uint64(1_000_000)).astype(np.int64)
    notes, texts = [""] * len(quirk), [""] * len(quirk)
    noted = np.flatnonzero(quirk % 40 == 0)
    for i, words in zip(noted.tolist(), scribe.sayings(NOTES, t["person"][noted], quirk[noted]), strict=True):
        notes[i] = f',"note":[{{"text":"{words}"}}]'
    if scribe.habits.narrative:
        for i in np.flatnonzero(quirk % 16 == 3).tolist():
            texts[i] = f'"text":{as_json(narrative(scribe.full_names[t["person"][i]]))},'
    template = (
        '{{"resourceType":"Observation","id":"{}",{}{}"status":"{}",{},"subject":{},"encounter":{{"reference":'
        '"Encounter/{}"}},"effectiveDateTime":"{}","issued":"{}","performer":[{}]{}{}}}'
    )
    rows = zip(
        scribe.ids("Observation", t["ordinal"]),
        scribe.metas("Observation", t),
        texts,
        t["status"].tolist(),
        [_MEASURES[m] for m in t["measure"].tolist()],
        scribe.subjects(t["person"]),
        t["encounter_id"].tolist(),
        scribe.instants(t["at"]),
        scribe.instants(t["issued"]),
        scribe.doctors(t["encounter"]),
        _values(scribe, t, quirk),
        notes,
        strict=True,
    )
    return [template.format(*row) for row in rows]


def _values(scribe: Scribe, t: Columns, quirk: np.ndarray) -> list[str]:
    """The value of each observation as JSON members, beginning with a comma."""
    values = np.empty(len(quirk), dtype=object)
    for m in np.unique(t["measure"]).tolist():
        rows = np.flatnonzero(t["measure"] == m)
        chosen = {name: t[name][rows] for name in ("value", "second", "decimals", "person", "at")}
        values[rows] = _values_of(scribe, MEASURES[m], chosen)
    absent = f',"dataAbsentReason":{concept(f"{TERMINOLOGY}/data-absent-reason", "unknown")}'
    values[quirk % 200 == 7] = absent
    return list(values)


def _values_of(scribe: Scribe, measure: Measure, t: Columns) -> list[str]:
    """Values of one measure, by its value type."""
    first, second = t["value"].tolist(), t["second"].tolist()
    unit = f'"unit":"{measure.unit}","system":"{UCUM}","code":"{measure.unit}"'
    match measure.value_type:
        case "Quantity":
            marks = _interpretations(measure, first)
            return [
                f',"valueQuantity":{{"value":{v:.{d}f},{unit}}}{mark}'
                for v, d, mark in zip(first, t["decimals"].tolist(), marks, strict=True)
            ]
        case "Components":
            return [_PRESSURE % (round(a), round(b)) for a, b in zip(first, second, strict=True)]
        case "CodeableConcept":
            return [f',"valueCodeableConcept":{concept(LOINC, *SMOKING[int(v)])}' for v in first]
        case "boolean":
            return [f',"valueBoolean":{"true" if v else "false"}' for v in first]
        case "integer":
            return [f',"valueInteger":{v:.0f}' for v in first]
        case "Range":
            return [
                f',"valueRange":{{"low":{{"value":{a:.0f},{unit}}},"high":{{"value":{b:.0f},{unit}}}}}'
                for a, b in zip(first, second, strict=True)
            ]
        case "Ratio":
            return [
                f',"valueRatio":{{"numerator":{{"value":{a:.0f}}},"denominator":{{"value":{b:.0f}}}}}'
                for a, b in zip(first, second, strict=True)
            ]
        case "dateTime":
            days = (t["at"] // DAY_MS - t["value"].astype(np.int64)).astype("datetime64[D]")
            return [f',"valueDateTime":"{day}"' for day in np.datetime_as_string(days).tolist()]
    return [f',"valueString":"{words}"' for words in scribe.sayings(COMPLAINTS, t["person"], t["value"])]


def _interpretations(measure: Measure, values: list[float]) -> list[str]:
    """``interpretation`` members: H above, L below the reference range, nothing within it or without one."""
    low, high = measure.low, measure.high
    if low is None or high is None:
        return [""] * len(values)
    return [_MARKS["H"] if v > high else _MARKS["L"] if v < low else "" for v in values]


def _measure(m: Measure) -> str:
    category = concept(f"{TERMINOLOGY}/observation-category", m.category)
    return f'"category":[{category}],"code":{concept(m.system, m.code, m.display)}'


def _component(code: tuple[str, str]) -> str:
    unit = f'"unit":"mm[Hg]","system":"{UCUM}","code":"mm[Hg]"'
    return f'{{"code":{concept(LOINC, *code)},"valueQuantity":{{"value":%d,{unit}}}}}'


_MEASURES = [_measure(m) for m in MEASURES]
_PRESSURE = f',"component":[{_component(SYSTOLIC)},{_component(DIASTOLIC)}]'
_MARKS = {
    mark: f',"interpretation":[{concept(f"{TERMINOLOGY}/v3-ObservationInterpretation", mark)}]'
    for mark in "HL"
}
