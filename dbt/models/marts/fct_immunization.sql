with

immunization as (
    select *
    from {{ ref('stg_hospital__immunization') }}
    where
        not is_withdrawn
        and status <> 'not-done'
),

patient as (
    select * from {{ ref('int_patient__linked') }}
),

encounter as (
    select encounter_key from {{ ref('fct_encounter') }}
)

select
    immunization.immunization_key,
    immunization.source,
    coalesce(patient.person_key, immunization.patient_key) as person_key,
    immunization.patient_key,
    immunization.encounter_key,
    immunization.code_system,
    immunization.code,
    immunization.code_display,
    immunization.status,
    immunization.occurred_at,
    immunization.occurred_precision,
    immunization.recorded_at,
    immunization.is_subpotent,
    coalesce(patient.is_person_current, false) as is_person_resolved,
    {{ is_resolved('immunization.encounter_key', 'encounter.encounter_key') }} as is_encounter_resolved,
    immunization.known_from,
    immunization.available_at,
    immunization.usable_at
from immunization
left join patient
    on immunization.patient_key = patient.patient_key
left join encounter
    on immunization.encounter_key = encounter.encounter_key
