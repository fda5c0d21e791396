-- What hospitals' messages (RDS) tell of medicines handed out, with the patient, the encounter and the order they name.
with

message as (
    select
        *,
        medication_system as code_system,
        medication_code as code
    from {{ ref('stg_hospital_events__dispense') }}
    where
        not is_withdrawn
        and coalesce(order_control not in ('CA', 'OC', 'CR'), true)
),

medicine as (
    {{ with_atc('message') }}
),

patient as (
    select * from {{ ref('int_patient__aliased') }}
),

numbered as (
    select
        source,
        visit_key,
        min(encounter_key) as encounter_key
    from {{ ref('int_encounter__numbered') }}
    group by source, visit_key
    having count(*) = 1
),

-- One prescription of an order number: where there are two, nobody can say which.
prescription as (
    select
        house,
        prescription_key,
        min(ordered_at) as ordered_at
    from {{ ref('stg_hospital_events__prescription') }}
    where not is_withdrawn
    group by house, prescription_key
    having count(*) = 1
)

select
    medicine.dispense_key,
    medicine.source,
    medicine.house,
    coalesce(patient.patient_key, medicine.patient_key) as patient_key,
    coalesce(numbered.encounter_key, medicine.visit_key) as encounter_key,
    coalesce(medicine.placer_key, medicine.prescription_key) as prescription_key,
    prescription.ordered_at,
    medicine.code_system,
    medicine.code,
    medicine.atc_code,
    medicine.concept,
    medicine.amount,
    medicine.amount_unit as unit,
    coalesce(medicine.dispensed_at, medicine.version_at) as dispensed_at,
    medicine.version_at,
    medicine.known_from,
    medicine.available_at,
    medicine.usable_at,
    medicine.content_hash,
    medicine.month
from medicine
left join {{ ref('int_number__merged') }} as merged
    on medicine.house = merged.house and medicine.patient_key = merged.prior_patient_key
left join patient
    on medicine.house = patient.source and coalesce(merged.patient_key, medicine.patient_key) = patient.alias_key
left join numbered
    on medicine.house = numbered.source and medicine.visit_key = numbered.visit_key
left join prescription
    on
        medicine.house = prescription.house
        and coalesce(medicine.placer_key, medicine.prescription_key) = prescription.prescription_key
