"""What the answer key says of hospitals' people, discharges and slips (see ``answer_key``)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from infra.city import dirt
from infra.city.answer_key import AnswerKey
from infra.city.habits import HOSPITALS, Habits
from infra.city.identity_variants import ordinals_again, registered_again
from infra.city.ids import record_ids
from infra.city.population import HOSPITAL_COUNT, NEVER, People
from infra.city.simulation import Columns
from infra.city.versions import amended
from infra.city.vocabulary import CHRONIC_KEYS, DISPOSITIONS, MEASURES

_NUMBERS = ("age_years", "stay_days", "haemoglobin_g_dl", "sodium_mmol_l", "creatinine_mg_dl", "true_risk")


def note_people(key: AnswerKey, people: People, before_ms: int, now_ms: int, seed: int) -> None:
    """Which hospital knows whom under which id, for those first registered in [before_ms, now_ms)."""
    for habits in HOSPITALS:
        at = people.registered_ms[:, habits.code]
        person = np.flatnonzero((at >= before_ms) & (at < now_ms))
        ids = record_ids(habits, "Patient", person * HOSPITAL_COUNT + habits.code, seed)
        again, _ = registered_again(habits, seed, people, before_ms, now_ms)
        ids += record_ids(habits, "Patient", ordinals_again(habits, again), seed)
        for number, id_ in zip([*person.tolist(), *again.tolist()], ids, strict=True):
            key.note("persons", person_id=number, source=habits.source, patient_id=id_)


def note_discharges(key: AnswerKey, stays: Columns, encounters: Columns, seed: int) -> None:
    """Each index stay: its last encounter at its hospital, its true risk and its drawn outcome."""
    inpatient = np.flatnonzero(encounters["stay"] >= 0)
    order = inpatient[np.lexsort((encounters["start"][inpatient], encounters["stay"][inpatient]))]
    last_of = dict(zip(encounters["stay"][order].tolist(), order.tolist(), strict=True))
    for habits in HOSPITALS:
        rows = np.flatnonzero(stays["hospital"] == habits.code)
        last = np.array([last_of[n] for n in stays["stay"][rows].tolist()], dtype=np.int64)
        encounter_ids = record_ids(habits, "Encounter", encounters["ordinal"][last], seed)
        patients = stays["person"][rows] * HOSPITAL_COUNT + habits.code
        patient_ids = record_ids(habits, "Patient", patients, seed)
        for row, encounter_id, patient_id in zip(rows.tolist(), encounter_ids, patient_ids, strict=True):
            bits = int(stays["conditions"][row])
            readmitted = bool(stays["readmitted"][row])
            key.note(
                "discharges",
                source=habits.source,
                encounter_id=encounter_id,
                patient_id=patient_id,
                person_id=int(stays["person"][row]),
                admitted_at=int(stays["admitted"][row]),
                discharged_at=int(stays["discharged"][row]),
                readmitted_30d=readmitted,
                readmission_at=int(stays["readmission_due"][row]) if readmitted else None,
                is_emergency=bool(stays["is_emergency"][row]),
                emergency_visits_180d=int(stays["emergency_visits_180d"][row]),
                stays_365d=int(stays["stays_365d"][row]),
                disposition_code=DISPOSITIONS[stays["disposition"][row]],
                conditions=",".join(k for i, k in enumerate(CHRONIC_KEYS) if bits >> i & 1),
                **{name: float(stays[name][row]) for name in _NUMBERS},
            )


def note_slips(
    key: AnswerKey,
    habits: Habits,
    observations: Columns,
    ids: np.ndarray,
    slipped: Iterable[dirt.Slipped],
    fates: dirt.Fates,
) -> None:
    """Each slip, and once more as its second version says it."""
    for one in slipped:
        row, slip = one.row, one.slip
        measure, value = MEASURES[observations["measure"][row]], float(observations["value"][row])
        versions = [(value, int(fates.delivered[row]))]
        if fates.changed[row] < NEVER and not fates.is_error[row]:
            second = amended(observations["value"][[row]], observations["measure"][[row]])
            versions.append((float(second[0]), int(fates.changed[row])))
        decimals = int(observations["decimals"][row])
        for served, visible in versions:
            key.note(
                "unit_slips",
                source=habits.source,
                resource_type="Observation",
                resource_id=ids[row],
                kind=slip.kind,
                served_value=round(served, decimals),
                served_unit=measure.unit,
                true_value=round(slip.true_of(served), 6),
                true_unit=measure.unit,
                tolerance=round(0.51 * 10**-decimals / slip.factor + 5e-4 * slip.true_of(served), 6),
                is_recoverable=one.is_recoverable,
                visible_at=visible,
            )
