{{
    config(
        partition_by='month',
        meta={
            'fingerprint': [
                'medication_administration_key',
                'content_hash',
                'known_from',
                'available_at',
                'usable_at',
                'person_key',
                'is_person_resolved',
                'is_encounter_resolved',
                'practitioner_key',
                'code',
                'code_system',
                'code_display',
            ],
        },
    )
}}

with

administration as (
    select *
    from {{ ref('stg_hospital__medication_administration') }}
    where
        not is_withdrawn
        and status in ('completed', 'stopped')
),

patient as (
    select * from {{ ref('int_patient__linked') }}
),

encounter as (
    select encounter_key from {{ ref('fct_encounter') }}
),

performer as (
    select
        numbered.medication_administration_key,
        min_by(practitioner.practitioner_key, numbered.position) as practitioner_key
    from (
        select
            medication_administration_key,
            position,
            alias_key
        from administration
            lateral view posexplode(performer_keys) exploded as position, alias_key
    ) as numbered
    inner join {{ ref('int_performer__aliased') }} as practitioner
        on numbered.alias_key = practitioner.alias_key
    group by numbered.medication_administration_key
),

medication as (
    select
        medication_key,
        code_system,
        code,
        code_display
    from {{ ref('stg_hospital__medication') }}
    where not is_withdrawn
)

select
    administration.medication_administration_key,
    administration.source,
    coalesce(patient.person_key, administration.patient_key) as person_key,
    administration.patient_key,
    administration.encounter_key,
    performer.practitioner_key,
    administration.medication_key,
    administration.medication_request_key,
    case
        when administration.code is null then medication.code_system
        else administration.code_system
    end as code_system,
    coalesce(administration.code, medication.code) as code,
    case
        when administration.code is null then medication.code_display
        else administration.code_display
    end as code_display,
    administration.category_code,
    administration.status,
    administration.effective_at,
    administration.effective_precision,
    administration.effective_end_at,
    administration.effective_end_precision,
    administration.dose_number,
    administration.dose_text,
    administration.dose_unit,
    administration.rate_number,
    administration.rate_unit,
    administration.rate_denominator,
    administration.rate_denominator_unit,
    administration.route_system,
    administration.route_code,
    administration.route_display,
    administration.reason_system,
    administration.reason_code,
    administration.reason_display,
    coalesce(administration.code, medication.code) is not null as is_medication_resolved,
    coalesce(patient.is_person_current, false) as is_person_resolved,
    {{ is_resolved('administration.encounter_key', 'encounter.encounter_key') }} as is_encounter_resolved,
    administration.known_from,
    administration.available_at,
    administration.usable_at,
    administration.content_hash,
    coalesce(administration.month, 'undated') as month
from administration
left join patient
    on administration.patient_key = patient.patient_key
left join encounter
    on administration.encounter_key = encounter.encounter_key
left join performer
    on administration.medication_administration_key = performer.medication_administration_key
left join medication
    on administration.medication_key = medication.medication_key
